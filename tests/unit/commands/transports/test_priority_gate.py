"""The gate between the priorities of a command in a worker."""

import asyncio

import telex
from telex.commands.plan import LEVELS, Priority
from telex.commands.server import CommandServer
from telex.commands.spec import declare_command
from telex.commands.transports.priority_gate import PriorityGate
from telex.engines.memory.engine import MemoryEngine
from telex.once.options import DEFAULTS
from telex.runtime import Runtime


def server_of(concurrency: int) -> CommandServer:
    def nothing() -> None: ...

    options = {**DEFAULTS, "once": False, "lease": 30.0, "middleware": (), "concurrency": concurrency, "run_in": None}
    runtime = Runtime(MemoryEngine(), "memory://", None)
    return CommandServer(declare_command(nothing, "nothing", "", options), runtime)


async def test_the_calls_of_all_levels_together_are_bounded_and_begin_by_priority() -> None:
    server, begun = server_of(1), list[Priority]()
    gate = PriorityGate(server)
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
    gate = PriorityGate(server)
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
    gate = PriorityGate(server)
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
    gate = PriorityGate(server_of(1))
    assert [gate.joins("normal"), gate.joins("low"), gate.joins("low")] == [False, True, False]
    assert telex.CommandInfo(id="1", command="a", state="queued").priority == "normal"
