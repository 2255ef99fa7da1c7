"""The cost of publishing for the publisher, with 1 subscriber and with 1000."""

import asyncio
import importlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from statistics import median
from time import perf_counter

from bench.peers import BUFFER, CONTENT, TOPIC, FanOut, caught_up
from bench.question import Contestant, Question
from bench.worker import run

BURST = 64
SECONDS = 0.1
# As in bench/fanout.py: the median of so many slices.
SLICES = 5
PRESENT = 1000

QUESTION = Question(
    name="publish_cost",
    title="What a message costs its publisher",
    method=(
        "Bursts of 64 messages, of which only the publishing is timed. Busy subscribers are doing something else "
        "while the burst is published; between bursts every one of them takes what it has, and so do others of "
        "another topic, so that 1000 do in either case. Waiting ones are parked at the first message of a burst and "
        "have to be woken."
    ),
    unit="microseconds a message",
    better="less",
    cases={"1": "1 busy", "1000": "1000 busy", "1 waiting": "1 waiting", "1000 waiting": "1000 waiting"},
    contestants=(
        Contestant("telex", "telex, publish_nowait"),
        Contestant("asyncio_queue", "asyncio.Queue, put_nowait to each"),
    ),
    rounds=5,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Microseconds a message; nothing is dropped, or it raises."""
    number, _, waiting = case.partition(" ")
    subscribers, seconds = (3, 0.0) if quick else (int(number), SECONDS)
    if waiting:
        return run(_to_waiting("telex_iterate" if contestant == "telex" else contestant, subscribers, seconds)), 0
    busy = _telex_busy if contestant == "telex" else _queues_busy
    return run(busy(subscribers, seconds)), 0


def _timed(publish: Callable[[str], object], seconds: float, take: Callable[[], None]) -> float:
    return median(_slice(publish, seconds, take) for _ in range(SLICES if seconds else 1))


def _slice(publish: Callable[[str], object], seconds: float, take: Callable[[], None]) -> float:
    spent, bursts, end = 0.0, 0, perf_counter() + seconds
    while not bursts or perf_counter() < end:
        start = perf_counter()
        for _ in range(BURST):
            publish(CONTENT)
        spent += perf_counter() - start
        bursts += 1
        take()
    return spent / bursts / BURST * 1e6


async def _telex_busy(subscribers: int, seconds: float) -> float:
    import telex

    async with AsyncExitStack() as exits:
        hub = await exits.enter_async_context(telex.Hub("memory://"))

        async def subscribed(topic: telex.Topic[str], count: int) -> list[telex.Subscription[str]]:
            return [await exits.enter_async_context(topic.subscribe(buffer=BUFFER)) for _ in range(count)]

        topic, elsewhere = hub.topic(TOPIC), hub.topic("elsewhere")
        # As many take between the bursts in either case: how cold they leave the processor's caches is the same.
        inboxes = await subscribed(topic, subscribers) + await subscribed(elsewhere, PRESENT - subscribers)

        def take() -> None:
            for _ in range(BURST):
                elsewhere.publish_nowait(CONTENT)
            for inbox in inboxes:
                while inbox.waiting:
                    inbox.receive_nowait()

        spent = _timed(topic.publish_nowait, seconds, take)
        if any(inbox.lost for inbox in inboxes):
            raise AssertionError("a subscriber lost messages")
        return spent


async def _queues_busy(subscribers: int, seconds: float) -> float:
    queues: list[asyncio.Queue[str]] = [asyncio.Queue(BUFFER) for _ in range(subscribers)]

    def publish(content: str) -> None:
        for queue in queues:
            queue.put_nowait(content)

    def take() -> None:
        for queue in queues:
            while not queue.empty():
                queue.get_nowait()

    return _timed(publish, seconds, take)


async def _to_waiting(module: str, subscribers: int, seconds: float) -> float:
    peer: FanOut = importlib.import_module(f"bench.peers.{module}").Peer()
    await peer.open(subscribers)
    figures, published = [], 0
    for _ in range(SLICES if seconds else 1):
        spent, bursts, end = 0.0, 0, perf_counter() + seconds
        while not bursts or perf_counter() < end:
            start = perf_counter()
            await peer.publish(BURST)
            spent += perf_counter() - start
            bursts += 1
            await caught_up(peer.behind)
        published += bursts * BURST
        figures.append(spent / bursts / BURST * 1e6)
    if sum(await peer.close()) != published * subscribers:
        raise AssertionError("messages were lost")
    return median(figures)
