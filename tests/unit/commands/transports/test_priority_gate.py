"""The gate between the priorities of a command in a worker."""

import asyncio
from collections.abc import Collection

import pytest

import telex
from telex.commands.plan import LEVELS, Priority
from telex.commands.server import CommandServer
from telex.commands.spec import declare_command
from telex.commands.transports.priority_gate import MAX_HELD_SECONDS, PriorityGate
from telex.engines.memory.engine import MemoryEngine
from telex.errors import EngineFailed
from telex.once.options import DEFAULTS
from telex.runtime import Runtime
from tests.support.loops import idle
from tests.support.shell import Clock


def server_of(concurrency: int) -> CommandServer:
    def nothing() -> None: ...

    options = {**DEFAULTS, "once": False, "lease": 30.0, "middleware": (), "concurrency": concurrency, "run_in": None}
    options |= {"limit": None, "by": None}
    runtime = Runtime(MemoryEngine(), "memory://", None)
    return CommandServer(declare_command(nothing, "nothing", "", options), runtime)


async def none(levels: Collection[Priority]) -> bool:
    return False


async def entered(gate: PriorityGate, *levels: Priority) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(gate.enter(level)) for level in levels]
    await idle()
    return tasks


async def test_the_calls_of_all_levels_together_are_bounded_and_begin_by_priority() -> None:
    server, begun = server_of(1), list[Priority]()
    gate = PriorityGate(server, none)
    await gate.enter("normal")

    async def call(level: Priority) -> None:
        await gate.enter(level)
        begun.append(level)
        assert server.running == 1
        server.running -= 1
        gate.notify()

    calls = [asyncio.create_task(call(level)) for level in reversed(LEVELS)]
    await asyncio.sleep(0)
    assert begun == []
    server.running -= 1
    gate.notify()
    await asyncio.gather(*calls)
    assert begun == ["high", "normal", "low"]
    assert server.running == 0


async def test_a_call_that_is_cancelled_at_the_gate_takes_no_turn() -> None:
    server = server_of(1)
    gate = PriorityGate(server, none)
    await gate.enter("normal")
    waiting = [asyncio.create_task(gate.enter("high")) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    server.running -= 1
    gate.notify()
    await waiting[1]
    assert server.running == 1
    assert waiting[0].cancelled()


async def test_a_turn_that_came_with_the_cancellation_goes_to_the_next_call() -> None:
    server = server_of(1)
    gate = PriorityGate(server, none)
    await gate.enter("normal")
    waiting = [asyncio.create_task(gate.enter("high")) for _ in range(2)]
    await asyncio.sleep(0)
    server.running -= 1
    gate.notify()
    await asyncio.sleep(0)  # the turn is given
    waiting[0].cancel()
    await waiting[1]
    assert server.running == 1


def test_a_level_is_joined_once() -> None:
    gate = PriorityGate(server_of(1), none)
    assert [gate.joins("normal"), gate.joins("low"), gate.joins("low")] == [False, True, False]
    assert telex.CommandInfo(id="1", command="a", state="queued").priority == "normal"


async def test_a_call_waits_for_commands_of_a_higher_priority_that_the_engine_has() -> None:
    moved, asked = Clock(), list[Collection[Priority]]()
    coming: set[Priority] = {"normal"}

    async def has_commands(levels: Collection[Priority]) -> bool:
        asked.append(levels)
        return not coming.isdisjoint(levels)

    server = server_of(1)
    gate = PriorityGate(server, has_commands)
    gate.joins("low")
    (low,) = await entered(gate, "low")
    assert (low.done(), server.running, gate.waiting("low")) == (False, 0, 1)
    (normal,) = await entered(gate, "normal")
    assert (normal.done(), low.done()) == (True, False), "the highest in use is not asked for"
    server.running -= 1
    coming.clear()
    gate.notify()
    await moved.forward(1)
    assert low.done()
    assert set(map(tuple, asked)) == {("normal",)}
    await gate.close()


async def test_two_free_calls_do_not_begin_a_lower_level_than_was_asked_about() -> None:
    moved, asked = Clock(), list[Collection[Priority]]()

    async def has_commands(levels: Collection[Priority]) -> bool:
        asked.append(levels)
        return "normal" in levels

    server = server_of(2)
    gate = PriorityGate(server, has_commands)
    gate.joins("high")
    normal, low = await entered(gate, "normal", "low")
    await moved.forward(1)
    assert (normal.done(), low.done(), server.running) == (True, False, 1)
    assert ["high", "normal"] in asked
    await gate.close()
    low.cancel()
    await asyncio.gather(low, return_exceptions=True)


@pytest.mark.parametrize("fails", [False, True])
async def test_commands_of_a_higher_priority_that_do_not_come_hold_a_call_for_a_bounded_time(fails: bool) -> None:
    moved = Clock()

    async def has_commands(levels: Collection[Priority]) -> bool:
        if fails:
            raise EngineFailed("reading", "the disk is gone")
        return True

    server = server_of(2)
    gate = PriorityGate(server, has_commands)
    gate.joins("high")
    (call,) = await entered(gate, "normal")
    assert call.done() == fails
    await moved.forward(MAX_HELD_SECONDS + 1)
    assert call.done()
    (another,) = await entered(gate, "normal")
    assert (another.done(), server.running) == (fails, 1 + fails), "each command is held"
    await gate.close()
    another.cancel()
    await asyncio.gather(another, return_exceptions=True)


async def test_a_call_that_was_passed_over_often_enough_does_not_ask() -> None:
    asked = list[Collection[Priority]]()

    async def has_commands(levels: Collection[Priority]) -> bool:
        asked.append(levels)
        return True

    server = server_of(1)
    gate = PriorityGate(server, has_commands)
    gate.joins("low")
    await entered(gate, "normal")
    (low,) = await entered(gate, "low")
    others = [task for _ in range(9) for task in await entered(gate, "normal")]
    for done in range(9):
        assert (low.done(), sum(other.done() for other in others)) == (done == 9, min(done, 8))
        server.running -= 1
        gate.notify()
        await idle()
    assert (low.done(), asked) == (True, [])
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
