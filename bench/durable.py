"""The cost of keeping messages in an SQLite file, beside SQLite itself and beside queues on SQLite."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, time
from typing import Any

from bench.question import Contestant, Question
from bench.worker import run

WAITING = 64
CONTENT = {"number": 1, "text": "hello there"}
TEXT = '{"number":1,"text":"hello there"}'
PUBLISHED, CONSUMED, READ = 12_800, 4000, 100_000
FEW = 128
KEPT = 10_000_000

QUESTION = Question(
    name="durable",
    title="Messages in a file",
    method=(
        "Publishing: 64 publishers, each waiting for its commit before it publishes again; raw SQLite writes the same "
        "rows by executemany, 64 a transaction, with the same index. Consuming: what is in the file is taken and "
        "acknowledged, one message a call of the handler. Reading: a history of 100 thousand messages; raw SQLite "
        "selects its rows into tuples, one after the other as well. All of them in WAL mode with synchronous=full, "
        "where they let one choose."
    ),
    unit="messages a second",
    better="more",
    cases={"publish": "publishing", "consume": "consuming with ack", "history": "reading history"},
    contestants=(
        Contestant("telex", "telex, sqlite:///"),
        Contestant("sqlite", "raw SQLite", cases=("publish", "history")),
        Contestant("persist_queue", "persist-queue", "SQLiteAckQueue, get and ack", cases=("consume",)),
        Contestant("litequeue", "litequeue", "pop and done", cases=("consume",)),
        Contestant("huey", "huey", "SqliteHuey(fsync=True), dequeue and execute", cases=("consume",)),
    ),
    rounds=5,
)


def measure(contestant: str, case: str, quick: bool) -> tuple[float, int]:
    """Messages a second; nothing is dropped, or it raises."""
    count = FEW if quick else {"publish": PUBLISHED, "consume": CONSUMED, "history": READ}[case]
    with TemporaryDirectory() as folder:
        if contestant == "telex":
            ways = {"publish": _publish, "consume": _consume, "history": _history}
            return run(ways[case](f"sqlite:///{folder}/bench.db", count)), 0
        if contestant == "sqlite":
            return (_insert if case == "publish" else _select)(Path(folder), count), 0
        peers = {"persist_queue": _persist_queue, "litequeue": _litequeue, "huey": _huey}
        return peers[contestant](Path(folder), count), 0


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
    import telex

    hub.retain("t", messages=KEPT)
    await hub.adopt([telex.Message.new(CONTENT, topic="t") for _ in range(count)])


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


def _database(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "bench.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE messages (pos INTEGER PRIMARY KEY, topic INTEGER, seq INTEGER, id TEXT, time REAL, type TEXT, "
        "key TEXT, headers TEXT, content, total INTEGER)"
    )
    connection.execute("CREATE UNIQUE INDEX messages_seq ON messages (topic, seq)")
    return connection


def _rows(first: int, count: int) -> list[tuple[Any, ...]]:
    return [(n, 1, n, None, time(), "dict", None, None, TEXT, n * len(TEXT)) for n in range(first, first + count)]


def _insert(folder: Path, count: int) -> float:
    with closing(_database(folder)) as connection:
        start = perf_counter()
        for first in range(1, count + 1, WAITING):
            rows = _rows(first, WAITING)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        return count / (perf_counter() - start)


def _select(folder: Path, count: int) -> float:
    # As in telex, the connection that wrote stays open, and another one reads.
    with closing(_database(folder)) as writing, closing(sqlite3.connect(folder / "bench.db")) as reading:
        writing.execute("BEGIN")
        writing.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _rows(1, count))
        writing.execute("COMMIT")
        sql = "SELECT pos, seq, id, time, type, key, headers, content FROM messages WHERE topic = 1 ORDER BY seq"
        start = perf_counter()
        read = 0
        for _ in reading.execute(sql):
            read += 1
        taken = perf_counter() - start
        assert read == count
        return count / taken


def _persist_queue(folder: Path, count: int) -> float:
    import persistqueue

    count //= 4  # it is slow, and as fast at the end as at the beginning
    queue = persistqueue.SQLiteAckQueue(str(folder / "queue"), auto_commit=True)
    for _ in range(count):
        queue.put(CONTENT)
    start = perf_counter()
    for _ in range(count):
        queue.ack(queue.get())
    return count / (perf_counter() - start)


def _litequeue(folder: Path, count: int) -> float:
    from litequeue import LiteQueue

    queue = LiteQueue(str(folder / "queue.db"))
    for _ in range(count):
        queue.put(TEXT)
    start = perf_counter()
    for _ in range(count):
        queue.done(queue.pop().message_id)
    return count / (perf_counter() - start)


def _huey(folder: Path, count: int) -> float:
    from huey import SqliteHuey

    huey = SqliteHuey(filename=str(folder / "huey.db"), fsync=True)

    @huey.task()  # type: ignore[untyped-decorator]  # it has no types
    def handle(content: dict[str, Any]) -> None: ...

    for _ in range(count):
        handle(CONTENT)
    start = perf_counter()
    for _ in range(count):
        huey.execute(huey.dequeue())
    return count / (perf_counter() - start)
