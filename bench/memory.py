"""The memory of a subscriber that waits, and of a topic through which many messages go."""

import asyncio
import gc
import resource
import sys
import tracemalloc
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

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
        "A waiting subscriber: what Python allocated (tracemalloc) while 1000 tasks that were there already each "
        "subscribed and came to wait for a message, by subscriber. A million publishes: how much the resident memory "
        "of the process grew in the million that follows the first 50 000 messages; default retention, one subscriber "
        "reading."
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
        Contestant("asyncio_queue", "asyncio.Queue", "a task that waits in get", cases=("receive",)),
    ),
    rounds=3,
)

# The user's own task: it waits at the gate, then subscribes and waits for a message.
User = Callable[[asyncio.Future[None]], Coroutine[Any, Any, None]]


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Bytes."""
    if case == "million":
        return run(_million(WARM if quick else PUBLISHES)), 0
    subscribers = 10 if quick else WAITING
    if contestant == "asyncio_queue":
        return run(_by_subscriber(subscribers, _queue_waiter)), 0
    return run(_telex_waiters(subscribers, case)), 0


async def _by_subscriber(count: int, user: User) -> float:
    """The bytes that each of ``count`` tasks allocates between its gate and its wait for a message."""
    tracemalloc.start()
    loop = asyncio.get_running_loop()
    # The gates outlive the measurement, so that nothing is freed between its two looks.
    gates = [loop.create_future() for _ in range(count + 1)]
    tasks = [asyncio.create_task(user(gate)) for gate in gates]
    try:
        # The first goes ahead: what is made once in a process belongs to no subscriber.
        await _let_through(gates[:1])
        before = tracemalloc.get_traced_memory()[0]
        await _let_through(gates[1:])
        return (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _let_through(gates: list[asyncio.Future[None]]) -> None:
    for gate in gates:
        gate.set_result(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()


async def _queue_waiter(gate: asyncio.Future[None]) -> None:
    await gate
    queue: asyncio.Queue[str] = asyncio.Queue()
    while True:
        await queue.get()


async def _telex_waiters(count: int, case: str) -> float:
    import telex

    async with telex.Hub("memory://") as hub:
        topic = hub.topic(TOPIC)

        async def iterate(gate: asyncio.Future[None]) -> None:
            await gate
            async with topic.subscribe() as inbox:
                async for _ in inbox:
                    pass

        async def receive(gate: asyncio.Future[None]) -> None:
            await gate
            async with topic.subscribe() as inbox:
                while True:
                    await inbox.receive()

        async def batches(gate: asyncio.Future[None]) -> None:
            await gate
            async with topic.subscribe() as inbox:
                async for _ in inbox.batches():
                    pass

        users: dict[str, User] = {"async for": iterate, "receive": receive, "batches": batches}
        return await _by_subscriber(count, users[case])


def _resident() -> int:
    """Resident bytes of this process."""
    if sys.platform != "linux":
        raise Absent(f"resident memory is read from /proc, which {sys.platform} has not")
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


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
