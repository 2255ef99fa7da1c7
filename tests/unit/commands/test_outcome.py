"""Outcomes: a result or an error, as it is recorded, sent, raised, and shown to followers."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import telex
from telex.codec.content import Content, to_json
from telex.commands.outcome import (
    CANCELLED,
    CONFLICT,
    EXPIRED,
    REFUSED,
    UNSENDABLE,
    Outcome,
    OutcomeRef,
    Progress,
    Reply,
    failure_of,
    is_published,
    raise_failure,
    recorded_outcome,
    refusal,
    unrun,
)
from telex.once.machine import Entry, Failure
from tests.unit.commands.parts import Month, OutOfStock

NOW = datetime(2026, 5, 4, tzinfo=UTC)
SOLD = Failure("OutOfStock", "out_of_stock", "no lamps", {"next": 3})


def outcome(error: Failure | None = None, result: object = None) -> Outcome[Any]:
    return Outcome("order", "id", "k", result, error, 2, NOW, replayed=True)


def test_the_value_of_an_outcome_is_its_result() -> None:
    assert outcome(result=7).ok
    assert outcome(result=7).value() == 7


def test_the_value_of_a_failed_outcome_raises_it_with_all_fields() -> None:
    assert not outcome(SOLD).ok
    with pytest.raises(telex.CommandFailed) as raised:
        outcome(SOLD).value()
    error = raised.value
    assert (error.command, error.type, error.code, error.message) == ("order", "OutOfStock", "out_of_stock", "no lamps")
    assert (error.data, error.key, error.attempt, error.replayed) == ({"next": 3}, "k", 2, True)


def test_a_failure_is_raised_from_its_cause() -> None:
    cause = OutOfStock("no lamps")
    with pytest.raises(telex.CommandFailed) as raised:
        raise_failure(outcome(SOLD), SOLD, cause)
    assert raised.value.__cause__ is cause


def test_a_conflict_of_keys_is_raised_as_one() -> None:
    conflict = Failure("KeyConflict", CONFLICT, "other content")
    with pytest.raises(telex.KeyConflict) as raised:
        outcome(conflict).value()
    assert (raised.value.command, raised.value.key) == ("order", "k")


@pytest.mark.parametrize(
    "reply", [outcome(), outcome(SOLD), Progress("a", "1", None, 0.5, "x"), OutcomeRef("a", "1", "r")]
)
def test_every_reply_comes_back_from_json_as_its_class(reply: Reply) -> None:
    assert msgspec.json.decode(to_json(reply), type=Reply) == reply


# -- recorded


def test_a_recorded_result_is_of_the_type_of_the_command() -> None:
    entry = Entry("done", "print", 3, "w", 9.0, msgspec.Raw(b'{"year":2026,"number":5}'), completed=NOW.timestamp())
    found = recorded_outcome(entry, "build", "mine", "k", Content(Month))
    assert found == Outcome("build", "mine", "k", Month(2026, 5), None, 3, NOW, replayed=True)
    assert recorded_outcome(entry, "build", "mine", "k", None).result == {"year": 2026, "number": 5}


def test_a_recorded_error_has_no_result() -> None:
    entry = Entry("failed", "print", 2, "w", 9.0, error=SOLD, completed=NOW.timestamp())
    found = recorded_outcome(entry, "build", "mine", None, Content(Month))
    assert (found.result, found.error, found.attempt, found.completed_at) == (None, SOLD, 2, NOW)


def test_a_record_whose_result_is_elsewhere_has_none() -> None:
    entry = Entry("done", "print", 1, "w", 9.0, completed=0.0)
    assert recorded_outcome(entry, "build", "mine", None, None).result is None


def test_an_outcome_that_is_not_recorded_has_no_attempt() -> None:
    before = datetime.now(UTC)
    found = unrun("build", "mine", "k", SOLD)
    assert (found.command, found.id, found.key, found.result, found.error, found.attempt) == (
        *("build", "mine", "k", None, SOLD, 0),
    )
    assert before <= found.completed_at <= datetime.now(UTC)
    assert not found.replayed


# -- errors of handlers


class Bare(telex.CommandError):
    """A subclass that does not call its base, with fields of any type."""

    def __init__(self) -> None:
        Exception.__init__(self, "one", 2)


def test_an_error_raised_on_purpose_is_final_and_keeps_its_data() -> None:
    assert failure_of(OutOfStock("no lamps", data={"next": 3})) == SOLD
    assert failure_of(OutOfStock("later", final=False)).final is False
    assert failure_of(Bare()).message == "one 2"


def test_another_exception_may_be_tried_again() -> None:
    found = failure_of(ZeroDivisionError("by zero"))
    assert found == Failure("ZeroDivisionError", "error", "by zero", None, final=False)


def test_data_without_a_json_form_becomes_text() -> None:
    assert failure_of(telex.ProcessFailed("work", "ContentError", "no", "result_refused")).final
    assert failure_of(OutOfStock("x", data=object)).data == "<class 'object'>"


def test_a_refusal_names_the_error_and_is_for_its_sender_only() -> None:
    found = refusal(telex.BadOption("key", None, "give a key"))
    assert (found.type, found.code) == ("BadOption", REFUSED)
    assert "give a key" in found.message


@pytest.mark.parametrize(
    ("code", "published"),
    [
        (None, True),
        ("error", True),
        (CANCELLED, True),
        (EXPIRED, True),
        (UNSENDABLE, True),
        (CONFLICT, False),
        (REFUSED, False),
    ],
)
def test_followers_get_all_but_conflicts_and_refusals(code: str | None, published: bool) -> None:
    assert is_published(outcome(None if code is None else Failure("X", code, ""))) is published
