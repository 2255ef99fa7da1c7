"""Connections, and the pool of them."""

import asyncio
from time import monotonic

import pytest

import telex
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin, value


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


@pytest.mark.slow
async def test_publishers_need_no_isolation_of_the_database(postgres: str) -> None:
    """In a stricter isolation a writer would not see the messages that were stored while it waited for the lock."""
    url = url_of(postgres, "strict") + "&options=-c%20default_transaction_isolation%3Dserializable"

    async def publish(hub: telex.Hub, count: int) -> None:
        for number in range(count):
            await hub.topic(T).publish(number)
            async with hub.transaction() as tx:
                await tx.publish(T, number)

    async with telex.Hub(url) as one, telex.Hub(url) as two, two.topic(T).subscribe() as inbox:
        await asyncio.gather(*(publish(hub, 10) for hub in (one, two) for _ in range(4)))
        assert [(await inbox.receive(timeout=5)).seq for _ in range(160)] == list(range(1, 161))
