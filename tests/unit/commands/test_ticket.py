"""A ticket and its pending outcome: waiting, timeouts, settling once, progress, closing."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

import telex
from telex.codec.content import Content
from telex.commands.ticket import PendingOutcome, pending_of
from telex.once.machine import Failure
from tests.support.loops import idle
from tests.unit.commands.parts import Gate, Month


async def test_a_caller_that_stops_waiting_stops_nothing(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("slow")
    async def slow() -> str:
        await gate.pass_through()
        return "done"

    async with hub, hub.follow("slow") as follower:
        first = await hub.send("slow")
        await gate.reached.wait()
        with pytest.raises(telex.Timeout, match="the command 'slow', which runs or waits for a program that serves it"):
            await first.result(timeout=0.01)
        assert not first.done
        gate.reached.clear()
        calling = asyncio.create_task(hub.call("slow"))
        await gate.reached.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        gate.opened.set()
        for _ in range(2):
            outcome = await follower.receive(timeout=20)
            assert isinstance(outcome, telex.Outcome)
            assert outcome.result == "done"
    assert gate.passed == 2


async def test_a_timed_out_caller_leaves_nothing(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("slow")
    async def slow() -> None:
        await gate.pass_through()

    async with hub:
        ticket = await hub.send("slow")
        for _ in range(50):
            with pytest.raises(telex.Timeout):
                await ticket.outcome(timeout=0)
        assert len(pending_of(ticket)._waiters or ()) < 10
        with pytest.raises(telex.BadOption, match="'wait' or 'reject'"):
            await hub.call("slow", duplicate="bogus")  # type: ignore[call-overload]  # on purpose
        gate.opened.set()
        await ticket


NOW = datetime(2026, 5, 4, tzinfo=UTC)


def outcome(result: object = None, error: Failure | None = None) -> telex.Outcome[Any]:
    return telex.Outcome("build", "1", "k", result, error, 1, NOW)


def pending(gives: Content[Any] | None = None) -> PendingOutcome[Any]:
    return PendingOutcome("build", "1", "k", gives)


async def never(pending: PendingOutcome[Any]) -> bool:
    raise AssertionError("its outcome is known")


async def test_the_first_outcome_stays() -> None:
    found = pending()
    found.settle(outcome(1))
    found.settle(outcome(2), ValueError())
    assert (await found).result == 1
    assert found.cause is None
    assert found.value() == 1


async def test_every_waiter_is_woken_and_cancelling_one_cancels_no_other() -> None:
    found = pending()
    tasks = [asyncio.create_task(found.within(30)) for _ in range(20)]
    await idle()
    tasks[0].cancel()
    await idle()
    found.settle(outcome(7))
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert {(await task).result for task in tasks[1:]} == {7}


async def test_waiting_ends_with_a_timeout_and_the_outcome_may_still_come() -> None:
    found = pending()
    with pytest.raises(telex.Timeout, match="the command 'build'"):
        await found.within(0)
    found.settle(outcome(7))
    assert (await found.within(0)).result == 7


async def test_a_timeout_of_the_caller_is_not_that_of_the_ticket() -> None:
    with pytest.raises(TimeoutError) as raised:
        async with asyncio.timeout(0):
            await pending().within(30)
    assert not isinstance(raised.value, telex.Timeout)


def test_a_result_is_held_to_the_type_that_was_asked_for() -> None:
    here, there, wrong = pending(Content(Month)), pending(Content(Month)), pending(Content(Month))
    month = Month(1, 2)
    here.settle(outcome(month))
    assert here.value() is month
    there.settle(outcome({"year": 1, "number": 2}), decode=True)
    assert there.value() == month
    wrong.settle(outcome({"year": "x"}), decode=True)
    with pytest.raises(telex.CommandFailed, match=r"not of the type that was asked for, at \$\.year") as raised:
        wrong.value()
    assert raised.value.code == "result_refused"
    assert isinstance(wrong.cause, telex.ContentError)


async def test_a_closed_ticket_raises_its_error_in_every_waiter_and_later() -> None:
    found, error = pending(), telex.Closed("the ticket", "its hub was closed")
    ticket = telex.Ticket(found, never)
    waiting = asyncio.create_task(ticket.result())
    await idle()
    assert not ticket.closed
    found.close(error)
    for wait in (waiting, ticket.outcome(), ticket.result(1)):
        with pytest.raises(telex.Closed) as raised:
            await wait
        assert raised.value is error
    assert (ticket.closed, ticket.done) == (True, False)


async def test_a_value_that_has_not_come_says_how_to_wait() -> None:
    with pytest.raises(telex.Closed, match="use `await ticket`"):
        pending().value()


async def test_progress_is_given_from_the_last_report_until_the_outcome() -> None:
    found = pending()
    ticket, seen = telex.Ticket(found, never), list[float]()

    async def read() -> None:
        async for step in ticket.progress():
            seen.append(step.fraction)

    def report(fraction: float) -> None:
        found.report(telex.Progress("build", "1", "k", fraction, ""))

    report(0.1)
    report(0.2)
    reading = asyncio.create_task(read())
    await idle()
    report(0.3)
    report(0.4)  # before the reader has run
    await idle()
    found.settle(outcome())
    await reading
    assert seen == [0.2, 0.4]
    assert ticket.step is not None
    assert ticket.step.fraction == 0.4


async def test_a_ticket_whose_outcome_is_known_asks_nobody_to_cancel() -> None:
    found = pending()
    ticket = telex.Ticket(found, never)
    assert (ticket.command, ticket.id, ticket.key, ticket.done) == ("build", "1", "k", False)
    assert repr(ticket) == "<Ticket of 'build' 1, open>"
    found.settle(outcome(error=Failure("X", "x", "no")))
    assert not await ticket.cancel()
    assert repr(ticket) == "<Ticket of 'build' 1, failed>"
