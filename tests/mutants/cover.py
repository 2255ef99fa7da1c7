"""Which tests run which lines of the source, recorded once by test file and kept in `.cache/mutants`.

A line is kept relative to the function that it is in, so that a recording outlives changes elsewhere in the file.
`sample.py` records a test file that has changed again; `--record` records all.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.mutants.contexts import CONTEXT, DURATIONS

REPOSITORY = Path(__file__).parent.parent.parent
SOURCE = REPOSITORY / "src" / "telex"
CACHE = REPOSITORY / ".cache" / "mutants"
SKIPPED = ("tests/browser", "tests/docs", "tests/unit/test_bench.py", "tests/unit/test_house.py")
"""Test files that a mutant never runs: they drive a browser, or hold what is no behaviour of `src/telex`."""
GONE = 0.2
"""The largest share of functions that may have gone from the source since a test file was recorded."""
RECORDING_SECONDS = 900.0
"""The longest that one test file may run while it is recorded."""
CONFIGURATION = """[run]
parallel = true
data_file = {folder}/data
source_pkgs = telex
context = ${{{context}}}
disable_warnings = no-data-collected,module-not-measured,module-not-imported
"""


@dataclass(frozen=True)
class Place:
    """A line of a function: `line` counts from its `def`."""

    file: str
    function: str
    line: int


@dataclass
class Covered:
    """The recording: the tests by place, and how long each test takes."""

    tests: dict[Place, set[str]] = field(default_factory=lambda: defaultdict(set))
    by_function: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[str, float] = field(default_factory=dict)


@cache
def functions(file: Path) -> dict[int, tuple[str, int]]:
    """The innermost function of every line of a file, and the line of its `def`."""
    found: dict[int, tuple[str, int]] = {}

    def enter(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{name}.{child.name}"
                first = min((line.lineno for line in child.body), default=child.lineno)
                for line in range(first, (child.end_lineno or first) + 1):
                    found[line] = (inner, child.lineno)
                enter(child, inner)
            else:
                enter(child, f"{name}.{child.name}" if isinstance(child, ast.ClassDef) else name)

    enter(ast.parse(file.read_text()), "")
    return found


def place(file: Path, line: int) -> Place | None:
    """Where a line is, or None for a line of a module or a class."""
    found = functions(file).get(line)
    if found is None:
        return None
    return Place(file.relative_to(SOURCE).as_posix(), found[0], line - found[1])


def test_files() -> Iterator[Path]:
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        if not path.relative_to(REPOSITORY).as_posix().startswith(SKIPPED):
            yield path


def cached(path: Path) -> Path:
    return CACHE / (path.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".") + ".json")


def up_to_date(path: Path) -> bool:
    """Whether a test file is as it was recorded, and nearly all functions that it ran then are still there."""
    if not cached(path).exists():
        return False
    kept = json.loads(cached(path).read_text())
    ran = {where for test in kept["tests"].values() for where in test["lines"]}
    return bool(kept["hash"] == digest(path)) and len(ran - all_functions()) <= GONE * len(ran)


@cache
def all_functions() -> set[str]:
    """Each function of the source, as a recording names it."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        found |= {f"{name}::{function}" for function, _ in functions(path).values()}
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def record(path: Path) -> str:
    """Run a test file under coverage and keep what it covers; returns a line for the user."""
    import coverage

    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "coveragerc")
        configuration.write_text(CONFIGURATION.format(folder=folder, context=CONTEXT))
        durations = Path(folder, "durations")
        environment = {
            **os.environ,
            "COVERAGE_PROCESS_START": str(configuration),
            "COVERAGE_CORE": "ctrace",
            DURATIONS: str(durations),
        }
        command = [sys.executable, "-m", "coverage", "run", f"--rcfile={configuration}", "-m", "pytest", "-q"]
        options = ["-p", "tests.mutants.contexts", "-p", "no:cacheprovider", "--hypothesis-seed=0", str(path)]
        try:
            subprocess.run(
                command + options,
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                timeout=RECORDING_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{path.name}: took longer than {RECORDING_SECONDS:g} s, not recorded"
        if not durations.exists():
            return f"{path.name}: pytest did not end, not recorded"
        run = json.loads(durations.read_text())
        tests: dict[str, dict[str, list[int]]] = {test: {} for test in run["seconds"] if test not in run["failed"]}
        for file in Path(folder).glob("data.*"):
            data = coverage.CoverageData(str(file))
            data.read()
            for name in data.measured_files():
                collect(Path(name), data.contexts_by_lineno(name), tests)
    kept = {"hash": digest(path), "tests": {t: {"seconds": run["seconds"][t], "lines": tests[t]} for t in tests}}
    cached(path).write_text(json.dumps(kept))
    return f"{path.name}: {len(tests)} tests" + (f", not used as they failed: {run['failed']}" if run["failed"] else "")


def collect(file: Path, contexts: dict[int, list[str]], tests: dict[str, dict[str, list[int]]]) -> None:
    if not file.is_relative_to(SOURCE) or not file.exists():
        return
    for line, names in contexts.items():
        where = place(file, line)
        if where is None:
            continue
        for name in names:
            if name in tests:
                lines = tests[name].setdefault(f"{where.file}::{where.function}", [])
                if where.line not in lines:
                    lines.append(where.line)


def record_all(jobs: int, *, everything: bool) -> None:
    """Record the test files that are not up to date, or `everything`."""
    wanted = [path for path in test_files() if everything or not up_to_date(path)]
    with ThreadPoolExecutor(jobs) as pool:
        for line in pool.map(record, wanted):
            print(line, flush=True)


def load() -> Covered:
    covered = Covered()
    there = {cached(path) for path in test_files()}
    for kept in sorted(there):
        if not kept.exists():
            continue
        for test, seen in json.loads(kept.read_text())["tests"].items():
            covered.seconds[test] = seen["seconds"]
            for where, lines in seen["lines"].items():
                file, _, function = where.partition("::")
                covered.by_function[file, function].add(test)
                for line in lines:
                    covered.tests[Place(file, function, line)].add(test)
    return covered
