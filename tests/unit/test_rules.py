"""Rules of the tests, found by reading them: no private attributes, no patched constants, no sleeping."""

import ast
import functools
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_exit"}
"""Names of named tuples and of os that are public, in spite of how they look."""

PRIVATE: dict[tuple[str, str], str] = {
    ("conformance/broken.py", "_client"): "the path of the file that an engine holds",
    ("conftest.py", "_fixtureinfo"): "pytest has no public name for the arguments of a test",
    ("support/internals.py", "_client"): "a part of a public object, which this file names for all tests",
    ("support/internals.py", "_engine"): "a part of a public object, which this file names for all tests",
    ("support/internals.py", "_group_runner"): "a part of a public object, which this file names for all tests",
    ("support/internals.py", "_runner"): "a part of a public object, which this file names for all tests",
    ("support/shell.py", "_scheduled"): "what a log, a topic and a loop still hold when everything has ended",
    ("unit/blocking/test_thread.py", "_topic"): "a thread is interrupted once it waits, which it cannot say itself",
    ("unit/commands/test_ticket.py", "_waiters"): "a leak of waiters that is seen nowhere else",
    ("unit/engines/sqlite/test_watcher.py", "_transport"): "asyncio leaves the pipes of a process open",
    ("unit/gateway/test_server.py", "_bucket"): "the reading of one WebSocket, without the server around it",
    ("unit/gateway/test_server.py", "_count"): "the reading of one WebSocket, without the server around it",
    ("unit/gateway/test_server.py", "_patience"): "the reading of one WebSocket, without the server around it",
    ("unit/gateway/test_server.py", "_unread"): "the reading of one WebSocket, without the server around it",
    ("unit/engines/postgres/test_once_store.py", "_do"): "connections of the pools, which are cut, or looked at",
    (
        "unit/engines/postgres/test_once_store.py",
        "_for_handlers",
    ): "connections of the pools, which are cut, or looked at",
    ("unit/engines/postgres/test_once_store.py", "_pool"): "connections of the pools, which are cut, or looked at",
    ("unit/observe/test_server.py", "_accept"): "a client that comes in the turn in which the server stops",
    ("unit/process/test_supervision.py", "_chores"): "to be tested through public behaviour",
}
"""The accesses that there are, by file and attribute, each with its reason. There may be at most `MAX_PRIVATE`."""
MAX_PRIVATE = 30

PATCHED: dict[tuple[str, str], str] = {
    ("unit/process/test_supervision.py", "PAUSE_SECONDS"): "all background work of telex is begun again after it",
}
"""Constants that tests patch by name. A new one is an argument of a class or a function."""

SLEEPS = {
    "conformance/broken.py": "engines that look too late, or publish in time and then forget",
    "support/loops.py": "`until` looks again and again for what nobody announces",
    "support/postgres.py": "waits until the server has started",
    "unit/engines/postgres/test_connections.py": "measures what an idle process asks of the server",
    "unit/groups/parts.py": "an engine that is far away, in the virtual time of its tests",
    "unit/engines/sqlite/test_watcher.py": "measures how soon a process hears of another, and what an idle one costs",
}
"""The files in which tests sleep in real time. In others, a test waits for an event or uses a virtual clock."""
VIRTUAL = {"run", "forward"}
"""Methods of clocks: a function that calls one sleeps in virtual time."""
PROGRAMS = ("faults/", "mutants/")
"""Folders of programs that delay, stop and kill real processes at random moments."""


@functools.cache
def trees() -> dict[str, ast.Module]:
    """All files of the tests, by path."""
    return {path.relative_to(TESTS).as_posix(): ast.parse(path.read_text()) for path in sorted(TESTS.rglob("*.py"))}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def defined(tree: ast.Module) -> set[str]:
    """The names that a file gives to functions, classes, variables and attributes of its own."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node):
            names.add(node.attr)
    return names


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


def private_accesses(tree: ast.Module) -> set[str]:
    """The private names of other modules that a file reads, patches or imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not is_own(node):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found.update(name.name for name in node.names)
        else:
            found.update(part for name in patched(node) for part in name.split("."))
    return {name for name in found if is_private(name)} - defined(tree)


