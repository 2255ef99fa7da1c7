"""The records of commands, as a worker reads and writes them."""

from typing import Any

import msgspec
import pytest

from telex.codec.content import to_json
from telex.commands.invocation import Invocation
from telex.commands.outcome import unrun
from telex.commands.transports.job_records import JobRecord
from telex.commands.transports.worker_jobs import WorkerJobs, is_of_attempt
from telex.engines.memory.engine import MemoryEngine
from telex.once.machine import Failure
from telex.runtime import Runtime
from telex.testing.clock import VirtualClock
from tests.unit.commands.transports.test_priority_gate import server_of

CANCELLED = Failure("Cancelled", "cancelled", "its sender cancelled it")


@pytest.fixture
def jobs() -> WorkerJobs:
    return WorkerJobs(Runtime(MemoryEngine(clock=VirtualClock()), "memory://", None))


def invocation(before: int = 0, **fields: Any) -> Invocation:
    found = Invocation("ship", 7, "1", None, None, lambda invocation, step: None, **fields)
    found.before = before
    return found


async def test_a_delayed_command_begins_once_and_not_after_it_was_cancelled(jobs: WorkerJobs) -> None:
    await jobs.records.put("ship", "1", JobRecord("delayed"), 0, 60.0)
    assert await jobs.begin(invocation()) is None
    found = await jobs.records.get("ship", "1")
    assert found is not None
    assert found[0].state == "queued"
    outcome = unrun("ship", "1", None, CANCELLED)
    ended = JobRecord("ended", outcome=msgspec.Raw(to_json(outcome)))
    await jobs.records.put("ship", "1", ended, found[1], 60.0)
    assert await jobs.begin(invocation()) == outcome
    assert await jobs.begin(invocation(before=1)) is None, "it was retried since"


async def test_of_two_outcomes_of_the_same_attempts_the_first_is_recorded(jobs: WorkerJobs) -> None:
    server = server_of(1)
    server.command = msgspec.structs.replace(server.command, keep=60.0)
    first = server.failure(invocation(), Failure("A", "a", "first"))
    second = server.failure(invocation(), Failure("B", "b", "second"))
    assert await jobs.end(server, invocation(), first, to_json(first)) is first
    assert await jobs.end(server, invocation(), second, to_json(second)) == first
    again = invocation(before=1)
    again.attempt = 2
    third = server.failure(again, Failure("C", "c", "third"))
    assert await jobs.end(server, again, third, to_json(third)) is third


async def test_a_large_result_has_a_record_of_its_own_and_comes_back_whole(jobs: WorkerJobs) -> None:
    server = server_of(1)
    server.command = msgspec.structs.replace(server.command, keep=60.0)
    outcome = msgspec.structs.replace(unrun("ship", "1", None, CANCELLED), error=None, result="x" * 300_000, attempt=1)
    other = msgspec.structs.replace(outcome, result="y" * 300_000, attempt=2)
    assert await jobs.end(server, invocation(), outcome, to_json(outcome)) is outcome
    found = await jobs.records.get("ship", "1")
    assert found is not None
    assert found[0].ended_with() == msgspec.structs.replace(outcome, result=None)
    assert await jobs.begin(invocation()) == outcome
    assert await jobs.end(server, invocation(), other, to_json(other)) == outcome


def test_an_outcome_belongs_to_the_attempts_after_the_last_retry() -> None:
    outcome = unrun("ship", "1", None, CANCELLED)
    assert (is_of_attempt(outcome, 0), is_of_attempt(outcome, 1)) == (True, False)
