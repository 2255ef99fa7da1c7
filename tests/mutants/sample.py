"""A sample of generated bugs: drawn by a seed, each run against the tests that cover it, and reported by package."""

from __future__ import annotations

import ast
import json
import queue
import random
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from tests.mutants.cover import REPOSITORY, SOURCE, Covered, functions, place
from tests.mutants.generate import Mutant, compiles, files, mutants_of
from tests.mutants.trees import Tree, tree

T = TypeVar("T")
R = TypeVar("R")
NEAR_FILES = 4
"""So many test files are tried first: those with the largest share of tests that run the changed line."""
NEAR_SECONDS = 4.0
SWAPPED = "arguments swapped"
READ_THE_SOURCE = "tests/unit/test_error_arguments.py::"
"""Tests that read the source, and so cover no line of it."""
BUDGET_SECONDS = 30.0
"""Tests are added until they take so long together, the fastest first; `--budget` changes it."""
SLACK = 6.0
"""A mutant hangs when its tests take so many times as long as without it, and half a minute more."""


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    found: bool
    how: str
    """The test that failed, "hung", "no test covers it", or how many tests passed."""
    seconds: float
    described: str

    def line(self) -> str:
        return f"{'found' if self.found else 'LIVES':6} {self.described} [{self.how}, {self.seconds:.0f} s]"


def draw(number: int, seed: int, packages: Iterable[str]) -> list[Mutant]:
    """`number` mutants, equal for equal seeds and sources; only of the packages, if any are named."""
    wanted = set(packages)
    all_of_them = [m for path in files() for m in mutants_of(path) if not wanted or m.package in wanted]
    random.Random(seed).shuffle(all_of_them)
    drawn: list[Mutant] = []
    for mutant in all_of_them:
        if len(drawn) == number:
            break
        if compiles(mutant.apply((SOURCE / mutant.file).read_text())):
            drawn.append(mutant)
    return drawn


class Selection:
    """Chooses the tests for a mutant."""

    def __init__(self, covered: Covered, budget: float, there: AbstractSet[str]) -> None:
        self._covered = covered
        self._budget = budget
        self._there = there
        self._sizes: dict[str, int] = defaultdict(int)
        for test in covered.seconds:
            self._sizes[test.partition("::")[0]] += 1

    def tests(self, mutant: Mutant) -> tuple[list[str], list[str]]:
        """Those to try first, and the others; in each the fastest first."""
        seconds = self._covered.seconds
        found = self._covering(mutant) & self._there
        if mutant.kind == SWAPPED:
            found |= {test for test in self._covered.seconds.keys() & self._there if test.startswith(READ_THE_SOURCE)}
        near = self._near(found)
        spent = sum(seconds[test] for test in near)
        rest: list[str] = []
        for test in sorted(found - set(near), key=lambda test: (seconds[test], test)):
            spent += seconds[test]
            if spent > self._budget:
                break
            rest.append(test)
        return near, rest

    def _near(self, found: set[str]) -> list[str]:
        counts: dict[str, int] = defaultdict(int)
        for test in found:
            counts[test.partition("::")[0]] += 1
        best = sorted(counts, key=lambda file: (-counts[file] / self._sizes[file], -counts[file], file))[:NEAR_FILES]
        seconds = self._covered.seconds
        near: list[str] = []
        spent = 0.0
        for test in sorted((t for t in found if t.partition("::")[0] in best), key=lambda t: (seconds[t], t)):
            spent += seconds[test]
            if spent > NEAR_SECONDS:
                break
            near.append(test)
        return near

    def seconds(self, tests: list[str]) -> float:
        return sum(self._covered.seconds[test] for test in tests)

    def _covering(self, mutant: Mutant) -> set[str]:
        path = SOURCE / mutant.file
        found: set[str] = set()
        inside = False
        for line in range(mutant.first, mutant.last + 1):
            where = place(path, line)
            if where is not None:
                inside = True
                found |= self._covered.tests.get(where, set())
        if found:
            return found
        if inside:
            return self._of_function(path, mutant)
        for file, line in uses(names(path, mutant.first)):
            where = place(file, line)
            if where is not None:
                found |= self._covered.tests.get(where, set())
        return found or self._of_file(mutant.file)

    def _of_function(self, path: Path, mutant: Mutant) -> set[str]:
        """For a line that no recording has: it may be newer than they are."""
        function = (mutant.file, functions(path)[mutant.last][0])
        return self._covered.by_function.get(function) or self._of_file(mutant.file)

    def _of_file(self, name: str) -> set[str]:
        known = self._covered.by_function.items()
        return {test for (file, _), tests in known if file == name for test in tests}


