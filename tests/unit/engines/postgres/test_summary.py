"""The summary of a schema's topics."""

import psycopg
import pytest

import telex
from telex.engines.postgres.summary import check_schema, summaries
from tests.support.postgres import url_of

pytestmark = pytest.mark.slow


async def test_a_summary_has_the_time_of_the_last_message(postgres: str) -> None:
    url = url_of(postgres, "summary_last")
    async with telex.Hub(url) as hub:
        await hub.topic("t").publish(1)
        last = await hub.topic("t").publish(2)
    (found,) = await summaries(url)
    assert (found.topic, found.messages, found.bytes) == ("t", 2, 2)
    assert found.last is not None
    assert abs((found.last - last.timestamp).total_seconds()) < 0.001


async def test_a_summary_makes_no_schema(postgres: str) -> None:
    url = url_of(postgres, "summary_none")
    for look in (summaries, check_schema):
        with pytest.raises(
            telex.ConnectFailed, match=r"^cannot connect to \S+: it has no schema summary_none of telex"
        ):
            await look(url)
    async with await psycopg.AsyncConnection.connect(postgres) as connection:
        found = await connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'summary_none'")
        assert await found.fetchone() is None


async def test_a_server_that_cannot_be_reached_is_a_failed_connection() -> None:
    with pytest.raises(telex.ConnectFailed):
        await check_schema("postgresql://telex@127.0.0.1:1/postgres")
