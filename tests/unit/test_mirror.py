"""Each module of the library has a test file of its own name in the same place, and each test file has its noun."""

import functools
import re
from pathlib import Path

import pytest

import telex

SOURCE = Path(telex.__file__).parent
TESTS = Path(__file__).parents[1]
UNIT = TESTS / "unit"
NO_NOUN = {"__init__.py", "__main__.py"}
"""Modules that only import the names of others."""

UNTESTED: dict[str, str] = {
    "middleware.py": "exports the names of handlers/middleware.py",
    "engines/contract/engine.py": "protocols without code: the conformance suite is their test",
    "engines/contract/groups.py": "protocols without code: the conformance suite is their test",
    "engines/contract/sql.py": "protocols without code: the conformance suite is their test",
    "engines/contract/records.py": "protocols without code: the conformance suite is their test",
    "engines/contract/outbox.py": "a protocol without code: each engine's test_outbox.py is its test",
    "engines/contract/store.py": "protocols without code: the conformance suite is their test",
}
"""Modules without a test file, each with the reason. There may be at most `MAX_UNTESTED`."""
MAX_UNTESTED = 10

FEATURES: dict[str, str] = {
    "blocking/test_options.py": "the parity of the blocking classes with the async ones",
    "engines/test_choosing.py": "the engine that a URL names",
    "engines/postgres/test_program.py": "one program in several processes on a server",
    "engines/sqlite/test_damage.py": "a damaged file, and shortages, in all parts of the engine",
    "engines/sqlite/test_life.py": "the end of a hub on a file, and the loss of the file",
    "cli/test_wrong_input.py": "wrong input of every kind, to all commands",
    "test_option_values.py": "the options of all public constructors and decorators",
    "ext/test_django.py": "the transactions of Django, which are joined",
    "gateway/test_authorizer.py": "the decisions of an application, in all parts of the gateway",
    "gateway/test_behind_uvicorn.py": "the gateway behind Uvicorn, over real sockets",
    "gateway/test_headers.py": "odd headers, in all parts of the gateway and the chat",
    "limits/test_disturbed.py": "limits whose calls, engine or clock something disturbs",
    "groups/test_decoding.py": "the work of one message, on each engine",
    "groups/test_groups.py": "handlers of a group on each engine, as a program declares them",
    "groups/test_transacted.py": "handlers with tx=True: effect and acknowledgement together",
    "topics/test_follow.py": "the topics that a process follows, from the first reader to the last",
    "topics/test_removal.py": "a removed topic in its next epoch, for readers of every kind",
    "triggers/conditions/test_model.py": "conditions, beside their plain definitions over whole histories",
    "once/test_model.py": "commands that run once, beside a model of them",
    "codec/test_carried.py": "content of every kind, on every engine, by every way",
    "log/test_accounts.py": "the state machines of logs and hubs",
    "test_bench.py": "the benchmarks",
    "test_cancellation.py": "every awaitable of the public API, cancelled at every step",
    "test_clocks.py": "the clock of the machine is set while all parts run",
    "test_edges.py": "the bugs put in by hand that have no module of their own",
    "test_ending.py": "ends of topics, for readers of every kind",
    "test_error_arguments.py": "the calls of all errors in the source",
    "test_exports.py": "the public names",
    "test_handlers.py": "handlers of a hub, as a program declares them",
    "test_house.py": "the rules of tests/conftest.py",
    "test_imports.py": "the order of imports",
    "test_language.py": "the language of the source",
    "test_mirror.py": "this rule",
    "test_mistakes.py": "wrong calls of every public function",
    "test_repository.py": "the files of the repository",
    "test_rules.py": "the rules of the tests",
    "test_scripts.py": "the scripts",
    "cli/test_databases.py": "the commands on a database, as processes",
    "test_told.py": "errors of a program, on their way through every part",
}
"""Test files that need several modules, each with its noun."""

CLAUSE = re.compile(r"^ *(?:async )?def (test_(?:what|who|whoever|whether)_\w+)", re.MULTILINE)
"""A test whose name begins with a clause. The name of a test is a statement of the promise."""


@functools.cache
def modules() -> list[str]:
    paths = [path.relative_to(SOURCE) for path in sorted(SOURCE.rglob("*.py"))]
    return [path.as_posix() for path in paths if path.name not in NO_NOUN]


@functools.cache
def files() -> list[str]:
    return [path.relative_to(UNIT).as_posix() for path in sorted(UNIT.rglob("test_*.py"))]


def place_of(module: str) -> str:
    """Return the place of a module's tests: `test_log.py` in the folder `log` for ``log/log.py``."""
    folder, _, name = module.rpartition("/")
    return f"{folder}/test_{name}".lstrip("/")


def test_every_module_has_a_test_file_of_its_name() -> None:
    missing = [module for module in modules() if module not in UNTESTED and place_of(module) not in files()]
    assert missing == [], "write a test file of the module's name, in the same place"


def test_every_test_file_names_a_module_or_is_a_known_feature() -> None:
    known = {place_of(module) for module in modules()} | set(FEATURES)
    unnamed = [file for file in files() if file not in known]
    assert unnamed == [], "name the module, or say in FEATURES what the file is about"


def test_the_exceptions_are_few_and_still_there() -> None:
    assert len(UNTESTED) <= MAX_UNTESTED
    assert [module for module in UNTESTED if not (SOURCE / module).exists()] == []
    assert [module for module in UNTESTED if (UNIT / place_of(module)).exists()] == []
    assert [file for file in FEATURES if not (UNIT / file).exists()] == []
    assert [file for file in FEATURES if file in {place_of(module) for module in modules()}] == []


def test_the_name_of_a_test_is_no_clause() -> None:
    found = {path.relative_to(TESTS).as_posix(): CLAUSE.findall(path.read_text()) for path in TESTS.rglob("*.py")}
    assert {file: names for file, names in found.items() if names} == {}, "state what is promised"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def test_what_waits(): ...", ["test_what_waits"]),
        ("class A:\n    async def test_who_waits(self): ...", ["test_who_waits"]),
        ("def test_whatever(): ...\ndef test_waits_who_takes(): ...", []),
    ],
)
def test_a_name_that_is_a_clause_is_found(source: str, names: list[str]) -> None:
    assert CLAUSE.findall(source) == names
