"""Limits that are disturbed: cancelled tasks, a slow engine, an engine that is away, a clock that is set back."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

import telex
from telex.limits.gate import Waiting
from telex.limits.limit import Rule
from telex.limits.meter import CallRequest, KeyState, decide
from telex.runtime import Runtime
from tests.unit.limits.parts import Calls, clock, processes, spec
from tests.unit.limits.test_limiter import limiter, state


def disturb(runtime: Runtime, before: Callable[[str, str], Awaitable[None]]) -> None:
    """Await ``before`` with the name and the bucket of each operation on records."""
    records = runtime.records("this test")
    inner = {"get": records.get, "put": records.put}

    async def operation(name: str, bucket: str, *rest: Any) -> Any:
        await before(name, bucket)
        return await inner[name](bucket, *rest)  # type: ignore[operator]

    for name in inner:
        setattr(records, name, partial(operation, name))


def cancel_tasks(name: str) -> int:
    """Cancel the tasks of a name, as code that cancels all tasks does."""
    return sum(task.cancel() for task in asyncio.all_tasks() if task.get_name().startswith(name))


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_calls_begin_although_the_program_cancels_the_tasks_that_ask(turns: int) -> None:
    async def slow(*_: str) -> None:
        await asyncio.sleep(0.1)

    async def main(runtime: Runtime) -> None:
        disturb(runtime, slow)
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(concurrency=1), most=1)
            calls.add("a", "a")
            for _ in range(turns):
                await asyncio.sleep(0)
            assert cancel_tasks("telex limit n") == 1
            await asyncio.sleep(10)
            assert len(calls.begins) == 2
            assert (await state(runtime, "a")).slots == {}

    clock.run(main)


def test_heartbeats_go_on_although_the_program_cancels_their_task() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime) as (one, two):
            first, second = limiter(one, concurrency=1), limiter(two, concurrency=1)
            assert (await first.ask("k", 1)).count == 1
            await asyncio.sleep(1)
            assert cancel_tasks("telex limits") == 1
            for _ in range(300):
                assert (await second.ask("k", 1)).count == 0
                await asyncio.sleep(0.3)

    clock.run(main)


def test_slots_are_given_back_when_the_engine_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    is_away = False

    async def away(_: str, bucket: str) -> None:
        if is_away and bucket == "limit:n":
            raise telex.EngineFailed("putting a record", "as it was told")

    async def main(runtime: Runtime) -> None:
        nonlocal is_away
        disturb(runtime, away)
        async with processes(runtime) as (one, two):
            first, second = limiter(one, concurrency=1), limiter(two, concurrency=1)
            assert (await first.ask("k", 1)).count == 1
            is_away = True
            first.ended("k")
            await asyncio.sleep(5)
            is_away = False
            await asyncio.sleep(2)
            assert (await second.ask("k", 1)).count == 1

    clock.run(main)
    assert len([record for record in caplog.records if "giving back" in record.message]) == 1


def test_a_slot_that_is_free_while_the_record_is_written_goes_to_a_waiting_call() -> None:
    async def slow(name: str, _: str) -> None:
        if name == "put":
            await asyncio.sleep(0.1)

    async def main(runtime: Runtime) -> None:
        disturb(runtime, slow)
        async with processes(runtime, 1) as (one,):
            short = Calls(one, spec(concurrency=2), seconds=0.25)
            long = Calls(one, spec(concurrency=2), seconds=1000.0)
            short.add("a")
            await asyncio.sleep(0.4)  # it runs since 0.2 s, and ends while the others are asked for
            for _ in range(2):
                long.gate.lines.add("a", Waiting(long, "a"))
            long.add("a")  # all three are asked for at once
            await asyncio.sleep(2)
            assert len(long.begins) == 2
            long.gate.close()

    clock.run(main)


def test_a_slot_that_is_free_while_the_record_is_written_goes_to_another_process() -> None:
    async def slow(name: str, _: str) -> None:
        if name == "put":
            await asyncio.sleep(0.1)

    async def main(runtime: Runtime) -> None:
        disturb(runtime, slow)
        async with processes(runtime) as (one, two):
            short = Calls(one, spec(concurrency=2), seconds=0.25)
            long = Calls(one, spec(concurrency=2), seconds=1000.0)
            other = Calls(two, spec(concurrency=2), seconds=1000.0)
            short.add("a")
            await asyncio.sleep(0.4)
            long.add("a")
            await asyncio.sleep(2)
            other.add("a")
            await asyncio.sleep(5)
            assert len(long.begins) == len(other.begins) == 1

    clock.run(main)


def test_gates_of_one_name_take_turns() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(concurrency=1), seconds=1.0)
            other = Calls(one, spec(concurrency=1), seconds=1.0)
            calls.add(*["a"] * 50)
            other.add("a", "a")
            await asyncio.sleep(6)
            assert len(other.begins) == 2
            calls.gate.close()

    clock.run(main)


def test_a_slot_with_a_rate_goes_from_call_to_call_while_another_process_has_the_other_slot() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime) as (one, two):
            long = Calls(two, spec(rate="50/s", concurrency=2), seconds=1000.0)
            long.add("a")
            await asyncio.sleep(1)
            calls = Calls(one, spec(rate="50/s", concurrency=2), seconds=0.03)
            calls.add(*["a"] * 100)
            await asyncio.sleep(5)
            assert len(calls.begins) == 100

    clock.run(main)


def test_a_key_that_is_asked_for_leaves_calls_to_the_other_keys() -> None:
    async def slow(*_: str) -> None:
        await asyncio.sleep(0.1)

    async def main(runtime: Runtime) -> None:
        disturb(runtime, slow)
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(rate="1/s"), most=8)
            calls.add(*[key for key in "abcdefgh" for _ in range(20)])
            await asyncio.sleep(1.28)  # the second calls begin after a write at 1.1 s
            assert sorted(item for item, _ in calls.begins) == sorted("abcdefgh" * 2)
            calls.gate.close()

    clock.run(main)


def test_a_process_that_lives_keeps_its_slots_while_the_engine_is_away() -> None:
    is_away = False

    async def away(*_: str) -> None:
        if is_away:
            raise telex.EngineFailed("using a record", "as it was told")

    async def main(runtime: Runtime) -> None:
        nonlocal is_away
        disturb(runtime, away)
        async with processes(runtime) as (one, two):
            calls = Calls(one, spec(concurrency=1), seconds=400.0)
            other = Calls(two, spec(concurrency=1), seconds=1.0)
            calls.add("a")
            await asyncio.sleep(1)
            other.add("a")
            for part in range(8):  # of a second: sometimes the heartbeat comes first, sometimes the look at it
                await asyncio.sleep(7)
                is_away = True
                await asyncio.sleep(35 + part / 8)
                is_away = False
            await asyncio.sleep(30)
            assert (len(calls.begins), len(other.begins)) == (1, 0)
            await asyncio.sleep(60)
            assert len(other.begins) == 1

    clock.run(main)


def test_a_clock_that_is_set_back_does_not_stop_the_calls() -> None:
    rule, one = Rule(1.0, 5, None), CallRequest("p", 0, 1)
    ahead = decide(KeyState(arrival=5000.0), rule, one, 1000.0)
    assert (ahead.granted, ahead.wait) == (0, 1.0), "as after a full burst"
    assert decide(ahead.state, rule, one, 1001.0).granted == 1
    skewed = decide(KeyState(arrival=1014.0), rule, one, 1000.0)
    assert (skewed.granted, skewed.wait) == (0, 10.0), "another process may be ahead"


def test_a_gate_goes_on_when_the_gate_that_got_the_free_slot_waits_for_the_rate() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(rate="1/s", concurrency=1), seconds=0.2)
            other = Calls(one, spec(rate="1/s", concurrency=1), seconds=0.2)
            calls.add("a")
            await asyncio.sleep(0.1)
            leaving = Waiting(calls, "a")
            calls.gate.add("a", leaving)
            other.add("a")
            await asyncio.sleep(0.5)  # the call has ended, and the first gate was asked for its slot
            assert calls.gate.remove("a", leaving)
            await asyncio.sleep(10)
            assert len(other.begins) == 1

    clock.run(main)
