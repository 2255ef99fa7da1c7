"""The versions of the schema: making it, and who may."""

import asyncio

import pytest

import telex
from telex.engines.postgres import migrations
from telex.engines.postgres.address import parse
from telex.errors import ConnectFailed
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin


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
