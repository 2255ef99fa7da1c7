"""The reader of new messages."""

import asyncio
from time import monotonic

import pytest

import telex
from telex.engines.postgres import PostgresEngine
from tests.support.loops import idle, until
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin


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


@pytest.mark.slow
async def test_closing_ends_a_publisher_whose_message_is_read_by_its_id(postgres: str) -> None:
    engine = PostgresEngine.from_url(url_of(postgres, "known") + "&connections=2")
    link = engine.client.link
    hub = telex.Hub(engine)
    async with hub, link.connections.one(), link.connections.one():  # reading waits for a connection
        await hub.topic(T).publish(1, id="a")
        again = asyncio.ensure_future(hub.topic(T).publish(2, id="a"))
        await until(lambda: any("known ids" in task.get_name() for task in link.tasks))
        await idle()
        await hub.aclose()
    async with asyncio.timeout(5):
        with pytest.raises(telex.Closed):
            await again


@pytest.mark.slow
async def test_a_message_that_is_announced_while_the_engine_opens_is_delivered(postgres: str) -> None:
    url = url_of(postgres, "opening")
    engine = PostgresEngine.from_url(url)
    two = telex.Hub(engine)
    async with telex.Hub(url) as one:
        await one.topic(T).publish(0)
        async with admin(postgres) as connection, connection.transaction():
            await connection.execute("LOCK TABLE opening.rules IN ACCESS EXCLUSIVE MODE")
            opening = asyncio.ensure_future(two.__aenter__())  # it reads the topics, and waits for the rules
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'opening.rules'::regclass"

            async def waits() -> bool:
                found = await (await connection.execute(waiting)).fetchone()
                return bool(found and found[0])

            await until(waits)
            async with asyncio.timeout(5):
                await one.topic(T).publish(1)
            await until(lambda: engine.client.live.told)  # the notification has come
        await opening
        async with two.topic(T).subscribe(start=telex.Position(1, (await one.topic(T).position()).epoch)) as inbox:
            await one.topic(T).publish(2)
            items = [await inbox.receive(timeout=5) for _ in range(2)]
            assert [item.content for item in items if isinstance(item, telex.Message)] == [1, 2]
            assert inbox.lost == 0
        await two.aclose()
