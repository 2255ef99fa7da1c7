"""A command that was sent, as far as its outcome is known."""

import msgspec
import pytest

import telex
from telex.cli.exits import Exit, code_for
from telex.cli.sent_command import EXAMPLE_KEY, SentCommand, key_needed


def test_a_command_without_outcome_has_not_ended() -> None:
    assert not SentCommand("report:build", id="1").ended


@pytest.mark.parametrize("result", [None, 0, "", {"pages": 3}])
def test_any_result_is_an_outcome(result: object) -> None:
    assert SentCommand("report:build", result=result).ended


def test_a_failure_is_an_outcome() -> None:
    failure = telex.Failure("OutOfPaper", "out_of_paper", "no paper", None, True)
    assert SentCommand("report:build", error=failure).ended


def test_json_has_what_is_known_and_no_more() -> None:
    assert msgspec.json.decode(msgspec.json.encode(SentCommand("a", id="1"))) == {"command": "a", "id": "1"}
    sent = SentCommand("a", key="k", result=None, replayed=True)
    assert msgspec.json.decode(msgspec.json.encode(sent)) == {
        "command": "a",
        "key": "k",
        "result": None,
        "replayed": True,
    }


def test_a_missing_key_is_asked_for_by_its_option() -> None:
    error = key_needed("charge")
    assert f"--key {EXAMPLE_KEY}" in str(error)
    assert code_for(error) is Exit.USAGE
