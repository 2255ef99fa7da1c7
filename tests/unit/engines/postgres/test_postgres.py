"""What is PostgreSQL's own: addresses, errors, roles, notifications, connections, retention."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic, time
from typing import Any

import psycopg
import pytest

import telex
from telex.engines.postgres import PostgresEngine, migrations
from telex.engines.postgres.address import parse
from telex.engines.postgres.sql import regular_expression
from telex.errors import BadOption, ConnectFailed, EngineFailed
from telex.log.log import Retention
from telex.testing.conformance.rig import Rig, message
from tests.support.postgres import url_of

T = "orders:1"


@asynccontextmanager
async def admin(conninfo: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        yield connection


async def value(connection: psycopg.AsyncConnection[tuple[Any, ...]], statement: str) -> Any:
    row = await (await connection.execute(statement.encode())).fetchone()
    return None if row is None else row[0]


# -- addresses


def test_an_address_has_the_settings_of_libpq_and_its_own() -> None:
    address = parse("postgres://me:secret@db.example:5433/shop?sslmode=require&schema=chat&poll=250ms&connections=4")
    assert (address.schema, address.poll, address.connections, address.pooled) == ("chat", 0.25, 4, False)
    assert address.settings["sslmode"] == "require"
    assert (address.settings["password"], address.settings["port"]) == ("secret", "5433")
    assert address.shown == "postgres://db.example:5433/shop"


def test_an_address_past_a_pooler() -> None:
    address = parse("postgresql://me@pooler/shop?listen=postgresql%3A%2F%2Fme%40db%2Fshop")
    assert (address.settings["host"], address.listening["host"], address.pooled) == ("pooler", "db", True)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://me:secret@db/shop?sslmod=require", "'sslmod' is not an option"),
        ("postgresql://me:sec%ret@db/shop", "percent-encode"),
        ("postgresql://me:secret@db/shop?schema=My-Shop", "lower-case"),
        ("postgresql://me:secret@db/shop?poll=never", "poll"),
        ("postgresql://me:secret@db/shop?poll=0", "bad poll"),
        ("postgresql://me:secret@db/shop?connections=1", "at least 2"),
        ("postgresql://me:secret@db/shop?schema=a&schema=b", "twice"),
    ],
)
def test_a_bad_address_says_what_to_write_and_no_secret(url: str, text: str) -> None:
    with pytest.raises(BadOption, match=text) as raised:
        telex.Hub(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("orders:1", None), ("orders:*", "^orders:[^:]+$"), ("a.b:>", r"^a\.b:.+$"), ("größe+:*", r"^größe\+:[^:]+$")],
)
def test_patterns_as_regular_expressions(pattern: str, expected: str | None) -> None:
    assert regular_expression(pattern) == expected


# -- connecting


@pytest.mark.slow
async def test_connecting_fails_with_how_to_fix_it(postgres: str) -> None:
    url = url_of(postgres, "failing")
    async with admin(postgres) as connection:
        await connection.execute("CREATE ROLE weak LOGIN")
        await connection.execute("REVOKE CREATE ON DATABASE postgres FROM PUBLIC")
    for wrong, text in (
        ("postgresql://me:secret@127.0.0.1:1/shop", "see that the server runs there"),
        (url.replace("/postgres?", "/nothing?"), 'database "nothing" does not exist; create it'),
        (url.replace("telex@", "nobody@"), 'role "nobody" does not exist'),
        (url.replace("telex@", "weak@"), "telex migrate URL --sql --role weak"),
        ("postgresql://me:secret@no.such.host.invalid/shop", "see the host's name"),
    ):
        began = monotonic()
        with pytest.raises(ConnectFailed) as raised:
            await telex.Hub(wrong, timeout=2).__aenter__()
        assert monotonic() - began < 2.2
        assert text in str(raised.value)
        assert "secret" not in str(raised.value)


@pytest.mark.slow
async def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        port = mute.getsockname()[1]
        with pytest.raises(telex.Timeout) as raised:
            await telex.Hub(f"postgresql://me:secret@127.0.0.1:{port}/shop?password=secret", timeout=0.1).__aenter__()
        assert "secret" not in str(raised.value)
        began = monotonic()
        with pytest.raises(ConnectFailed, match="nothing answered in time"):
            await telex.Hub(f"postgresql://me@127.0.0.1:{port}/shop?connect_timeout=1").__aenter__()
        assert monotonic() - began < 5


@pytest.mark.slow
async def test_a_role_without_rights_uses_what_an_admin_made(postgres: str) -> None:
    url = url_of(postgres, "granted")
    async with admin(postgres) as connection:
        await connection.execute("CREATE ROLE shop LOGIN")
        await connection.execute("REVOKE CREATE ON DATABASE postgres FROM PUBLIC")
        await connection.execute(migrations.script(parse(url), 0, "shop").encode())
    async with telex.Hub(url.replace("telex@", "shop@")) as hub:
        await hub.topic(T).publish("a")
        assert [m.content async for m in hub.topic(T).history()] == ["a"]
        assert await hub.remove(T)


@pytest.mark.slow
async def test_the_schema_of_a_newer_telex_is_refused(postgres: str) -> None:
    url = url_of(postgres, "newer")
    async with telex.Hub(url), admin(postgres) as connection:
        await connection.execute("UPDATE newer.version SET version = 99")
    with pytest.raises(ConnectFailed, match="update telex"):
        await telex.Hub(url).__aenter__()


@pytest.mark.slow
async def test_many_open_a_new_schema_together(postgres: str) -> None:
    url = url_of(postgres, "together")
    hubs = [telex.Hub(url) for _ in range(5)]
    await asyncio.gather(*(hub.__aenter__() for hub in hubs))
    await asyncio.gather(*(hub.topic(T).publish(n) for n, hub in enumerate(hubs)))
    assert sorted([m.content async for m in hubs[0].topic(T).history()]) == list(range(5))
    await asyncio.gather(*(hub.aclose() for hub in hubs))


# -- being open


@pytest.mark.slow
async def test_the_engine_fails_when_its_schema_is_dropped(postgres: str) -> None:
    url = url_of(postgres, "dropped")
    async with telex.Hub(url) as hub:
        async with admin(postgres) as connection:
            await connection.execute("DROP SCHEMA dropped CASCADE")
        with pytest.raises(EngineFailed):
            await hub.topic(T).publish("a")
        with pytest.raises(telex.Closed):
            await hub.topic(T).publish("b")


@pytest.mark.slow
async def test_a_message_comes_within_the_poll_interval_when_notifications_are_lost(postgres: str) -> None:
    url = url_of(postgres, "deaf") + "&poll=200ms"
    async with telex.Hub(url) as one, telex.Hub(url) as two, two.topic(T).subscribe() as inbox:
        async with admin(postgres) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN \"telex_deaf\"'"
            )
            await connection.execute("CREATE FUNCTION deaf.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''")
            await connection.execute("ALTER FUNCTION deaf.append SET search_path = deaf, pg_catalog")
        for number in range(3):
            await one.topic(T).publish(number)
            began = monotonic()
            assert (await inbox.receive(timeout=5)).content == number
            assert monotonic() - began < 2


async def sleeping(hub: telex.Hub) -> None:
    """Keep a transaction open for a moment."""
    async with hub.transaction() as tx:
        await tx.execute("SELECT pg_sleep(0.05)")


@pytest.mark.slow
async def test_an_idle_process_has_few_connections_and_asks_little(postgres: str) -> None:
    commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'"
    connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'telex_idle'"
    async with telex.Hub(url_of(postgres, "idle") + "&application_name=telex_idle") as hub, admin(postgres) as other:
        await hub.topic(T).publish("a")
        assert await value(other, connections) <= 3, "one writes, one reads, one listens"
        await asyncio.gather(*(one() for one in [hub.groups.list] * 30))
        assert await value(other, connections) <= 3 + 8
        entered = [asyncio.ensure_future(sleeping(hub)) for _ in range(20)]
        await asyncio.gather(*entered, *(one() for one in [hub.groups.list] * 30), *(one() for one in [hub.topics] * 3))
        assert await value(other, connections) == 3 + 8, "all may be needed, and no more are opened"
        await asyncio.sleep(1.2)
        before, began = await value(other, commits), monotonic()
        await asyncio.sleep(3)
        await other.execute("SELECT pg_stat_clear_snapshot()")
        asked = await value(other, commits) - before - 3
        assert asked <= 2 * (monotonic() - began) + 1


@pytest.mark.slow
async def test_the_server_ends_the_connection_of_a_machine_that_has_disappeared(postgres: str) -> None:
    """Its transaction would hold its locks for two hours. The settings of an administrator remain."""
    query = "SELECT source FROM pg_settings WHERE name LIKE 'tcp_%' ORDER BY name"
    url = url_of(postgres, "disappeared")
    async with telex.Hub(url) as hub, hub.transaction() as tx:
        assert await tx.execute(query) == [("session",)] * 4
    async with telex.Hub(url + "&options=-c%20tcp_keepalives_idle%3D60") as hub, hub.transaction() as tx:
        assert await tx.execute(query) == [("session",), ("client",), ("session",), ("session",)]


@pytest.mark.slow
async def test_it_works_without_prepared_statements(postgres: str) -> None:
    direct = url_of(postgres, "pooled").partition("&schema")[0]
    url = url_of(postgres, "pooled") + "&listen=" + direct.replace("%", "%25").replace("&", "%26").replace("?", "%3F")
    async with telex.Hub(url) as one, telex.Hub(url) as two, two.topic(T).subscribe() as inbox:
        for number in range(10):
            await one.topic(T).publish(number)
        assert [(await inbox.receive(timeout=5)).content for _ in range(10)] == list(range(10))
        async with admin(postgres) as connection:
            assert await value(connection, "SELECT count(*) FROM pg_prepared_statements") == 0


# -- storing


@pytest.mark.slow
async def test_a_batch_that_is_asked_again_is_stored_once(postgres: str) -> None:
    """The answer may be lost with the connection: the server knows the last batch of each process."""
    engine = PostgresEngine.from_url(url_of(postgres, "again"))
    async with Rig(engine) as rig:
        writer = engine.client.writer
        first = await rig.send(T, "a", "b")
        writer.batch -= 1
        again = await rig.send(T, "a", "b")
        assert [m.seq for m in again] == [m.seq for m in first] == [1, 2]
        assert [m.content for m in rig.taken[T]] == ["a", "b"]
        assert [m.seq for m in await rig.send(T, "c")] == [3]
        writer.batch -= 2
        with pytest.raises(EngineFailed, match="out of date"):
            await rig.send(T, "a", "b")  # as by a connection that was held up meanwhile
        writer.batch += 1
        assert [m.seq for m in await rig.send(T, "d")] == [4]


@pytest.mark.slow
async def test_messages_of_an_outbox_do_not_overtake_those_that_another_process_has_taken(postgres: str) -> None:
    url = url_of(postgres, "overtaken")
    async with telex.Hub(url):
        pass
    async with admin(postgres) as other, admin(postgres) as process:
        for number in range(2):
            async with process.transaction():
                await telex.Hub(url).join(process).publish(T, number)
            if number == 0:
                await other.execute("BEGIN; SELECT FROM overtaken.delayed FOR UPDATE")
        await process.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await process.execute("SELECT overtaken.publish_due(100)")
        await other.execute("ROLLBACK")
    async with telex.Hub(url) as hub, hub.topic(T).subscribe(start="earliest") as inbox:
        assert [(await inbox.receive(timeout=5)).content for _ in range(2)] == [0, 1]


@pytest.mark.slow
async def test_retention_deletes_and_groups_keep(postgres: str) -> None:
    engine = PostgresEngine.from_url(url_of(postgres, "swept"))
    async with Rig(engine) as rig, admin(postgres) as connection:
        assert engine.store is not None
        await engine.store.retain([(">", Retention(10))])
        await rig.send(T, *range(100))
        await engine.client.upkeep.sweep(T, young=-1.0)
        assert await value(connection, "SELECT count(*) FROM swept.messages") == 10
        await rig.join("billing", T, "earliest")
        (held, *_) = await rig.fetch("billing", T, limit=3)
        await rig.send(T, *range(100, 150))
        await engine.client.upkeep.sweep(T, young=-1.0)
        assert await value(connection, "SELECT count(*) FROM swept.messages") == 60, "the group has not looked at them"
        while claimed := await rig.fetch("billing", T, limit=30):
            for delivery in claimed:
                await rig.settle("billing", T, delivery, "ack")
        await engine.client.upkeep.sweep(T, young=-1.0)
        assert await value(connection, "SELECT count(*) FROM swept.messages") == 10 + 3
        assert await rig.settle("billing", T, held, "ack")
        assert await value(connection, "SELECT count(*) FROM swept.messages") == 10 + 2
        assert await engine.store.find(T, "earliest", time()) == (141, None)


@pytest.mark.slow
async def test_rows_of_no_use_are_deleted_in_time(postgres: str) -> None:
    engine = PostgresEngine.from_url(url_of(postgres, "cleaned"))
    async with Rig(engine) as rig, admin(postgres) as connection:
        assert engine.store is not None
        assert engine.records is not None
        await rig.send("gone:1", *range(10), id="same")
        await rig.send("gone:1", *range(10))
        assert await rig.remove("gone:1")
        await engine.store.retain([("aged:*", Retention(None, 60.0))])
        old = [message("aged:1", n, published=time() - 1000) for n in range(5)]
        await engine.store.append([*old, message("aged:1", "young", id="young")])
        assert await engine.records.put("b", "k", b"", 0, time() - 5)
        await connection.execute("UPDATE cleaned.ids SET time = 0")
        await engine.client.upkeep.clean()
        counts = {
            table: await value(connection, f"SELECT count(*) FROM cleaned.{table}")
            for table in ("messages", "orphans", "ids", "records")
        }
        assert counts == {"messages": 1, "orphans": 0, "ids": 0, "records": 0}
        assert [m.content for m in await engine.store.read("aged:1", 1, 100) if isinstance(m, telex.Message)] == [
            "young"
        ]


@pytest.mark.slow
async def test_a_transaction_has_messages_records_and_rows(postgres: str) -> None:
    async with telex.Hub(url_of(postgres, "both")) as hub, admin(postgres) as connection:
        await connection.execute("CREATE TABLE orders_of_test (number int)")
        async with hub.topic(T).subscribe() as inbox:
            with suppress(LookupError):
                async with hub.transaction() as tx:
                    await tx.execute("INSERT INTO orders_of_test VALUES (%s)", (1,))
                    await tx.publish(T, 1)
                    raise LookupError
            async with hub.transaction() as tx:
                await tx.execute("INSERT INTO orders_of_test VALUES (%s)", (2,))
                await tx.publish(T, 2)
                await hub.topic("other:1").publish("meanwhile")  # nobody waits for the transaction
                assert await tx.execute("SELECT number FROM orders_of_test") == [(2,)]
            assert (await inbox.receive(timeout=5)).content == 2
            assert inbox.waiting == 0
        assert await value(connection, "SELECT array_agg(number) FROM orders_of_test") == [2]


@pytest.mark.slow
async def test_imported_messages_are_stored_once_for_all_time(postgres: str) -> None:
    engine = PostgresEngine.from_url(url_of(postgres, "adopted"))
    async with Rig(engine) as rig, admin(postgres) as connection:
        assert engine.store is not None
        (made,) = await rig.send(T, "made")
        await rig.send(T, "given", id="given")
        await connection.execute("UPDATE adopted.ids SET time = 0")
        drafts = [message(T, n, id=id) for n, id in enumerate([made.id, "given", "new"])]
        assert [m.id for m in await engine.store.adopt(drafts)] == ["new"]
        assert await engine.store.adopt(drafts) == []
        await connection.execute("UPDATE adopted.ids SET time = 0")
        assert await engine.store.adopt(drafts) == []


@pytest.mark.slow
async def test_content_that_postgresql_cannot_store_is_refused_alone(postgres: str) -> None:
    async with telex.Hub(url_of(postgres, "refused")) as hub:
        topic = hub.topic(T)
        contents = ["a\0b", {"nested": "\0"}, b"\0\xff", "ü", 1.5, None, [1, {"a": [2]}]]
        await asyncio.gather(*(topic.publish(content) for content in contents))
        assert [message.content async for message in topic.history()] == contents
