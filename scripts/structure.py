"""Print the figures of the source's structure, and fail where one is worse than its bound: ``make check`` runs this.

The order of imports is `ROWS`: a module imports only modules of rows above its own, or of its own row. Imports for type
checking alone count as any other.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent / "src" / "telex"
ROWS: tuple[tuple[str, ...], ...] = (
    ("errors", "names", "checks", "durations"),
    ("codec", "message", "observe.headers", "observe.instrument"),
    ("log", "process"),
    ("engines.contract",),
    ("engines",),
    ("topics",),
    ("once", "runtime"),
    ("limits",),
    ("handlers",),
    ("groups",),
    ("commands", "triggers"),
    ("schedules",),
    ("router", "joined"),
    ("hub",),
    ("blocking", "ext", "gateway", "observe", "testing"),
    ("chat", "cli", "dashboard", "ext.django.management"),
)
FREE = {"", "__main__", "middleware", "once"}
"""Modules that gather public names of others: the package root, the public name of
`telex.handlers.spec.middleware`, and `telex.once` with the store of the engine of PostgreSQL.
"""
NO_ENGINE = {"topics", "once", "runtime", "limits", "handlers", "groups", "commands", "triggers", "schedules", "router"}
"""Packages that know no engine, only the contract."""
BRANCH = re.compile(r"\b_?(?:store|claims|courier|groups|records) is (?:not )?None|\.remote\b")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 450, 60


@dataclass
class Module:
    """One file of the source, parsed."""

    name: str
    path: Path
    tree: ast.Module
    text: str
    imports: set[str] = field(default_factory=set)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """The nodes of the tree."""
        return list(ast.walk(self.tree))

    @property
    def lines(self) -> int:
        return self.text.count("\n")


@dataclass(frozen=True)
class Figure:
    """One line of the table: a number, its bound (None for none), its goal, and the places that were counted.

    The bound is the number of today where the goal is not reached yet: it may fall and never rise.
    """

    name: str
    value: int
    bound: int | None
    goal: int | None
    places: list[str]

    @property
    def holds(self) -> bool:
        return self.bound is None or self.value <= self.bound


def name_of(path: Path, root: Path) -> str:
    """Return the name of a module below ``root``, without the package's own."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read(root: Path) -> dict[str, Module]:
    """Every module below ``root``, by its name without the package's own."""
    modules = {}
    for path in sorted(root.rglob("*.py")):
        name = name_of(path, root)
        text = path.read_text()
        modules[name] = Module(name, path, ast.parse(text), text)
    for module in modules.values():
        module.imports = set(imported(module, modules)) - {module.name}
    return modules


def imported(module: Module, modules: dict[str, Module]) -> Iterator[str]:
    """The modules that a module imports, at any depth of its code."""
    package = module.name.split(".") if module.path.name == "__init__.py" else module.name.split(".")[:-1]
    for node in module.nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["telex", *package[: len(package) - node.level + 1]] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            if first == "telex":
                yield rest if rest in modules else rest.rpartition(".")[0]