def names(path: Path, line: int) -> set[str]:
    """The names that a statement of a module or class defines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.stmt) and node.lineno == line:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                return {node.name} | {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
            return {
                getattr(target, "id", getattr(target, "attr", ""))
                for target in (*getattr(node, "targets", ()), getattr(node, "target", None))
            } - {""}
    return set()


def uses(wanted: set[str]) -> Iterator[tuple[Path, int]]:
    """The lines of the source that have one of the names in them."""
    if not wanted:
        return
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, sorted(wanted))) + r")\b")
    for path in sorted(SOURCE.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if pattern.search(line):
                yield path, number


def judge(mutant: Mutant, selection: Selection, copy: Tree) -> Verdict:
    """Run the tests that cover a mutant until one fails."""
    started = time.monotonic()
    text = (copy.source / mutant.file).read_text()
    described = mutant.describe(text)
    near, rest = selection.tests(mutant)

    def verdict(found: bool, how: str) -> Verdict:
        return Verdict(mutant, found, how, time.monotonic() - started, described)

    if not near and not rest:
        return verdict(False, "no test covers it")
    with copy.change(mutant.file, mutant.apply(text)):
        for tests in filter(None, (near, rest)):
            outcome, output = copy.run(tests, 30.0 + SLACK * selection.seconds(tests))
            if outcome == "hung":
                return verdict(True, "hung")
            if outcome == "failed":
                failures = re.findall(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
                return verdict(True, failures[0] if failures else "pytest: " + output.strip()[-100:])
    return verdict(False, f"{len(near) + len(rest)} tests passed")


def over_trees(
    judge: Callable[[T, Tree], R], all_of_them: Iterable[T], jobs: int, *, warm: bool = False
) -> Iterator[R]:
    """`judge` for each, in `jobs` copies of the repository at once; the results in order. `warm`: they are many."""
    with ExitStack() as stack, ThreadPoolExecutor(jobs) as pool:
        copies: queue.SimpleQueue[Tree] = queue.SimpleQueue()
        for _ in range(jobs):
            copies.put(stack.enter_context(tree(warm=warm)))

        def one(each: T) -> R:
            copy = copies.get()
            try:
                return judge(each, copy)
            finally:
                copies.put(copy)

        yield from pool.map(one, all_of_them)


def collected() -> set[str]:
    """The tests that are there now, by the names that a recording has for them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return {line for line in run.stdout.splitlines() if "::" in line}


def judge_all(drawn: list[Mutant], selection: Selection, jobs: int) -> list[Verdict]:
    """Judge each; a verdict is printed when it is there."""
    verdicts: list[Verdict] = []
    for verdict in over_trees(lambda mutant, copy: judge(mutant, selection, copy), drawn, jobs, warm=True):
        verdicts.append(verdict)
        print(verdict.line(), flush=True)
    return verdicts


def report(verdicts: list[Verdict]) -> str:
    """The share that was found, by package."""
    by_package: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_package[verdict.mutant.package].append(verdict)
    lines = [f"{'package':10} {'mutants':>7} {'found':>6} {'share':>6}"]
    for name, some in [*sorted(by_package.items()), ("all", verdicts)]:
        found = sum(verdict.found for verdict in some)
        lines.append(f"{name:10} {len(some):7} {found:6} {found / max(1, len(some)):6.0%}")
    return "\n".join(lines)


def as_json(verdicts: list[Verdict], seed: int) -> str:
    rows = []
    for verdict in verdicts:
        mutant = verdict.mutant
        rows.append({**asdict(verdict), "package": mutant.package, "old": mutant.old(read(mutant.file))})
    return json.dumps({"seed": seed, "verdicts": rows}, indent=1)


def survivors(path: Path) -> list[Mutant]:
    """The mutants of a file that `as_json` made which were not found, where the source is still as it was there."""
    found = []
    for row in json.loads(path.read_text())["verdicts"]:
        mutant = Mutant(**row["mutant"])
        if not row["found"] and (SOURCE / mutant.file).exists() and mutant.old(read(mutant.file)) == row["old"]:
            found.append(mutant)
    return found


def read(file: str) -> str:
    return (SOURCE / file).read_text()
