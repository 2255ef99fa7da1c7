"""The SQL of records is the same for the engine's schema and for a table of a store."""

import pytest

import telex
from telex.engines.postgres import record_sql as sql
from telex.engines.postgres.migrations import MIGRATIONS
from telex.hub import runtime_of
from telex.once import PostgresStore
from tests.support.postgres import url_of


def test_values_are_parameters_in_the_order_of_the_statement() -> None:
    assert sql.with_parameters(sql.GET, "t") == b"SELECT value, revision FROM t WHERE bucket = %s AND key = %s"
    assert sql.with_parameters("<expires> <key> <table> <sequence>", "t", "s") == b"%s %s t s"
    for statement in (sql.GET, sql.KEYS, sql.INSERT, sql.UPDATE, sql.DELETE, sql.SWEEP):
        assert b"<" not in sql.with_parameters(statement, "t", "s").replace(b"<=", b"").replace(b"<>", b"")


def test_the_function_of_the_schema_is_made_of_the_same_statements() -> None:
    (schema,) = MIGRATIONS
    for statement in (sql.INSERT, sql.UPDATE, sql.SWEEP):
        assert sql.in_function(statement) in schema


@pytest.mark.slow
async def test_expired_records_go_two_at_a_time_and_never_the_one_that_is_put(postgres: str) -> None:
    store = PostgresStore(postgres, table="swept")
    await store.open()
    try:
        async with telex.Hub(url_of(postgres, "swept")) as hub:
            for records in (store, runtime_of(hub).records("a test")):
                past = [await records.put("b", f"{n}", b"x", 0) for n in range(6)]
                assert all(past)
                for n, revision in enumerate(past):
                    assert await records.put("b", f"{n}", b"x", revision or 0, 1.0), "it is there while it is put"
                left = [n for n in range(6) if await records.get("b", f"{n}") is not None]
                assert 5 in left
                assert len(left) <= 2
    finally:
        await store.close()
