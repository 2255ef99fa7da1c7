"""Do 10 million messages in a topic cost what 10 thousand cost?"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import Any
from uuid import uuid4

from bench.postgres_server import kept
from bench.question import Contestant, Question
from bench.worker import run

SIZES = {"many": 10_000_000, "few": 10_000}
QUICK_SIZES = {"many": 2000, "few": 1000}
CONTENT = {"number": 1, "text": "hello there"}
TEXT = '{"number":1,"text":"hello there"}'
WAITING, PUBLISHED, TIMES, PAGE, HANDLED = 64, 6400, 200, 1000, 5000
FEW = 64
RULE = 1_000_000_000
"""Messages that the topic may keep: nothing is deleted."""
FILL = """INSERT INTO telex.messages (pos, topic, seq, time, total, type, content)
    SELECT n + 1, t.id, n + 1, extract(epoch FROM now()) - 10, (n + 1) * {size}, 'dict', '{text}'
    FROM telex.topics t, generate_series(1, {count}) AS n WHERE t.name = 't';
SELECT setval('telex.pos', {count} + 1);
ANALYZE;
CHECKPOINT"""

QUESTION = Question(
    name="postgres_size",
    title="A topic with 10 million messages",
    method=(
        "A topic that was filled by SQL in the tables of the engine, then ANALYZE. Publishing by 64 that wait; reading "
        "the last 100 messages; a page of history, 1000 messages from a position in the middle; a group that begins "
        "5000 messages back and acknowledges each. The data stays in .cache for the next time."
    ),
    unit="milliseconds a message, or a reading",
    better="less",
    cases={
        "publish": "publishing",
        "end": "the last 100",
        "page": "a page of history",
        "group": "a group, one message",
    },
    contestants=(Contestant("many", "10 million messages"), Contestant("few", "10 thousand messages")),
    rounds=5,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Milliseconds."""
    size = (QUICK_SIZES if quick else SIZES)[contestant]
    ways: dict[str, Callable[[str, int, bool], Coroutine[Any, Any, float]]] = {
        "publish": _publish,
        "end": _end,
        "page": _page,
        "group": _group,
    }
    with kept(str(size), partial(_fill, size)) as (url, _):
        return run(ways[case](url, size, quick)), 0


def _fill(size: int, url: str, conninfo: str) -> None:
    import psycopg

    import telex.blocking

    with telex.blocking.Hub(url) as hub:
        hub.retain("t", messages=RULE)
        hub.topic("t").publish(CONTENT)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in FILL.format(size=len(TEXT), text=TEXT, count=size - 1).split(";"):
            connection.execute(statement.encode())


async def _publish(url: str, size: int, quick: bool) -> float:
    import telex

    count = FEW if quick else PUBLISHED
    async with telex.Hub(url) as hub:
        topic = hub.topic("t")

        async def publish() -> None:
            for _ in range(count // WAITING):
                await topic.publish(CONTENT)

        await topic.publish(CONTENT)
        start = perf_counter()
        await asyncio.gather(*(publish() for _ in range(WAITING)))
        return 1000 * (perf_counter() - start) / count


async def _readings(url: str, start: Any, limit: int, quick: bool) -> float:
    import telex

    times = 1 if quick else TIMES
    async with telex.Hub(url) as hub:
        topic = hub.topic("t")
        if isinstance(start, int) and start > limit:
            start = telex.Position(start, (await topic.position()).epoch)
        taken = 0.0
        for turn in range(times + 1):
            began = perf_counter()
            found = [message async for message in topic.history(start=start, limit=limit)]
            taken += perf_counter() - began if turn else 0.0  # the first one warms up
            assert len(found) == limit
        return 1000 * taken / times


async def _end(url: str, size: int, quick: bool) -> float:
    return await _readings(url, 100, 100, quick)


async def _page(url: str, size: int, quick: bool) -> float:
    return await _readings(url, size // 2, FEW if quick else PAGE, quick)


async def _group(url: str, size: int, quick: bool) -> float:
    import telex

    count, handled, name, done = FEW if quick else HANDLED, 0, f"g{uuid4().hex}", asyncio.Event()
    hub = telex.Hub(url)
    began = 0.0

    @hub.on("t", group=name, start=count)
    async def handle(content: dict[str, Any]) -> None:
        nonlocal handled, began
        began = began or perf_counter()
        handled += 1
        if handled == count:
            done.set()

    async with hub:
        await done.wait()
        while any(info.lag for info in await hub.groups.list() if info.group == name):  # noqa: ASYNC110  # the last acks are on their way
            await asyncio.sleep(0)
        taken = perf_counter() - began
        await hub.groups.forget(name, "t")
        return 1000 * taken / count
