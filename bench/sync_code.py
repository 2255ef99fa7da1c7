"""The cost of a sync handler in a thread, beside `asyncio.to_thread`."""

import asyncio
from time import perf_counter

from bench.question import Contestant, Question
from bench.worker import run

CALLS = 2000
WARM_UP = 50

QUESTION = Question(
    name="sync_code",
    title="A sync function in a thread",
    method=(
        "One call after the other of a `def` function that does nothing. A `def` handler of telex gets each call as a "
        "published message, in memory; `asyncio.to_thread` is awaited in a loop, and by an async handler of telex."
    ),
    unit="microseconds",
    better="less",
    cases={"call": "one call"},
    contestants=(
        Contestant("telex", "telex, a `def` handler", "a message for each call"),
        Contestant("telex_async", "telex, an async handler", "awaits asyncio.to_thread"),
        Contestant("to_thread", "asyncio.to_thread", "awaited in a loop", calls=True),
    ),
    rounds=7,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Microseconds a call."""
    calls = 10 if quick else CALLS
    return run(_to_thread(calls) if contestant == "to_thread" else _telex(contestant, calls)), 0


def work(number: int) -> None:
    """The function that each contestant calls."""


async def _to_thread(calls: int) -> float:
    for _ in range(WARM_UP):
        await asyncio.to_thread(work, 1)
    start = perf_counter()
    for number in range(calls):
        await asyncio.to_thread(work, number)
    return (perf_counter() - start) / calls * 1e6


async def _telex(contestant: str, calls: int) -> float:
    import telex

    hub = telex.Hub("memory://")

    async def awaits(number: int) -> None:
        await asyncio.to_thread(work, number)

    hub.on("work", buffer=calls)(work if contestant == "telex" else awaits)
    async with hub:
        topic = hub.topic("work")
        for number in range(WARM_UP):
            topic.publish_nowait(number)
        await hub.idle()
        start = perf_counter()
        for number in range(calls):
            topic.publish_nowait(number)
        await hub.idle()
        return (perf_counter() - start) / calls * 1e6
