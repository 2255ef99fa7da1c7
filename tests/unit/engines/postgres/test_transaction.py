"""Transactions of a program on the engine."""

from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

import telex
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin, value


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
async def test_a_row_factory_of_the_program_ends_with_its_function(postgres: str) -> None:
    def name_columns(connection: psycopg.AsyncConnection[Any]) -> None:
        connection.row_factory = dict_row

    async with telex.Hub(url_of(postgres, "factories") + "&connections=2") as hub:
        async with hub.transaction() as tx:
            await tx.run(name_columns)
            assert await tx.execute("SELECT 1") == [(1,)]
            await tx.publish(T, 1)
        assert await hub.groups.list() == []
        assert [message.content async for message in hub.topic(T).history()] == [1]


LEFT = """SELECT current_setting('search_path'), current_setting('statement_timeout'), current_user = session_user,
    (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_cursors),
    to_regclass('pg_temp.of_the_program') IS NULL, (SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND objid = 13131313), current_setting('default_transaction_isolation'),
    current_setting('tcp_user_timeout')"""
CHANGES = (
    "SET search_path = pg_catalog",
    "SET statement_timeout = '7s'",
    "SET default_transaction_isolation = 'serializable'",
    "SET tcp_user_timeout = 1",
    "LISTEN of_the_program",
    "CREATE TEMP TABLE of_the_program (number int)",
    "DECLARE of_the_program CURSOR WITH HOLD FOR SELECT 1",
    "SELECT pg_advisory_lock(13131313)",
    "SET ROLE pg_monitor",
)


@pytest.mark.slow
async def test_the_session_of_a_transaction_is_reset_at_its_end(postgres: str) -> None:
    async with telex.Hub(url_of(postgres, "sessions") + "&connections=2") as hub:

        async def look() -> tuple[int, tuple[Any, ...]]:
            async with hub.transaction() as tx:
                ((pid,),) = await tx.execute("SELECT pg_backend_pid()")
                ((*left,),) = await tx.execute(LEFT)
            return pid, tuple(left)

        before = await look()
        for is_committed in (True, False):
            with suppress(LookupError):
                async with hub.transaction() as tx:
                    for change in CHANGES:
                        await tx.execute(change)
                    if not is_committed:
                        raise LookupError
            assert await look() == before

        async with hub.transaction() as tx:
            running: Any = tx.run(lambda connection: connection.execute("SET statement_timeout = '7s'"))
            await running
            await tx.publish(T, 1)
        assert await look() == before
