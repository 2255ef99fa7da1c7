"""The cost of a timer among a hundred thousand, and its delay."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from bench.question import Contestant, Question
from bench.worker import run

FEW, MANY = 1000, 100_000
SMALL = 50  # of a quick run
# As in bench/fanout.py: the median of so many slices. A hundred thousand are a slice of their own.
SLICES = 5
LATE = 5000  # timers whose lateness is measured, in so many seconds
SPREAD = 1.0
HOUR = 3600.0
SOON = 0.05
PERIOD = 1.0
IDLE = 10_000
IDLE_SECONDS = 2.0

QUESTION = Question(
    name="timers",
    title="Timers",
    method=(
        "So many timers, each fires once and has its own topic; all firings are read by one subscriber to their "
        "pattern, a message at a time. Adding: each for some instant in the next hour. Cancelling: all of them, in the "
        "order of adding. Firing: all are due when the event loop gets its turn, and the time is that until the last "
        "firing was read, or the last function has run. Periodic: as many that repeat, on one topic. Lateness: 5000 "
        "timers fall due within a second, at the same instants for all; from the instant that was asked for to the "
        "moment in which the subscriber or the function has it, the 99th percentile. Idle: processor time that a "
        "process takes in a second in which none of its ten thousand timers is due."
    ),
    unit="microseconds",
    better="less",
    cases={
        "add_few": "adding one of a thousand",
        "add_many": "adding one of 100 000",
        "cancel_few": "cancelling one of a thousand",
        "cancel_many": "cancelling one of 100 000",
        "fire_few": "firing one of a thousand",
        "fire_many": "firing one of 100 000",
        "periodic": "firing one of 100 000, periodic",
        "late": "lateness, p99",
        "idle": "idle, of a second",
    },
    contestants=(
        Contestant("telex", "telex", "hub.after and hub.every, in memory"),
        Contestant("call_at", "loop.call_at", "appends to a list; periodic: schedules itself again", calls=True),
        Contestant(
            "apscheduler",
            "APScheduler 3",
            "AsyncIOScheduler in memory, async functions, all jobs added before it starts",
            cases=("fire_many", "periodic", "idle"),
            calls=True,
        ),
    ),
    rounds=3,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Microseconds."""
    if case == "late":
        return _lateness(contestant, SMALL if quick else LATE, SPREAD / 20 if quick else SPREAD), 0
    if case == "idle":
        return run(IDLERS[contestant](SMALL if quick else IDLE, 0.01 if quick else IDLE_SECONDS)), 0
    what, _, size = case.partition("_")
    count = SMALL if quick else {"few": FEW, "many": MANY, "": MANY}[size]
    slices = SLICES if size == "few" and not quick else 1
    return median([_one(contestant, what, count) for _ in range(slices)]), 0


def _one(contestant: str, what: str, count: int) -> float:
    measured = run(MEASURES[contestant, what](count))
    return measured / count * 1e6


def delays(count: int, within: float) -> list[float]:
    """Seconds from now, evenly spread and in no order."""
    return [within * (number * 7919 % count) / count for number in range(count)]


# -- telex


async def _telex_add(count: int) -> float:
    return (await _telex_added_and_cancelled(count))[0]


async def _telex_cancel(count: int) -> float:
    return (await _telex_added_and_cancelled(count))[1]


async def _telex_added_and_cancelled(count: int) -> tuple[float, float]:
    import telex

    async with telex.Hub("memory://") as hub:
        begun = perf_counter()
        triggers = [
            hub.after(delay, topic=f"timer:{number}") for number, delay in enumerate(delays(count, HOUR), count)
        ]
        added = perf_counter()
        for trigger in triggers:
            trigger.cancel()
        return added - begun, perf_counter() - added


async def _telex_fire(count: int) -> float:
    import telex

    async with telex.Hub("memory://") as hub, hub.topic("timer:*").subscribe(buffer=count) as inbox:
        for number, delay in enumerate(delays(count, SOON), count):
            hub.after(delay, topic=f"timer:{number}", misfire="once")
        return await _read(inbox, count)


async def _telex_periodic(count: int) -> float:
    import telex

    async with telex.Hub("memory://") as hub, hub.topic("ticks").subscribe(buffer=count) as inbox:
        for number in range(count):
            hub.every(PERIOD, topic="ticks", name=f"timer:{number}", misfire="once")
        return await _read(inbox, count, PERIOD)


async def _read(inbox: AsyncIterator[object], count: int, due: float = SOON) -> float:
    """Until so many firings were read, from the moment on in which the loop can see that they are due."""
    time.sleep(due)  # noqa: ASYNC251  # nothing may fire yet
    begun = perf_counter()
    async for _ in inbox:
        count -= 1
        if not count:
            break
    return perf_counter() - begun


async def _telex_late(instants: list[float]) -> list[float]:
    import telex

    async with telex.Hub("memory://") as hub, hub.topic("timer:*").subscribe(buffer=len(instants)) as inbox:
        begun, late = time.time(), []
        for number, instant in enumerate(instants):
            hub.at(datetime.fromtimestamp(begun + instant, UTC), topic=f"timer:{number}")
        async for message in inbox:
            late.append(time.time() - message.content.scheduled.timestamp())
            if len(late) == len(instants):
                break
        return late


async def _telex_idle(count: int, seconds: float) -> float:
    import telex

    async with telex.Hub("memory://") as hub:
        for number in range(count):
            hub.after("1h", topic=f"timer:{number}")
        return await _processor_time(seconds)


