"""The commands of a name as topics and records show them."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from telex.codec.content import to_json
from telex.commands.outcome import Outcome, OutcomeRef
from telex.commands.transports.job_records import JobRecord
from telex.commands.transports.job_view import JobView, reply_of
from telex.message import Message
from telex.once.machine import Failure

WHEN = datetime(2026, 11, 1, tzinfo=UTC)
ERROR = Failure("OutOfStock", "out_of_stock", "none left")


def request(id: str, headers: dict[str, str] | None = None, level: str = "request") -> Message[Any]:
    return Message(None, f"$command:ship:{level}", 1, id, 50.0, headers, None, -1, "k")


def outcome(id: str, attempt: int, error: Failure | None = None) -> Outcome[Any]:
    return Outcome("ship", id, "k", None if error else 7, error, attempt, WHEN)


def test_a_command_is_open_until_its_outcome() -> None:
    view = JobView("ship")
    view.add_request(request("1"))
    view.add_request(request("2", {"telex-deadline": "80.0"}, "low"))
    view.add_outcome(outcome("1", 1))
    assert view.open() == ["2"]
    job = view.job("2", "running", 10.0, 65.0)
    assert (job.priority, job.key) == ("low", "k")
    assert [each and each.timestamp() for each in (job.sent_at, job.expires_at, job.running_since)] == [50, 70, 55]
    (ended,) = view.ended()
    assert (ended.state, ended.result, ended.attempt, ended.completed_at) == ("done", 7, 1, WHEN)


def test_a_retried_command_is_open_until_the_outcome_of_the_new_attempt() -> None:
    view = JobView("ship")
    view.add_request(request("1~1", {"telex-job": "1", "telex-before": "1"}))
    view.add_request(request("1"))
    view.add_outcome(outcome("1", 1, ERROR))
    assert view.open() == ["1"]
    view.add_outcome(outcome("1", 2))
    view.add_outcome(outcome("1", 1, ERROR))
    assert [job.state for job in view.ended()] == ["done"]


@pytest.mark.parametrize(("attempt", "states"), [(1, []), (2, ["failed"])])
def test_a_record_that_was_retried_has_no_outcome_of_an_earlier_attempt(attempt: int, states: list[str]) -> None:
    view = JobView("ship")
    view.add_outcome(outcome("1", attempt, ERROR))
    view.add_record("1", JobRecord("queued", before=1))
    assert [job.state for job in view.ended()] == states


def test_a_record_shows_delayed_and_kept_commands() -> None:
    view = JobView("ship")
    view.add_record("1", JobRecord("delayed", "k", 40.0, 90.0, "high"))
    view.add_record("2", JobRecord("ended", outcome=msgspec.Raw(to_json(outcome("2", 1, ERROR)))))
    (delayed,) = view.delayed()
    assert delayed.due_at is not None
    assert (delayed.id, delayed.priority, delayed.due_at.timestamp()) == ("1", "high", 90)
    assert [(job.id, job.state, job.error) for job in view.ended()] == [("2", "failed", ERROR)]


def test_a_large_outcome_is_listed_without_its_result() -> None:
    view = JobView("ship")
    reply = reply_of({"kind": "parcel", "command": "ship", "id": "1", "ref": "ship 1"})
    assert isinstance(reply, OutcomeRef)
    view.add_outcome(reply)
    assert [(job.state, job.result) for job in view.ended()] == [("done", None)]
    assert reply_of({"kind": "progress"}) is None