def row_of(name: str) -> int:
    """The row of a module: that of its longest prefix that `ROWS` names."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for number, row in enumerate(ROWS):
            if prefix in row:
                return number
    return -1


def against_the_order(modules: dict[str, Module]) -> list[str]:
    found = []
    for module in modules.values():
        if module.name in FREE:
            continue
        top = module.name.split(".")[0]
        if row_of(module.name) < 0:
            found.append(f"{module.name} is in no row")
        for other in sorted(module.imports):
            other_top = other.split(".")[0]
            if top == "chat":
                if other not in ("", "gateway", "middleware") and other_top != "chat":
                    found.append(f"{module.name} imports {other}: chat uses public names alone")
            elif other == "" and top not in ("cli", "chat"):
                found.append(f"{module.name} imports the package root")
            elif other and row_of(other) > row_of(module.name):
                found.append(f"{module.name} imports {other}")
            elif top in NO_ENGINE and other_top == "engines" and not other.startswith("engines.contract"):
                found.append(f"{module.name} imports the engine {other}")
    return found


def cycles(modules: dict[str, Module]) -> list[list[str]]:
    """The strongly connected components of more than one module, the largest first (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in modules[name].imports & modules.keys() - FREE:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in modules.keys() - FREE:
        if name not in index:
            visit(name)
    return sorted(found, key=len, reverse=True)


def classes(modules: dict[str, Module]) -> Iterator[tuple[Module, ast.ClassDef]]:
    for module in modules.values():
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                yield module, node


def depths(modules: dict[str, Module]) -> dict[str, int]:
    """The depth of each class: the number of classes it is made of, without protocols and errors."""
    bases = {
        node.name: [base.id for base in map(unsubscripted, node.bases) if isinstance(base, ast.Name)]
        for module, node in classes(modules)
        if module.name != "errors" and not module.name.startswith("testing")
    }
    protocols = {name for name, named in bases.items() if "Protocol" in named}

    def depth(name: str) -> int:
        own = [base for base in bases[name] if base in bases and base not in protocols and base != name]
        return 1 + max(map(depth, own), default=0)

    return {name: depth(name) for name in bases}


def unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def foreign_private(module: Module) -> Iterator[str]:
    """Private attributes that are used of objects other than ``self`` and that this module does not define."""
    own = set(re.findall(r"\b(?:self|cls)\.(_[a-z]\w*)", module.text))
    own |= set(re.findall(r"^\s+(_[a-z]\w*)\s*[:=]", module.text, re.MULTILINE))
    own |= {n.name for n in module.nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    for node in module.nodes:
        if not isinstance(node, ast.Attribute) or not re.match(r"_[a-z]", node.attr):
            continue
        of_itself = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if not of_itself and node.attr not in own:
            yield f"{module.path.name}:{node.lineno} {ast.unparse(node)}"


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in module.nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def figures(modules: dict[str, Module]) -> list[Figure]:
    source = [module for module in modules.values() if not module.name.startswith("testing")]
    root = [module.path.name for module in source if module.path.parent == ROOT or module.path.parent.name == "telex"]
    knots = cycles(modules)
    counts = Counter(node.name for _, node in classes(modules))
    deep = depths(modules)
    private = [place for module in source for place in foreign_private(module)]
    branches = [
        f"{module.path.name}:{number} {line.strip()}"
        for module in source
        for number, line in enumerate(module.text.split("\n"), 1)
        for _ in BRANCH.findall(line)
    ]
    long_files = [f"{module.path.name} {module.lines}" for module in modules.values() if module.lines > MAX_FILE_LINES]
    long_functions = [
        f"{module.path.name}:{node.lineno} {node.name} {length(node)}"
        for module in modules.values()
        for node in functions(module)
        if length(node) > MAX_FUNCTION_LINES
    ]
    order = against_the_order(modules)
    twice = sorted(name for name, count in counts.items() if count > 1)
    return [
        Figure("modules in the package root", len(root), 12, 12, root),
        Figure("largest import cycle", max(map(len, knots), default=0), 2, 2, [" ".join(knot) for knot in knots]),
        Figure("import cycles", len(knots), 1, 2, [" ".join(knot) for knot in knots]),
        Figure("imports against the order", len(order), 0, 0, order),
        Figure("class depth", max(deep.values()), 2, 2, [name for name in deep if deep[name] > 2]),
        Figure("private attributes of other modules' objects", len(private), 1, 15, private),
        Figure("class names used more than once", len(twice), 0, 0, twice),
        Figure("branches on what an engine has", len(branches), 10, 10, branches),
        Figure("files over 450 lines", len(long_files), 0, 0, long_files),
        Figure("functions over 60 lines", len(long_functions), 0, 0, long_functions),
        Figure("source lines without testing/", sum(module.lines for module in source), None, 23_000, []),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", nargs="?", type=Path, default=ROOT, help="the package's folder")
    parser.add_argument("--places", action="store_true", help="list the places of every figure")
    parser.add_argument("--json", action="store_true", help="write the figures as JSON")
    options = parser.parse_args()
    found = figures(read(options.root))
    if options.json:
        print(json.dumps({figure.name: figure.value for figure in found}))
    for figure in () if options.json else found:
        bound = "" if figure.bound is None else f"at most {figure.bound}"
        print(f"{'' if figure.holds else 'WORSE':6}{figure.name:46}{figure.value:7}  {bound:12} goal {figure.goal}")
        for place in figure.places if options.places or not figure.holds else ():
            print(f"         {place}")
    return int(not all(figure.holds for figure in found))


if __name__ == "__main__":
    sys.exit(main())