async def _processor_time(seconds: float) -> float:
    """Microseconds of the processor, of a second in which this process does nothing."""
    await asyncio.sleep(0.01)
    begun = time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - begun) / seconds * 1e6


# -- asyncio's own


async def _call_at_add(count: int) -> float:
    return (await _call_at_added_and_cancelled(count))[0]


async def _call_at_cancel(count: int) -> float:
    return (await _call_at_added_and_cancelled(count))[1]


async def _call_at_added_and_cancelled(count: int) -> tuple[float, float]:
    loop, ran = asyncio.get_running_loop(), []
    begun = perf_counter()
    handles = [loop.call_later(delay, ran.append, number) for number, delay in enumerate(delays(count, HOUR))]
    added = perf_counter()
    for handle in handles:
        handle.cancel()
    return added - begun, perf_counter() - added


class _Counted:
    """Count the calls of a callback, and set an event at the last one."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._all = asyncio.get_running_loop().create_future()

    def called(self) -> None:
        self._left -= 1
        if not self._left:
            self._all.set_result(None)

    async def all(self, due: float = SOON) -> float:
        time.sleep(due)  # noqa: ASYNC251  # as in `_read`
        begun = perf_counter()
        await self._all
        return perf_counter() - begun


async def _call_at_fire(count: int) -> float:
    loop, counted = asyncio.get_running_loop(), _Counted(count)
    for delay in delays(count, SOON):
        loop.call_later(delay, counted.called)
    return await counted.all()


async def _call_at_periodic(count: int) -> float:
    loop, counted = asyncio.get_running_loop(), _Counted(count)

    def tick(instant: float) -> None:
        counted.called()
        loop.call_at(instant + PERIOD, tick, instant + PERIOD)

    for _ in range(count):
        instant = loop.time() + PERIOD
        loop.call_at(instant, tick, instant)
    return await counted.all(PERIOD)


async def _call_at_late(instants: list[float]) -> list[float]:
    loop, late = asyncio.get_running_loop(), []
    enough: asyncio.Future[None] = loop.create_future()
    begun, offset = time.time(), loop.time() - time.time()

    def note(instant: float) -> None:
        late.append(time.time() - instant)
        if len(late) == len(instants):
            enough.set_result(None)

    for instant in instants:
        loop.call_at(begun + instant + offset, note, begun + instant)
    await enough
    return late


async def _call_at_idle(count: int, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    for _ in range(count):
        loop.call_later(HOUR, print)
    return await _processor_time(seconds)


# -- APScheduler


async def _apscheduler_fire(count: int) -> float:
    from apscheduler.triggers.date import DateTrigger

    now = datetime.now(UTC)
    return await _apscheduled(count, SOON, lambda delay: DateTrigger(now + timedelta(seconds=delay), UTC))


async def _apscheduler_periodic(count: int) -> float:
    from apscheduler.triggers.interval import IntervalTrigger

    return await _apscheduled(count, PERIOD, lambda delay: IntervalTrigger(seconds=PERIOD, timezone=UTC))


async def _apscheduled(count: int, due: float, trigger: Callable[[float], object]) -> float:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    counted = _Counted(count)

    async def job() -> None:
        counted.called()

    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})
    for number, delay in enumerate(delays(count, due)):
        scheduler.add_job(job, trigger(delay), id=str(number))
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # or it tells of each that ends with it
    scheduler.start()
    try:
        return await counted.all(due)
    finally:
        scheduler.shutdown(wait=False)


async def _apscheduler_idle(count: int, seconds: float) -> float:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler
    from apscheduler.triggers.date import DateTrigger

    scheduler = AsyncIOScheduler(timezone=UTC)
    for number in range(count):
        scheduler.add_job(_nothing, DateTrigger(datetime.now(UTC) + timedelta(hours=1), UTC), id=str(number))
    scheduler.start()
    try:
        return await _processor_time(seconds)
    finally:
        scheduler.shutdown(wait=False)


async def _nothing() -> None:
    pass


def _lateness(contestant: str, count: int, spread: float) -> float:
    """The 99th percentile."""

    async def percentile() -> float:
        # The first are half a second away, so that all are there before.
        late = await LATE_ONES[contestant]([0.5 + delay for delay in delays(count, spread)])
        return quantiles(late, n=100)[98] * 1e6

    return median([run(percentile()) for _ in range(3)])


MEASURES: dict[tuple[str, str], Callable[[int], Coroutine[Any, Any, float]]] = {
    ("telex", "add"): _telex_add,
    ("telex", "cancel"): _telex_cancel,
    ("telex", "fire"): _telex_fire,
    ("telex", "periodic"): _telex_periodic,
    ("call_at", "add"): _call_at_add,
    ("call_at", "cancel"): _call_at_cancel,
    ("call_at", "fire"): _call_at_fire,
    ("call_at", "periodic"): _call_at_periodic,
    ("apscheduler", "fire"): _apscheduler_fire,
    ("apscheduler", "periodic"): _apscheduler_periodic,
}
LATE_ONES: dict[str, Callable[[list[float]], Coroutine[Any, Any, list[float]]]] = {
    "telex": _telex_late,
    "call_at": _call_at_late,
}
IDLERS: dict[str, Callable[[int, float], Coroutine[Any, Any, float]]] = {
    "telex": _telex_idle,
    "call_at": _call_at_idle,
    "apscheduler": _apscheduler_idle,
}
