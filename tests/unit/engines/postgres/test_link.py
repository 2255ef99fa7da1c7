"""The shared state of an open engine: failing, and statements that are tried again."""

import pytest

import telex
from telex.errors import EngineFailed
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin


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
