"""The queue of one command in memory: concurrency, duplicates of a key, senders that wait for room."""

import asyncio
from typing import Any

import pytest

import telex
from tests.support.internals import set_bounds
from tests.support.loops import idle
from tests.unit.commands.parts import Gate, Report, building


async def test_a_full_backlog(gate: Gate) -> None:
    hub = telex.Hub(close_timeout=0.05)
    set_bounds(hub, waiting_commands=2)

    @hub.command("slow", concurrency=1)
    async def slow(number: int) -> int:
        await gate.pass_through()
        return number

    async with hub:
        for number in range(3):
            await hub.send("slow", number)
        with pytest.raises(telex.Timeout, match="sending the command 'slow'"):
            await hub.call("slow", 4, timeout=0.05)
        waiting = asyncio.create_task(hub.send("slow", 5))
        await asyncio.sleep(0)
        assert not waiting.done()
    with pytest.raises(telex.Closed):
        await waiting


@pytest.mark.parametrize("limit", [None, telex.Limit(concurrency=1)])
async def test_a_call_waits_for_room_also_when_the_others_wait_for_a_limit(
    gate: Gate, limit: telex.Limit | None
) -> None:
    hub = telex.Hub()
    set_bounds(hub, waiting_commands=2)

    @hub.command("slow", concurrency=1, limit=limit)
    async def slow(number: int) -> int:
        await gate.pass_through()
        return number

    async with hub:
        calls = []
        for number in range(6):
            calls.append(asyncio.create_task(hub.call("slow", number)))
            for _ in range(4):  # until the call has come to the gate of the limit
                await asyncio.sleep(0)
        assert len(await hub.commands()) == 3
        gate.opened.set()
        assert await asyncio.gather(*calls) == list(range(6))


async def test_a_command_that_leaves_wakes_one_sender_that_waits_for_room(gate: Gate) -> None:
    hub = telex.Hub()
    set_bounds(hub, waiting_commands=2)
    first = asyncio.Event()

    @hub.command("slow", concurrency=1)
    async def slow(number: int) -> int:
        if number:
            await gate.pass_through()
        else:
            await first.wait()
        await asyncio.sleep(0)
        return number

    async with hub:
        senders = [asyncio.create_task(hub.send("slow", number)) for number in range(100)]
        await idle()
        for sender in senders[50:90]:
            sender.cancel()
        first.set()
        await gate.reached.wait()
        await idle()
        assert [sender.done() for sender in senders[:50]] == [True] * 4 + [False] * 46
        loop: Any = asyncio.get_running_loop()
        before = loop.scheduled
        gate.opened.set()
        tickets = await asyncio.gather(*senders[:50], *senders[90:])
        assert [await ticket for ticket in tickets] == [*range(50), *range(90, 100)]
        assert loop.scheduled - before < 1000, "each sender is woken once"


async def test_a_duplicate_that_has_waited_for_room_leaves_it_to_the_next(gate: Gate) -> None:
    hub = telex.Hub()
    set_bounds(hub, waiting_commands=1)
    building(hub, gate, concurrency=1)

    async with hub:
        tickets = [await hub.send("build", number, key=str(number)) for number in range(2)]
        senders = [asyncio.create_task(hub.send("build", 0, key="0")) for _ in range(9)]
        await idle()
        assert not any(sender.done() for sender in senders)
        gate.opened.set()
        tickets += await asyncio.wait_for(asyncio.gather(*senders), 5)
        assert [await ticket for ticket in tickets] == [0, 1, *[0] * 9]


@pytest.mark.slow
async def test_a_hundred_duplicates_of_a_slow_command(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("build", once=True)
    async def build(number: int) -> Report:
        ran.append(number)
        await gate.pass_through()
        return Report("november", number)

    async with hub:
        tickets = [await hub.send("build", 7, key="2026-11") for _ in range(100)]
        await gate.reached.wait()
        gate.opened.set()
        outcomes = [await ticket.outcome(timeout=50) for ticket in tickets]
    assert ran == [7]
    assert [outcome.result for outcome in outcomes] == [Report("november", 7)] * 100
    assert sum(outcome.replayed for outcome in outcomes) == 99
    assert {outcome.attempt for outcome in outcomes} == {1}


async def test_a_duplicate_of_what_was_dropped_is_no_part_of_that(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    building(hub, gate, concurrency=1)

    async with hub:
        await hub.send("build", 0, key="busy")
        await gate.reached.wait()
        dropped = await hub.send("build", 1, key="a", timeout=0)
        kept = await hub.send("build", 1, key="a", timeout=60)
        gate.opened.set()
        with pytest.raises(telex.CommandFailed, match="not begun"):
            await dropped.result(timeout=20)
        assert await kept.result(timeout=20) == 1
