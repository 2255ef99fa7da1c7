"""The statements that a program may run in a transaction of the file, and the refused ones."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import telex
import telex.blocking
from telex.engines.sqlite.upkeep import check
from tests.support.internals import bounded

Run = Callable[[sqlite3.Connection], Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


def at(path: Path, options: str = "") -> telex.Hub:
    return telex.Hub(f"sqlite:///{path}?synchronous=normal{options}")


async def contents(hub: telex.Hub, topic: str = "t") -> list[Any]:
    return [message.content async for message in hub.topic(topic).history()]


async def rows(hub: telex.Hub, sql: str) -> list[tuple[Any, ...]]:
    async with hub.transaction() as tx:
        return await tx.execute(sql)


async def do(hub: telex.Hub, *statements: str | Run, publish: str | None = None) -> None:
    async with hub.transaction() as tx:
        if publish is not None:
            await tx.publish("t", publish)
        for sql in statements:
            await (tx.execute(sql) if isinstance(sql, str) else tx.run(sql))


async def test_sql_and_messages_in_any_order(path: Path) -> None:
    async with at(path) as hub:
        known = await hub.topic("t").publish(0)
        async with hub.transaction() as tx:
            await tx.publish("t", 1)
            await tx.execute("CREATE TABLE orders (number INTEGER)")
            await tx.publish("t", 2, id="b")
            await tx.run(lambda connection: connection.execute("INSERT INTO orders VALUES (1)").fetchall())
            assert (await tx.publish("t", 3, id="b")).content == 2
            assert (await tx.publish("t", 3, id=known.id)).content == 0
            assert await tx.execute("INSERT INTO orders VALUES (?), (?) RETURNING number", (2, 3)) == [(2,), (3,)]
            await tx.publish("new", 4)
            await tx.execute("INSERT INTO orders VALUES (:number)", {"number": 4})
            await tx.execute("INSERT INTO orders SELECT ?2 + ?1 + ?2", [1, 2])
        assert await rows(hub, "SELECT number FROM orders") == [(1,), (2,), (3,), (4,), (5,)]
        assert (await contents(hub), await contents(hub, "new")) == ([0, 1, 2], [4])
        assert await asyncio.to_thread(check, path) == []


@pytest.mark.parametrize(
    ("words", "statements"),
    [
        ("`async with` is left", ["COMMIT", "ROLLBACK", "BEGIN", "END"]),
        ("a transaction for each part", ["SAVEPOINT a", "RELEASE a", "ROLLBACK TO a"]),
        ("connection of your own", ["ATTACH 'other.db' AS other", "ATTACH ':memory:' AS other"]),
        ("pragmas that read", ["PRAGMA synchronous = OFF", "PRAGMA writable_schema = ON", "PRAGMA wal_checkpoint"]),
        ("pragmas that read", ["PRAGMA journal_mode = DELETE", "PRAGMA user_version = 3", "PRAGMA query_only = 1"]),
        ("foreign_keys=off", ["PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = 0"]),
        (
            "belong to telex",
            [
                "DELETE FROM telex_messages",
                "UPDATE main.TELEX_state SET pos = 1",
                'INSERT INTO "telex_rules" VALUES (1, 2, 3, 4, 5)',
                "REPLACE INTO telex_version VALUES (1, 1)",
                "DROP TABLE telex_messages",
                "DROP INDEX telex_messages_seq",
                "ALTER TABLE telex_messages ADD COLUMN mine",
                "ALTER TABLE telex_messages RENAME TO mine",
                "ALTER TABLE telex_messages RENAME COLUMN id TO mine",
                "ALTER TABLE telex_messages DROP COLUMN key",
                "CREATE UNIQUE INDEX mine ON telex_messages (topic)",
                "CREATE TABLE telex_mine (a)",
                "CREATE TEMP TABLE telex_messages (a)",
                "CREATE TEMP VIEW telex_state AS SELECT 1",
                "CREATE VIEW telex_view AS SELECT 1",
                "CREATE TRIGGER mine AFTER INSERT ON telex_messages BEGIN SELECT 1; END",
                "CREATE TEMP TRIGGER mine AFTER INSERT ON main.telex_messages BEGIN SELECT 1; END",
                "CREATE VIRTUAL TABLE telex_text USING fts5(a)",
                "CREATE VIRTUAL TABLE telex USING fts5(a)",
                "INSERT INTO orders VALUES (1)",  # by its trigger
                "WITH a AS (SELECT 1) DELETE FROM telex_topics",
            ],
        ),
    ],
)
async def test_a_transaction_refuses_statements_that_break_it(path: Path, words: str, statements: list[str]) -> None:
    async with at(path) as hub:
        await do(
            hub,
            "CREATE TABLE orders (number INTEGER)",
            "CREATE TRIGGER harm AFTER INSERT ON orders BEGIN DELETE FROM telex_messages; END",
        )
        async with hub.transaction() as tx:
            await tx.publish("t", "before")
            for sql in statements:
                with pytest.raises(telex.Misuse, match=words):
                    await tx.execute(sql)
                with pytest.raises(telex.Misuse, match=words):
                    await tx.run(lambda connection, sql=sql: connection.cursor().execute(sql).fetchall())  # type: ignore[misc]
            await tx.publish("t", "kept all the same")
        await hub.topic("t").publish("after")
        assert await contents(hub) == ["before", "kept all the same", "after"]
        assert await asyncio.to_thread(check, path) == []


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TEMP TABLE mine (a)", "ALTER TABLE mine RENAME TO telex_messages"],
        ["CREATE TABLE mine (a)", "ALTER TABLE mine RENAME TO telex_mine"],
        ["CREATE VIRTUAL TABLE mine USING fts5(a)", "ALTER TABLE mine RENAME TO telex"],
        ["DELETE FROM sqlite_sequence"],
        ["UPDATE sqlite_sequence SET seq = 0 WHERE name = 'telex_topics'"],
    ],
)
async def test_a_fault_that_shows_only_afterwards_undoes_the_whole_transaction(
    path: Path, statements: list[str]
) -> None:
    async with at(path) as hub:
        await hub.topic("t").publish("before")
        with pytest.raises(telex.Misuse, match="belong to telex"):
            await do(hub, *statements, publish="undone")
        await hub.topic("t").publish("after")
        assert await contents(hub) == ["before", "after"]
        assert await asyncio.to_thread(check, path) == []


async def test_temporary_tables_are_the_programs(path: Path) -> None:
    async with at(path) as hub:
        await do(hub, "CREATE TEMP TABLE messages (a)", "INSERT INTO messages VALUES (1)", "CREATE TABLE topics (a)")
        await do(hub, "ALTER TABLE messages RENAME TO topics", "CREATE INDEX temp.mine ON topics (a)")
        assert await rows(hub, "SELECT * FROM temp.topics") == [(1,)]
        await do(
            hub, "DROP TABLE temp.topics", "ALTER TABLE topics ADD COLUMN telex_id", "UPDATE topics SET telex_id = 1"
        )


async def test_a_programs_own_numbers_are_its_own(path: Path) -> None:
    async with at(path) as hub:
        await do(hub, "CREATE TABLE orders (number INTEGER PRIMARY KEY AUTOINCREMENT)", "INSERT INTO orders VALUES (9)")
        await do(hub, "DELETE FROM sqlite_sequence WHERE name = 'orders'", "DROP TABLE orders")


async def test_virtual_tables(path: Path) -> None:
    async with at(path) as hub:
        await do(
            hub,
            "CREATE TABLE notes (text)",
            "CREATE VIRTUAL TABLE found USING fts5(text)",
            "CREATE TRIGGER fill AFTER INSERT ON notes BEGIN INSERT INTO found VALUES (new.text); END",
            "CREATE VIRTUAL TABLE old USING fts4(text)",
            "CREATE VIRTUAL TABLE boxes USING rtree(id, low, high)",
        )
        async with hub.transaction() as tx:
            await tx.publish("t", "tea")
            await tx.execute("INSERT INTO notes VALUES ('two cups of tea')")
            await tx.execute("INSERT INTO old VALUES ('more tea')")
            await tx.execute("INSERT INTO boxes VALUES (1, 0, 5)")
            assert await tx.execute("SELECT text FROM found WHERE found MATCH 'tea'") == [("two cups of tea",)]
            assert await tx.execute("SELECT text FROM old WHERE old MATCH 'tea'") == [("more tea",)]
            assert await tx.execute("SELECT id FROM boxes WHERE low < 3") == [(1,)]
            await tx.execute("INSERT INTO found (found) VALUES ('optimize')")
        await do(hub, "DROP TABLE found", "DROP TABLE old", "DROP TABLE boxes")
        assert await contents(hub) == ["tea"]


# -- foreign keys


async def test_foreign_keys_are_held(path: Path) -> None:
    async with at(path) as hub:
        await do(
            hub,
            "CREATE TABLE customers (id INTEGER PRIMARY KEY)",
            "CREATE TABLE orders (customer INTEGER REFERENCES customers DEFERRABLE INITIALLY DEFERRED)",
            "CREATE TABLE bills (customer INTEGER REFERENCES customers ON DELETE CASCADE)",
        )
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            await do(hub, "PRAGMA foreign_keys = ON", "INSERT INTO bills VALUES (99)")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            await do(hub, "INSERT INTO orders VALUES (99)", publish="undone")  # when it commits
        await do(
            hub, "INSERT INTO orders VALUES (1)", "INSERT INTO customers VALUES (1)", "INSERT INTO bills VALUES (1)"
        )
        await do(hub, "PRAGMA defer_foreign_keys = ON", "DELETE FROM customers", "INSERT INTO customers VALUES (1)")
        assert await rows(hub, "SELECT * FROM bills") == []
        assert await contents(hub) == []


async def test_foreign_keys_can_be_off(path: Path) -> None:
    async with at(path, "&foreign_keys=off") as hub:
        await do(hub, "CREATE TABLE orders (customer REFERENCES customers)", "INSERT INTO orders VALUES (99)")
        with pytest.raises(telex.Misuse, match="without that option"):
            await do(hub, "PRAGMA foreign_keys = ON")
        assert await rows(hub, "PRAGMA foreign_key_check") == [("orders", 1, "customers", 0)]


# -- the connection


def leaves_its_transaction(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("INSERT INTO orders VALUES (2)")


@pytest.mark.parametrize(
    "function",
    [
        lambda connection: connection.close(),
        lambda connection: connection.commit(),
        lambda connection: connection.rollback(),
        leaves_its_transaction,
        lambda connection: connection.executescript("INSERT INTO orders VALUES (2)"),
        lambda connection: connection.cursor().executescript("INSERT INTO orders VALUES (2)"),
        lambda connection: setattr(connection, "isolation_level", "DEFERRED"),
        lambda connection: setattr(connection, "isolation_level", None),
        lambda connection: setattr(connection, "autocommit", True),
        lambda connection: connection.set_authorizer(None),
        lambda connection: connection.set_progress_handler(None, 0),
        lambda connection: connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10),
        lambda connection: connection.deserialize(b""),
        lambda connection: connection.blobopen("telex_messages", "content", 1),
    ],
)
async def test_a_function_cannot_end_or_reconfigure_the_connection(path: Path, function: Run) -> None:
    async with at(path) as hub:
        await hub.topic("t").publish(b"before")
        await do(hub, "CREATE TABLE orders (number INTEGER)")
        async with asyncio.timeout(5):
            async with hub.transaction() as tx:
                await tx.publish("t", "kept")
                await tx.execute("INSERT INTO orders VALUES (1)")
                with pytest.raises(telex.Misuse):
                    await tx.run(function)
                await tx.execute("DELETE FROM orders WHERE number = 2")  # what it did before it was refused
            assert await rows(hub, "SELECT number FROM orders") == [(1,)]
            assert await contents(hub) == [b"before", "kept"]
        assert await asyncio.to_thread(check, path) == []


async def test_settings_of_a_function_hold_for_the_function_alone(path: Path) -> None:
    async with at(path) as hub:
        kept: list[Any] = []

        def change(connection: sqlite3.Connection) -> None:
            connection.row_factory = sqlite3.Row
            connection.text_factory = bytes
            connection.set_trace_callback(kept.append)
            cursor = connection.execute("SELECT name AS n FROM telex_topics UNION ALL VALUES ('a'), ('b')")
            assert cursor.fetchone()["n"] == b"t"
            kept.extend([cursor, connection.cursor(sqlite3.Cursor).execute("VALUES (1), (2)")])

        await hub.topic("t").publish(1)
        async with hub.transaction() as tx:
            await tx.run(change)
            traced = len(kept)
            assert await tx.execute("SELECT 'a'") == [("a",)]
        with closing(sqlite3.connect(path)) as other:  # an open cursor would keep the connection at what it was then
            other.execute("CREATE TABLE theirs (a)")
        await hub.topic("t").publish(2, id="a", headers={"a": "b"})
        assert await contents(hub) == [1, 2]
        assert len(kept) == traced


class Odd(BaseException):
    """No Exception."""


@pytest.mark.parametrize(("error", "expected"), [(Odd, Odd), (StopIteration, RuntimeError), (KeyError, KeyError)])
async def test_an_exception_of_a_function_reaches_its_caller(
    path: Path, error: type[BaseException], expected: type[BaseException]
) -> None:
    async with at(path) as hub:

        def fail(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE orders (number)")
            raise error("a")

        async with asyncio.timeout(5):
            async with hub.transaction() as tx:
                with pytest.raises(expected):
                    await tx.run(fail)
                await tx.publish("t", "kept")
            assert await contents(hub) == ["kept"]


async def test_a_function_that_is_none(path: Path) -> None:
    async with at(path) as hub:

        async def later(connection: sqlite3.Connection) -> None: ...

        async with hub.transaction() as tx:
            for function in (later, "SELECT 1"):
                with pytest.raises(telex.BadOption, match="sync function"):
                    await tx.run(function)  # type: ignore[arg-type, unused-coroutine]  # the mistake


async def test_nothing_is_written_after_sqlite_has_rolled_back(path: Path) -> None:
    async with at(path) as hub:
        await do(hub, "CREATE TABLE orders (number INTEGER UNIQUE)")

        def insert(connection: sqlite3.Connection) -> None:
            for number in (1, 1, 2):
                with suppress(sqlite3.IntegrityError):
                    connection.execute("INSERT OR ROLLBACK INTO orders VALUES (?)", (number,))

        with pytest.raises(telex.EngineFailed, match="rolled it back"):
            await do(hub, insert, publish="undone")
        assert await rows(hub, "SELECT * FROM orders") == []
        assert await contents(hub) == []


# -- waiting


async def test_waiting_for_the_own_transaction_is_refused_at_once(path: Path) -> None:
    async with at(path) as hub:
        topic = hub.topic("t")
        async with asyncio.timeout(5):
            async with hub.transaction() as tx:
                await tx.publish("t", "first")
                for waits in (
                    lambda: topic.publish(1),
                    lambda: topic.publish(1, delay=60),
                    lambda: hub.remove("t"),
                    lambda: hub.transaction().__aenter__(),
                ):
                    with pytest.raises(telex.Misuse, match=r"publish with tx\.publish"):
                        await waits()
                assert await contents(hub) == []  # reading waits for nobody
            await topic.publish("second")
            async with hub.transaction() as tx:
                await tx.publish("t", "third")
        assert await contents(hub) == ["first", "second", "third"]


@pytest.mark.parametrize(
    "settle",
    [
        lambda context: context.ack(),
        lambda context: context.nack(),
        lambda context: context.reject(),
        lambda context: context.extend(30),
    ],
    ids=["ack", "nack", "reject", "extend"],
)
async def test_a_handler_that_would_wait_for_its_own_transaction_is_told_at_once(
    path: Path, settle: Callable[[telex.Context[Any]], Awaitable[bool]]
) -> None:
    hub, done = at(path), asyncio.Queue[bool]()

    @hub.on("t", group="g")
    async def handle(context: telex.Context[Any]) -> None:
        async with hub.transaction() as tx:
            await tx.publish("out", context.attempt)
            with pytest.raises(telex.Misuse, match="after the `async with` block"):
                await settle(context)
            assert context.settled is None
        done.put_nowait(await context.ack())

    async with hub, asyncio.timeout(5):
        await hub.topic("t").publish(1)
        assert await done.get(), "what was refused had settled nothing"
        assert await contents(hub, "out") == [1]
        (group,) = await hub.groups.list()
        assert (group.lag, group.dead) == (0, 0)


async def test_a_hub_on_another_file_is_not_waited_for(path: Path, tmp_path: Path) -> None:
    async with at(path) as hub, telex.Hub(f"sqlite:///{tmp_path}/other.db") as other, hub.transaction() as outer:
        async with other.transaction() as inner:
            await inner.publish("t", 1)
            with pytest.raises(telex.Misuse):
                await hub.topic("t").publish(0)
        await other.topic("t").publish(2)
        await outer.publish("t", 3)
        assert await contents(other) == [1, 2]


async def test_a_task_that_was_started_inside_waits_and_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with at(path) as hub:
        async with hub.transaction() as tx:
            task = asyncio.create_task(hub.topic("t").publish("second"))
            await tx.publish("t", "first")
            hub.retain("t", messages=10)
        await task
        assert await contents(hub) == ["first", "second"]
        assert [record.levelname for record in caplog.records if "publish with tx.publish" in record.message] == [
            "WARNING"
        ]


def test_a_program_without_asyncio_is_told_at_once(path: Path) -> None:
    with telex.blocking.Hub(f"sqlite:///{path}") as hub:
        with hub.transaction(timeout=5) as tx:
            tx.publish("t", "first")
            with pytest.raises(telex.Misuse, match=r"publish with tx\.publish"):
                hub.topic("t").publish(0)
            with pytest.raises(telex.Misuse, match=r"publish with tx\.publish"), hub.transaction():
                pass
        hub.topic("t").publish("second")
        assert [message.content for message in hub.topic("t").history() if isinstance(message, telex.Message)] == [
            "first",
            "second",
        ]


@pytest.mark.parametrize("locked", ["another transaction", "another process"])
async def test_entering_can_be_given_up(path: Path, locked: str) -> None:
    async with at(path) as hub:

        async def enter(timeout: str | None = None) -> None:
            async with hub.transaction(timeout=timeout):
                raise AssertionError("it was given up")

        holds = hub.transaction()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            if locked == "another process":
                other.execute("BEGIN IMMEDIATE")
            else:
                await holds.__aenter__()
            waiting = asyncio.create_task(enter())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(telex.Timeout, match=r"entering the transaction took longer than the 0\.02 s"):
                await asyncio.create_task(enter("20ms"))
            if locked == "another process":
                other.execute("ROLLBACK")
            else:
                await holds.__aexit__(None, None, None)
        async with asyncio.timeout(5):  # nothing holds the file
            await hub.topic("t").publish(1)
            async with hub.transaction(timeout=5) as tx:
                await tx.publish("t", 2)
        assert await contents(hub) == [1, 2]


ENDLESS = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


async def test_a_transaction_that_takes_too_long_is_rolled_back(path: Path) -> None:
    async with telex.Hub(bounded(f"sqlite:///{path}", transaction_seconds=0.05)) as hub:
        tx = hub.transaction()
        await tx.__aenter__()
        await tx.publish("t", "lost")
        await asyncio.create_task(hub.topic("t").publish("waits for the lock"))
        with pytest.raises(telex.Timeout):
            await tx.publish("t", "too late")
        with pytest.raises(telex.Timeout):
            await tx.__aexit__(None, None, None)
        assert await contents(hub) == ["waits for the lock"]


async def test_a_statement_ends_with_its_transaction(path: Path) -> None:
    async with telex.Hub(bounded(f"sqlite:///{path}", transaction_seconds=0.1)) as hub:
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.TimeoutError):
                async with hub.transaction() as tx, asyncio.timeout(0.02):
                    await tx.execute(ENDLESS)  # cancelled
            with pytest.raises(telex.Timeout):
                await do(hub, ENDLESS, publish="lost")
            await hub.topic("t").publish("kept")
        assert await contents(hub) == ["kept"]
