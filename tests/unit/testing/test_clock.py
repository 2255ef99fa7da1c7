"""The virtual clock: waiting takes no time, and the order of timers is that of real time."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import telex
from telex.testing.clock import BEGIN, THREAD_SECONDS, VirtualClock


@given(st.lists(st.integers(0, 10**8), max_size=20))
@settings(max_examples=25)
def test_sleepers_wake_at_their_time_in_order(waits: list[int]) -> None:
    clock, woken = VirtualClock(), list[tuple[float, int]]()

    async def sleep(seconds: int) -> None:
        await asyncio.sleep(seconds)
        woken.append((clock(), seconds))

    async def main() -> None:
        await asyncio.gather(*(sleep(seconds) for seconds in waits))

    clock.run(main())
    begin = BEGIN.timestamp()
    assert [seconds for _, seconds in woken] == sorted(waits)
    assert all(at == pytest.approx(begin + seconds, abs=1e-3) for at, seconds in woken)
    assert clock() == pytest.approx(begin + max(waits, default=0), abs=1e-3)


def test_a_year_takes_no_real_time() -> None:
    clock, real = VirtualClock(), time.monotonic()
    clock.run(asyncio.sleep(365 * 86400))
    assert time.monotonic() - real < 5
    assert clock.now == BEGIN + timedelta(days=365)


def test_it_begins_where_it_is_told_and_goes_on_from_run_to_run() -> None:
    begin = datetime(1999, 12, 31, 23, 59, tzinfo=UTC)
    clock = VirtualClock(begin)
    assert (clock(), clock.now) == (begin.timestamp(), begin)
    for _ in range(2):
        clock.run(asyncio.sleep(30))
    assert clock.now == datetime(2000, 1, 1, tzinfo=UTC)


def test_run_returns_and_raises_as_the_coroutine_does() -> None:
    async def answer() -> int:
        await asyncio.sleep(1)
        return 7

    async def fail() -> None:
        raise LookupError

    clock = VirtualClock()
    assert clock.run(answer()) == 7
    with pytest.raises(LookupError):
        clock.run(fail())


def test_time_stands_still_while_tasks_can_run() -> None:
    clock = VirtualClock()

    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return clock()

    assert clock.run(main()) == BEGIN.timestamp()


def test_time_stands_still_while_a_thread_loads_a_file() -> None:
    clock, seen = VirtualClock(), list[float]()

    async def main() -> None:
        loop, timer = asyncio.get_running_loop(), asyncio.create_task(asyncio.sleep(10))
        clock.hold(lambda: True, lambda: not seen)
        # Longer than the clock waits for a thread that may itself wait for a timer.
        await loop.run_in_executor(None, threading.Event().wait, 3 * THREAD_SECONDS)
        seen.append(clock())
        await timer

    clock.run(main())
    assert seen == [BEGIN.timestamp()]
    assert clock.now == BEGIN + timedelta(seconds=10)


def test_a_machine_that_slept_finds_its_timers_due() -> None:
    clock, fired = VirtualClock(), list[float]()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for wait in (10, 20, 400):
            loop.call_later(wait, lambda: fired.append(clock() - BEGIN.timestamp()))
        clock.advance(300)
        await asyncio.sleep(0.5)
        assert fired == [300, 300]
        await asyncio.sleep(100)

    clock.run(main())
    assert fired == [300, 300, 400]


def test_a_hub_uses_it() -> None:
    clock, fired = VirtualClock(), list[datetime]()

    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            hub.every("1h", name="hourly", run_in="loop")(lambda: fired.append(clock.now))
            await asyncio.sleep(3 * 3600 + 1)

    clock.run(main())
    assert fired == [BEGIN + timedelta(hours=hour) for hour in (1, 2, 3)]
