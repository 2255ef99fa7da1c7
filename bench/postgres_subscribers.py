"""The cost of 1000 local subscribers of one topic for the server, beside one subscriber."""

import asyncio
from typing import Any

from bench.postgres_proxy import proxy
from bench.postgres_server import server
from bench.question import Contestant, Question
from bench.worker import run

COUNTS = {"one": 1, "thousand": 1000}
MESSAGES, FEW, TOGETHER = 2000, 64, 64
CONTENT = {"number": 1, "text": "hello there"}

QUESTION = Question(
    name="postgres_subscribers",
    title="Local subscribers and the server",
    method=(
        "One hub publishes, 64 messages at a time; another hub has so many subscribers of the topic, and each receives "
        "every message. A proxy between the second hub and the server counts its statements, and the bytes both ways."
    ),
    unit="statements, or bytes, for each message",
    better="less",
    cases={"statements": "statements", "bytes": "bytes"},
    contestants=(Contestant("one", "1 subscriber"), Contestant("thousand", "1000 subscribers")),
    rounds=3,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Statements, or bytes, for each message."""
    with server() as (url, conninfo):
        folder = conninfo.split()[0].partition("=")[2]
        subscribers = min(FEW, COUNTS[contestant]) if quick else COUNTS[contestant]
        return run(_measure(url, folder, case, subscribers, FEW if quick else MESSAGES)), 0


async def _measure(url: str, folder: str, case: str, subscribers: int, messages: int) -> float:
    import telex

    async with proxy(folder) as traffic, telex.Hub(url) as publisher:
        through = f"postgresql://telex@127.0.0.1:{traffic.port}/postgres?sslmode=disable&gssencmode=disable"
        async with telex.Hub(through) as hub:
            ready = asyncio.Barrier(subscribers + 1)
            listening = [asyncio.create_task(_listen(hub.topic("t"), messages, ready)) for _ in range(subscribers)]
            await ready.wait()
            before = traffic.statements if case == "statements" else traffic.bytes
            for first in range(0, messages, TOGETHER):
                count = min(TOGETHER, messages - first)
                await asyncio.gather(*(publisher.topic("t").publish(CONTENT) for _ in range(count)))
            await asyncio.gather(*listening)
            after = traffic.statements if case == "statements" else traffic.bytes
            return (after - before) / messages


async def _listen(topic: Any, messages: int, ready: asyncio.Barrier) -> None:
    async with topic.subscribe(overflow="catch_up") as inbox:
        await ready.wait()
        for _ in range(messages):
            await inbox.receive()
