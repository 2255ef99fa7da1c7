"""What does a subscriber that waits cost, and does a topic grow with what goes through it?"""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from bench.peers import CONTENT, TOPIC
from bench.question import Absent, Contestant, Question
from bench.worker import run

WAITING = 1000
PUBLISHES = 1_000_000
WARM = 50_000

QUESTION = Question(
    name="memory",
    title="Memory",
    method=(
        "A waiting subscriber: what Python allocated (tracemalloc) for 1000 subscribers that each wait for a message in a task "
        "of their own, less what it allocated for 1000 tasks that each wait for a bare future, by subscriber. A million "
        "publishes: how much the resident memory of the process grew between the first 50 000 messages and a million, default "
        "retention, one subscriber reading."
    ),
    unit="bytes",
    better="less",
    cases={
        "async for": "a subscriber that waits in async for",
        "receive": "a subscriber that waits in receive",
        "batches": "a subscriber that waits in batches()",
        "million": "growth over a million publishes",
    },
    contestants=(
        Contestant("telex", "telex"),
        Contestant("asyncio_queue", "asyncio.Queue", "unbounded, a task that waits in get", cases=("receive",)),
    ),
    rounds=3,
)

Wait = Callable[[], Awaitable[object]]


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Bytes."""
    if case == "million":
        return run(_million(WARM if quick else PUBLISHES)), 0
    subscribers = 10 if quick else WAITING
    if contestant == "asyncio_queue":
        return run(_beyond_tasks(subscribers, _queue_waiter)), 0
    return run(_telex_waiters(subscribers, case)), 0


async def _allocated(count: int, waiter: Callable[[], Awaitable[object]]) -> float:
    """Bytes by task, for ``count`` tasks that each run ``waiter()`` to its first wait."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    tasks = [asyncio.ensure_future(waiter()) for _ in range(count)]
    await asyncio.sleep(0)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return (after - before) / count


async def _bare_waiter() -> None:
    # As many names and calls as the user's own loop has: the coroutine of a task, and what it waits for.
    await asyncio.get_running_loop().create_future()


async def _queue_waiter() -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    while True:
        await queue.get()


async def _beyond_tasks(count: int, waiter: Wait) -> float:
    tracemalloc.start()
    try:
        # Once of each that is not counted: what it makes is made once in a process.
        for warm in (_bare_waiter, waiter):
            await _allocated(1, warm)
        bare = await _allocated(count, _bare_waiter)
        return await _allocated(count, waiter) - bare
    finally:
        tracemalloc.stop()


async def _telex_waiters(count: int, case: str) -> float:
    import telex

    async with telex.Hub("memory://") as hub:
        topic = hub.topic(TOPIC)

        async def iterate() -> None:
            async with topic.subscribe() as inbox:
                async for _ in inbox:
                    pass

        async def receive() -> None:
            async with topic.subscribe() as inbox:
                while True:
                    await inbox.receive()

        async def batches() -> None:
            async with topic.subscribe() as inbox:
                async for _ in inbox.batches():
                    pass

        waiters: dict[str, Wait] = {"async for": iterate, "receive": receive, "batches": batches}
        return await _beyond_tasks(count, waiters[case])


def _resident() -> int:
    """Resident bytes of this process."""
    if sys.platform != "linux":
        raise Absent(f"resident memory is read from /proc, which {sys.platform} has not")
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


async def _million(publishes: int) -> float:
    import telex

    async with AsyncExitStack() as exits:
        hub = await exits.enter_async_context(telex.Hub("memory://"))
        topic = hub.topic(TOPIC)
        inbox = await exits.enter_async_context(topic.subscribe())
        before = 0
        for number in range(0, publishes + WARM, 50):
            if number == WARM:
                gc.collect()
                before = _resident()
            for _ in range(50):
                topic.publish_nowait(CONTENT)
            while inbox.waiting:
                await inbox.receive_many()
        gc.collect()
        if inbox.lost:
            raise AssertionError("the subscriber lost messages")
        return float(_resident() - before)
