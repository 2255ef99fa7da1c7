"""The commands that a hub serves: one server for each name, and content checked by it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from telex.commands.outcome import Outcome
from telex.commands.server import CommandServer
from telex.commands.spec import declare_command
from telex.commands.table import CommandTable
from telex.engines.memory.engine import MemoryEngine
from telex.errors import BadName, BadOption, ContentError
from telex.once.machine import Failure
from telex.runtime import Runtime
from tests.unit.commands.parts import Month, Report

OPTIONS: dict[str, Any] = {"once": False, "lease": 30.0, "keep": "24h", "max_attempts": None, "backoff": None}
OPTIONS |= {"version": None, "store": None, "run_anyway": False, "concurrency": 16, "middleware": (), "run_in": None}
OPTIONS |= {"limit": None, "by": None}


async def build(month: Month) -> Report:
    return Report(str(month.number), month.year)


def server() -> CommandServer:
    return CommandServer(declare_command(build, "build", "", OPTIONS), Runtime(MemoryEngine(), "memory://", None))


def table() -> CommandTable:
    found = CommandTable()
    found.add(server())
    return found


def outcome(result: object, *, command: str = "build", error: Failure | None = None) -> Outcome[Any]:
    return Outcome(command, "1", None, result, error, 1, datetime.now(UTC))


def test_a_name_that_is_taken_is_refused_with_its_function() -> None:
    with pytest.raises(BadOption, match="build carries it out already") as raised:
        table().add(server())
    assert (raised.value.option, raised.value.value) == ("command", "build")


def test_content_is_what_the_handler_takes() -> None:
    assert table().check("build", {"year": 2026, "number": 5}, None) == (Month(2026, 5), "")
    with pytest.raises(ContentError) as raised:
        table().check("build", {"year": "x", "number": 5}, None)
    assert raised.value.path == "$.year"


def test_content_of_a_command_served_elsewhere_is_left_as_it_is() -> None:
    content = object()
    assert table().check("other", content, "k") == (content, "")


@pytest.mark.parametrize("name", ["a b", "", "$internal", "a:*"])
def test_a_bad_name_is_refused_before_anything_is_sent(name: str) -> None:
    with pytest.raises(BadName):
        table().check(name, 1, None)


@pytest.mark.parametrize("name", ["build", "other"])
def test_a_bad_key_is_refused_whoever_serves_the_command(name: str) -> None:
    with pytest.raises(BadOption):
        table().check(name, Month(1, 2), "")


def test_a_result_of_another_process_is_of_the_type_that_is_known_here() -> None:
    plain = {"title": "5", "pages": 3}
    assert table().decoded(outcome(plain)).result == Report("5", 3)
    assert table().decoded(outcome(plain, command="other")).result is plain


def test_a_result_that_does_not_fit_stays_plain() -> None:
    plain = {"title": 5}
    assert table().decoded(outcome(plain)).result is plain


def test_an_error_has_no_result_to_be_converted() -> None:
    failed = outcome(None, error=Failure("X", "x", "no"))
    assert table().decoded(failed) is failed
