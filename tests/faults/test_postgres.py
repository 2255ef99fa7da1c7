"""Connections that break, and a server that fails: nothing acknowledged is lost, and everything goes on."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tests.faults.postgres import at_work
from tests.support.postgres import PostgresServer, startable, url_of

pytestmark = pytest.mark.slow
_TERMINATE = """SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'telex' ORDER BY random() LIMIT 4) x"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with startable() as server:
        server.start()
        yield server


async def test_nothing_is_lost_when_connections_break(server: PostgresServer) -> None:
    async def terminate() -> None:
        async with await psycopg.AsyncConnection.connect(server.conninfo, autocommit=True) as connection:
            for _ in range(8):
                await asyncio.sleep(0.2)
                await connection.execute(_TERMINATE)

    account = await at_work(url_of(server.conninfo, "terminated"), terminate)
    assert not account.problems()
    assert not account.failed
    assert len(account.acknowledged) > 50


async def test_nothing_is_lost_when_the_server_fails_and_recovers(server: PostgresServer) -> None:
    async def fail_and_recover() -> None:
        for _ in range(2):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.stop, immediately=True)
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.5)

    account = await at_work(url_of(server.conninfo, "crashed"), fail_and_recover)
    assert not account.problems()
    assert not account.failed
    assert len(account.acknowledged) > 50
