"""A command in the process that carries it out: its deadline, and how it is cancelled."""

import asyncio

import pytest

import telex
from telex.commands import invocation as module
from telex.commands.invocation import Invocation
from telex.testing.clock import VirtualClock
from tests.unit.commands.parts import Gate


async def test_cancelling(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    begun = []

    @hub.command("slow", concurrency=1)
    async def slow(number: int) -> None:
        begun.append(number)
        await gate.pass_through()

    async with hub:
        running, waiting = await hub.send("slow", 1), await hub.send("slow", 2)
        await gate.reached.wait()
        assert await waiting.cancel()
        assert await running.cancel()
        for ticket in (running, waiting):
            outcome = await ticket.outcome(timeout=20)
            assert outcome.error is not None
            assert outcome.error.code == "cancelled"
        assert not await running.cancel(), "its outcome is there"
        gate.opened.set()
        await (await hub.send("slow", 3))
    assert begun == [1, 3]
    assert gate.passed == 1


def invocation() -> Invocation:
    return Invocation("build", {"n": 1}, "id", "k", None, lambda invocation, step: None)


def test_a_deadline_is_judged_by_the_clock_of_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, wall = VirtualClock(), [1_000_000.0]
    monkeypatch.setattr(module, "time", lambda: wall[0])

    async def main() -> None:
        found = invocation()
        assert not found.is_late
        found.expire_in(5)
        assert found.deadline == 1_000_005.0
        wall[0] += 3600
        assert not found.is_late, "the clock of the machine was set"
        clock.advance(4.9)
        assert not found.is_late
        clock.advance(0.2)
        assert found.is_late

    clock.run(main())


def test_a_new_invocation_has_neither_begun_nor_ended() -> None:
    found = invocation()
    assert (found.attempt, found.fence, found.task, found.cause) == (1, 0, None, None)
    assert not any((found.cancelled, found.lost, found.redelivered, found.announced))


def test_a_command_without_a_message_is_given_one() -> None:
    found = invocation()
    message = found.message
    assert found.message is message
    assert (message.content, message.topic, message.id) == ({"n": 1}, "$command:build:request", "id")
    given = invocation()
    given.sent = sent = telex.Message.new(given.content)
    assert given.message is sent
    given.content = 1  # converted to the type of the handler
    assert (given.message.content, given.message.id, given.sent) == (1, sent.id, sent)


@pytest.mark.parametrize("how", ["cancelled", "lost"])
async def test_cancelling_and_losing_the_key_end_the_running_handler(how: str) -> None:
    found = invocation()
    end = found.cancel if how == "cancelled" else found.lose
    end()  # before it has begun
    assert getattr(found, how)
    assert {"cancelled", "lost"} - {name for name in ("cancelled", "lost") if getattr(found, name)} == {
        "lost" if how == "cancelled" else "cancelled"
    }
    found.task = asyncio.create_task(asyncio.Event().wait())
    end()
    await asyncio.wait([found.task])
    assert found.task.cancelled()
