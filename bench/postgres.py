"""The cost of keeping messages in PostgreSQL, beside psycopg itself."""

import asyncio
from time import perf_counter, time
from typing import Any

from bench.postgres_server import server
from bench.question import Contestant, Question
from bench.worker import run

WAITING = 64
CONTENT = {"number": 1, "text": "hello there"}
TEXT = '{"number":1,"text":"hello there"}'
PUBLISHED, CONSUMED, READ = 12_800, 4000, 20_000
FEW = 128
KEPT = 10_000_000
TABLE = """CREATE TABLE messages (pos bigint PRIMARY KEY, topic bigint NOT NULL, seq bigint NOT NULL, time float8,
    total bigint, id text, type text, key text, headers text, content text, data bytea)"""

QUESTION = Question(
    name="postgres",
    title="Messages in PostgreSQL",
    method=(
        "A server with PostgreSQL's own settings on this machine. Publishing: 64 publishers, each waiting for its "
        "commit before it publishes again; psycopg writes the same rows by executemany, 64 a transaction, with the "
        "same index. "
        "Consuming: a group takes and acknowledges the messages of a topic, one message a call of the handler."
    ),
    unit="messages a second",
    better="more",
    cases={"publish": "publishing", "consume": "consuming with ack", "history": "reading history"},
    contestants=(
        Contestant("telex", "telex, postgresql://"),
        Contestant("psycopg", "raw psycopg", cases=("publish", "history")),
    ),
    rounds=3,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Messages a second; nothing is dropped, or it raises."""
    count = FEW if quick else {"publish": PUBLISHED, "consume": CONSUMED, "history": READ}[case]
    with server() as (url, conninfo):
        if contestant == "psycopg":
            return (_insert if case == "publish" else _select)(conninfo, count), 0
        ways = {"publish": _publish, "consume": _consume, "history": _history}
        return run(ways[case](url, count)), 0


async def _publish(url: str, count: int) -> float:
    import telex

    async with telex.Hub(url) as hub:
        hub.retain("t", messages=KEPT)
        topic = hub.topic("t")

        async def publish() -> None:
            for _ in range(count // WAITING):
                await topic.publish(CONTENT)

        await topic.publish(CONTENT)
        start = perf_counter()
        await asyncio.gather(*(publish() for _ in range(WAITING)))
        return count / (perf_counter() - start)


async def _fill(hub: Any, count: int) -> None:
    hub.retain("t", messages=KEPT)
    topic = hub.topic("t")
    for _ in range(0, count, 1000):
        await asyncio.gather(*(topic.publish(CONTENT) for _ in range(min(count, 1000))))


async def _consume(url: str, count: int) -> float:
    import telex

    async with telex.Hub(url) as hub:
        await _fill(hub, count)
    again, handled = telex.Hub(url), 0
    done = asyncio.Event()

    @again.on("t", group="g")
    async def handle(content: dict[str, Any]) -> None:
        nonlocal handled
        handled += 1
        if handled == count:
            done.set()

    async with again:
        start = perf_counter()
        await done.wait()
        while (await again.groups.list())[0].lag:  # noqa: ASYNC110  # the last acks are on their way
            await asyncio.sleep(0)
        return count / (perf_counter() - start)


async def _history(url: str, count: int) -> float:
    import telex

    async with telex.Hub(url) as hub:
        await _fill(hub, count)
        start = perf_counter()
        read = 0
        async for _ in hub.topic("t").history():
            read += 1
        taken = perf_counter() - start
        assert read == count
        return count / taken


def _rows(first: int, count: int) -> list[tuple[Any, ...]]:
    return [(n, 1, n, time(), n * len(TEXT), None, "dict", None, None, TEXT, None) for n in range(first, first + count)]


def _fill_raw(connection: Any, count: int) -> None:
    insert = "INSERT INTO messages VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    for first in range(1, count + 1, WAITING):
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(insert, _rows(first, min(WAITING, count + 1 - first)))


def _prepared(conninfo: str) -> Any:
    import psycopg

    connection = psycopg.connect(conninfo, autocommit=True)
    connection.execute(TABLE.encode())
    connection.execute("CREATE UNIQUE INDEX messages_seq ON messages (topic, seq)")
    return connection


def _insert(conninfo: str, count: int) -> float:
    with _prepared(conninfo) as connection:
        start = perf_counter()
        _fill_raw(connection, count)
        return count / (perf_counter() - start)


def _select(conninfo: str, count: int) -> float:
    with _prepared(conninfo) as connection:
        _fill_raw(connection, count)
        start = perf_counter()
        with connection.transaction(), connection.cursor(name="history") as cursor:
            cursor.itersize = 1024
            rows = [tuple(row) for row in cursor.execute("SELECT * FROM messages ORDER BY seq")]
        taken = perf_counter() - start
        assert len(rows) == count
        return count / taken
