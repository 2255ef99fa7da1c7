"""Calls that wait for a limit themselves."""

import asyncio

import pytest

from telex.limits.passage import Late, Released, pass_gate
from telex.runtime import Runtime
from tests.unit.limits.parts import clock, processes, spec


def test_a_call_that_is_cancelled_or_late_takes_nothing_of_the_limit() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            gate, loop = one.gate(spec(concurrency=1), 10, 30.0, bounded=False), asyncio.get_running_loop()

            async def call(seconds: float, until: float | None = None) -> float:
                async with pass_gate(gate, "k", until=until):
                    began = loop.time()
                    await asyncio.sleep(seconds)
                    return began

            first = asyncio.create_task(call(10))
            await asyncio.sleep(1)
            cancelled, late = asyncio.create_task(call(1)), asyncio.create_task(call(1, until=loop.time() + 2))
            await asyncio.sleep(1)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            with pytest.raises(Late):
                await late
            assert gate.waiting == 0
            assert await call(0) == pytest.approx(await first + 10, abs=0.1)

    clock.run(main)


def test_a_call_that_is_cancelled_when_its_turn_has_come_gives_its_turn_back() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            gate = one.gate(spec(concurrency=1), 1, 30.0, bounded=False)
            go_on = asyncio.Event()

            async def call() -> None:
                async with pass_gate(gate, "k"):
                    await go_on.wait()

            first, second = asyncio.create_task(call()), asyncio.create_task(call())
            await asyncio.sleep(1)
            start = gate.lines.take

            def take_and_cancel(key: str) -> object:
                second.cancel()
                return start(key)

            gate.lines.take = take_and_cancel  # type: ignore[method-assign,assignment]
            go_on.set()
            await first
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.lines.take = start  # type: ignore[method-assign]
            async with asyncio.timeout(5):
                await call()

    clock.run(main)


def test_calls_leave_when_their_gate_closes() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            gate = one.gate(spec(concurrency=1), 1, 30.0, bounded=True)
            other = one.gate(spec(concurrency=1), 1, 30.0, bounded=False)

            async def call() -> None:
                async with pass_gate(gate, "k"):
                    raise AssertionError

            async with pass_gate(other, "k"):
                waiting = asyncio.create_task(call())
                await asyncio.sleep(1)
                one.drain()
                with pytest.raises(Released) as left:
                    await waiting
                assert left.value.seconds == 0

    clock.run(main)
