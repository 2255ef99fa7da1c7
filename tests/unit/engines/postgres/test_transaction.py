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
