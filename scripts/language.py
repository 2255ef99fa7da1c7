"""Count docstrings that do not begin plainly, errors without "must be", and words that are not the field's.

``make check`` runs this. Each number has a bound, which may fall and never rise. ``--places`` lists the places.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "scripts", "examples", "bench", "docs/examples")
CLAUSE = re.compile(r"(?:What|Who|Whoever|Whether|Where|Wherever|How|Why|Those|Whatever)\b")
NO_ACTION = re.compile(
    r"(?:The|A|An|All|No|Of|For|By|At|After|As|Before|Its?|This|These|That|Those|Then|They|There|One|Nothing|Some|Every"
    r"|Each|Another|When|While|If|See|Called|Made|Both|Seconds|Messages)\b|[`a-z]"
)
"""The beginnings of the docstring of a function that states something, instead of naming the action and its result."""
STATES = re.compile(r"(?:it is|it goes|there is|there are) ")
"""The beginnings of the fix of an error that states something, instead of saying what the value must be."""
FIXES = {"BadOption": 2, "BadName": 1}
"""The errors whose last argument, with this index, says how to fix a value."""
VALUES = {"property", "cached_property", "setter", "promise", "needing"}
"""The decorators of functions whose docstring is a noun phrase, or a promise of the conformance suite."""
HOUSEHOLD = re.compile(
    r"\b(?:mend|mends|mended|mending|signs? of life|of no account|told|hands full|bury|buries|buried|pen|pens"
    r"|anew|its own affair|turned down|turns? \w+ down|given up|lets? go of)\b",
    re.IGNORECASE,
)
BOUNDS = {
    "docstrings that begin with a clause": 0,
    "docstrings of functions without an action": 0,
    "errors that do not say what must be": 0,
    "household words": 0,
}
"""The largest allowed numbers. All stay 0."""


@dataclass(frozen=True)
class Count:
    """The places of one kind, and how many of them there may be."""

    name: str
    places: list[str]

    @property
    def holds(self) -> bool:
        return len(self.places) <= BOUNDS[self.name]


@lru_cache(maxsize=1)
def nodes(source: str) -> tuple[ast.AST, ...]:
    """Return the syntax tree of a source and all its nodes, the root first."""
    return tuple(ast.walk(ast.parse(source)))


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each docstring, also those of attributes and constants."""
    for node in nodes(source):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def texts(source: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each string and comment."""
    for node in nodes(source):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def clauses(source: str) -> list[str]:
    """The docstrings that begin with a clause, as ``line text``."""
    return [f"{line} {text.partition(chr(10))[0]}" for line, text in docstrings(source) if CLAUSE.match(text)]


def module_clauses(source: str) -> list[str]:
    """The docstring of a module, as ``line text``, if it begins with a clause."""
    text = ast.get_docstring(ast.parse(source)) or ""
    return [f"1 {text.partition(chr(10))[0]}"] if CLAUSE.match(text) else []


def no_actions(source: str) -> list[str]:
    """Return the docstrings of functions that do not begin with an action, as ``line text``."""
    found = []
    for node in nodes(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            text = (ast.get_docstring(node) or "").partition("\n")[0]
            names = {re.split(r"[.(]", ast.unparse(each).partition("(")[0])[-1] for each in node.decorator_list}
            if NO_ACTION.match(text) and not names & VALUES:
                found.append(f"{node.lineno} {text}")
    return found


def statements(source: str) -> list[str]:
    """Return the fixes of errors that begin with "it is" or the like, as ``line text``."""
    found = []
    for node in nodes(source):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FIXES:
            for given in node.args[FIXES[node.func.id] :]:
                part = given.values[0] if isinstance(given, ast.JoinedStr) and given.values else given
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and STATES.match(part.value):
                    found.append(f"{node.lineno} {part.value}")
    return found


def household(source: str) -> list[str]:
    """The household words in strings and comments, as ``line word``."""
    return [
        f"{line + text.count(chr(10), 0, match.start())} {match[0]}"
        for line, text in texts(source)
        for match in HOUSEHOLD.finditer(text)
    ]


def pages(root: Path) -> list[Path]:
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]


def counts(root: Path) -> list[Count]:
    beginning, actions, fixes, words = [], [], [], []
    for path in (file for folder in FOLDERS for file in sorted((root / folder).rglob("*.py"))):
        if path == Path(__file__):
            continue
        name, source = path.relative_to(root), path.read_text()
        beginning += [f"{name}:{place}" for place in clauses(source)]
        if name.parts[0] == "src":
            actions += [f"{name}:{place}" for place in no_actions(source)]
            fixes += [f"{name}:{place}" for place in statements(source)]
        words += [f"{name}:{place}" for place in household(source)]
    for path in sorted((root / "tests").rglob("*.py")):
        beginning += [f"{path.relative_to(root)}:{place}" for place in module_clauses(path.read_text())]
    for path in pages(root):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            words += [f"{path.relative_to(root)}:{number} {match[0]}" for match in HOUSEHOLD.finditer(line)]
    return [Count(name, places) for name, places in zip(BOUNDS, (beginning, actions, fixes, words), strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--places", action="store_true", help="list the places")
    options = parser.parse_args()
    found = counts(ROOT)
    for count in found:
        print(f"{'' if count.holds else 'WORSE':6}{count.name:46}{len(count.places):7}  at most {BOUNDS[count.name]}")
        for place in count.places if options.places or not count.holds else ():
            print(f"         {place}")
    return int(not all(count.holds for count in found))


if __name__ == "__main__":
    sys.exit(main())