def patched(node: ast.AST) -> list[str]:
    """The names that a call of ``setattr`` and its kin is given as text."""
    if not isinstance(node, ast.Call):
        return []
    function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if function not in {"setattr", "delattr", "getattr", "patch"}:
        return []
    return [each.value for each in node.args[:2] if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def patched_constants(tree: ast.Module) -> set[str]:
    """Constants of telex that a file patches: ``setattr(module, "NAME", ...)`` and rows ``(module, "NAME", value)``."""
    found: set[str] = set()
    for node in ast.walk(tree):
        names = patched(node)
        if isinstance(node, ast.Tuple) and len(node.elts) == 3 and isinstance(node.elts[0], ast.Name):
            second = node.elts[1]
            names = [second.value] if isinstance(second, ast.Constant) and isinstance(second.value, str) else []
        found.update(name.rpartition(".")[2] for name in names if not name.startswith("hypothesis."))
    return {name for name in found if len(name) > 2 and name.isupper()}


def sleeps(tree: ast.Module) -> int:
    """Calls of ``asyncio.sleep`` and ``time.sleep`` in real time, with another argument than 0."""
    return sum(is_sleep(node) for part in tree.body if not is_virtual(part) for node in ast.walk(part))


def is_sleep(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not is_method(node.func, {"asyncio", "time"}, {"sleep"}):
        return False
    return not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)


def is_virtual(part: ast.stmt) -> bool:
    """Whether a function moves the clock of its loop."""
    return any(isinstance(node, ast.Call) and is_method(node.func, {"clock"}, VIRTUAL) for node in ast.walk(part))


def is_method(function: ast.expr, owners: set[str], names: set[str]) -> bool:
    """Whether an expression is ``owner.name``, of these."""
    return (
        isinstance(function, ast.Attribute)
        and function.attr in names
        and isinstance(function.value, ast.Name)
        and function.value.id in owners
    )


@pytest.mark.slow
def test_private_attributes_are_left_alone() -> None:
    found = {(file, name) for file, tree in trees().items() for name in private_accesses(tree)}
    assert not found - set(PRIVATE), "test what is public, or give it a name without underscore"
    assert not set(PRIVATE) - found, "these accesses are gone: take them off the list"
    assert len(PRIVATE) <= MAX_PRIVATE


@pytest.mark.slow
def test_constants_are_arguments() -> None:
    found = {(file, name) for file, tree in trees().items() for name in patched_constants(tree)}
    assert not found - set(PATCHED), "give the class or the function an argument, and pass it"
    assert not set(PATCHED) - found, "these patches are gone: take them off the list"


@pytest.mark.slow
def test_no_test_sleeps() -> None:
    found = {file for file, tree in trees().items() if sleeps(tree) and not file.startswith(PROGRAMS)}
    assert not found - set(SLEEPS), "wait for an event, with `until`, or in virtual time"
    assert not set(SLEEPS) - found, "these files do not sleep: take them off the list"


@pytest.mark.parametrize(
    ("source", "private", "constants", "slept"),
    [
        ("hub._runtime", {"_runtime"}, set(), 0),
        ("self._runtime = hub._runtime", set(), set(), 0),
        ("from telex.hub import _lifespan", {"_lifespan"}, set(), 0),
        ("monkeypatch.setattr(hub, '_topics', 1)", {"_topics"}, set(), 0),
        ("monkeypatch.setattr('telex.hub._time', 1)", {"_time"}, set(), 0),
        ("row._replace(a=1).__dict__", set(), set(), 0),
        ("monkeypatch.setattr(hub, 'LIMIT', 1)", set(), {"LIMIT"}, 0),
        ("monkeypatch.setattr('telex.hub.LIMIT', 1)", set(), {"LIMIT"}, 0),
        ("rows = [(hub, 'LIMIT', 1)]", set(), {"LIMIT"}, 0),
        ("asyncio.sleep(0), time.sleep(0.1), asyncio.sleep(seconds)", set(), set(), 2),
        ("def test(clock): clock.run(asyncio.sleep(5))", set(), set(), 0),
    ],
)
def test_the_rules_find_what_they_look_for(source: str, private: set[str], constants: set[str], slept: int) -> None:
    tree = ast.parse(source)
    assert (private_accesses(tree), patched_constants(tree), sleeps(tree)) == (private, constants, slept)
