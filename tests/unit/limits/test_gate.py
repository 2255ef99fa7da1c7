"""The calls that wait for a limit: when they begin, in which order, and how many wait."""

import asyncio
from typing import Any

import pytest

import telex
from telex.limits.gate import MAX_BLOCKED, Waiting
from telex.limits.limiter import KEEP_SECONDS
from telex.runtime import Runtime
from tests.unit.limits.parts import Calls, clock, processes, spec


def test_calls_of_a_key_begin_as_often_as_the_rate_says_and_keys_do_not_wait_for_each_other() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(rate="2/s"))
            calls.add(*["a"] * 5, "b")
            await asyncio.sleep(10)
            (first, *times), other = calls.times("a"), calls.times("b")
            assert [round(time - first, 2) for time in times] == [0.5, 1.0, 1.5, 2.0]
            assert other == [pytest.approx(first, abs=0.01)]

    clock.run(main)


def test_processes_share_a_rate_to_the_call() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 3) as made:
            every = [Calls(each, spec(rate="10/s", burst=5)) for each in made]
            for calls in every:
                calls.add(*["a"] * 100)
            await asyncio.sleep(10)
            times = sorted(time for calls in every for time in calls.times("a"))
            assert len(times) == pytest.approx(105, abs=6)
            for first in range(len(times)):
                for last in range(first, len(times)):
                    assert last - first + 1 <= (times[last] - times[first]) * 10 + 5 + 0.01
            for calls in every:
                calls.gate.close()

    clock.run(main)


@pytest.mark.slow
def test_processes_share_slots_and_each_gets_its_turn() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 3) as made:
            every = [Calls(each, spec(concurrency=2), seconds=0.1) for each in made]
            running: list[int] = []
            for calls in every:
                calls.add(*["a"] * 100)
            for _ in range(2000):
                await asyncio.sleep(0.01)
                running.append(sum(calls.running for calls in every))
            assert max(running) == 2
            for calls in every:
                assert len(calls.begins) == 100
            ends = [calls.begins[-1][1] for calls in every]
            assert max(ends) - min(ends) < 10, "no process waits until the others have nothing to do"

    clock.run(main)


def test_a_process_asks_for_no_record_for_each_call_while_it_keeps_its_slots() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls, asked, records = Calls(one, spec(concurrency=2), seconds=0.01), 0, runtime.records("this test")
            get, put = records.get, records.put

            async def counted_get(*arguments: Any) -> Any:
                nonlocal asked
                asked += 1
                return await get(*arguments)

            async def counted_put(*arguments: Any) -> Any:
                nonlocal asked
                asked += 1
                return await put(*arguments)

            records.get, records.put = counted_get, counted_put  # type: ignore[method-assign,assignment]
            calls.add(*["a"] * 200)
            await asyncio.sleep(5)
            assert len(calls.begins) == 200
            assert asked <= 100 * 0.01 / KEEP_SECONDS + 10

    clock.run(main)


def test_no_more_calls_begin_than_may_run_in_the_process_and_none_takes_its_token_early() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(rate="1/s", burst=10), most=1, seconds=0.7)
            calls.add(*["a"] * 4)
            await asyncio.sleep(10)
            assert calls.top == 1
            first = calls.times("a")[0]
            assert [round(time - first, 1) for time in calls.times("a")] == [0.0, 0.7, 1.4, 2.1]

    clock.run(main)


def test_a_long_line_delays_another_key_by_one_call() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(concurrency=1), most=2, seconds=0.1)
            calls.add(*["long"] * 900)
            await asyncio.sleep(5)
            calls.add("short")
            before = len(calls.begins)
            await asyncio.sleep(0.5)
            order = [item for item, _ in calls.begins[before:]]
            assert order.index("short") <= 1
            calls.gate.close()

    clock.run(main)


def test_the_longest_line_gives_up_its_tail_and_its_calls_come_again_one_after_the_other() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(rate="1/s"))
            calls.add("other", "other", *["long"] * (MAX_BLOCKED + 1000))
            await asyncio.sleep(0.01)
            calls.add(*["long"] * 10)
            assert calls.gate.lines.blocked <= MAX_BLOCKED
            assert {item for item, _ in calls.spilled} == {"long"}
            delays = [delay for _, delay in calls.spilled]
            assert all(0 < delay <= 900 for delay in delays)
            assert len({round(delay) for delay in delays if delay < 900}) == len([d for d in delays if d < 900])
            calls.gate.close()

    clock.run(main)


def test_calls_wait_and_go_on_after_the_engine_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls, put, failures = Calls(one, spec(rate="100/s")), runtime.records("this test").put, 3

            async def failing(*arguments: object) -> object:
                nonlocal failures
                failures -= 1
                if failures >= 0:
                    raise telex.EngineFailed("putting a record", "as it was told")
                return await put(*arguments)  # type: ignore[arg-type]

            runtime.records("this test").put = failing  # type: ignore[method-assign,assignment]
            calls.add("a", "a")
            await asyncio.sleep(10)
            assert len(calls.begins) == 2

    clock.run(main)
    assert len([record for record in caplog.records if "cannot be asked" in record.message]) == 1


def test_a_closed_gate_begins_nothing_and_leaves_no_slot() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 2) as (one, two):
            calls, other = Calls(one, spec(concurrency=1)), Calls(two, spec(concurrency=1))
            calls.add("a", "a")
            assert [waiting.item for waiting in calls.gate.close()] == ["a", "a"]
            other.add("a")
            await asyncio.sleep(2)
            assert (len(calls.begins), len(other.begins)) == (0, 1)

    clock.run(main)


def test_gates_of_one_name_share_the_slots_of_their_process() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(concurrency=1), seconds=1.0)
            other = Calls(one, spec(concurrency=1), seconds=1.0)
            calls.add("a", "a")
            other.add("a", "a")
            for _ in range(50):
                await asyncio.sleep(0.1)
                assert calls.running + other.running <= 1
            assert (len(calls.begins), len(other.begins)) == (2, 2)

    clock.run(main)


def test_higher_levels_begin_first() -> None:
    async def main(runtime: Runtime) -> None:
        async with processes(runtime, 1) as (one,):
            calls = Calls(one, spec(rate="1/s"))
            for item, level in (("low", 0), ("normal", 1), ("high", 2)):
                calls.gate.add("k", Waiting(calls, item), level)
            await asyncio.sleep(5)
            assert [item for item, _ in calls.begins] == ["high", "normal", "low"]

    clock.run(main)
