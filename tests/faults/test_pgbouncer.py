"""Hubs behind PgBouncer in transaction mode."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import pytest

import telex
from telex.once import PostgresStore
from tests.support.postgres import pgbouncer, url_of

pytestmark = pytest.mark.slow
TOPIC = "orders:1"


@pytest.fixture(scope="module")
def pooler(postgres: str) -> Iterator[str]:
    with pgbouncer(postgres) as conninfo:
        yield conninfo


def url_behind(pooler: str, postgres: str, schema: str) -> str:
    """The URL of an engine behind the pooler, with a poll interval that no test waits for."""
    direct = url_of(postgres, "unused").replace("&schema=unused", "")
    return f"{url_of(pooler, schema)}&poll=60s&listen={quote(direct, safe='')}"


async def test_everything_works_behind_pgbouncer_with_a_listener_past_it(pooler: str, postgres: str) -> None:
    url = url_behind(pooler, postgres, "bouncing")
    async with telex.Hub(url) as one, telex.Hub(url) as two, two.topic(TOPIC).subscribe() as inbox:
        grouped: asyncio.Queue[int] = asyncio.Queue()
        two.on(TOPIC, group="billing", run_in="loop")(grouped.put)
        two.command("double", once=True, run_in="loop")(lambda number: 2 * number)
        for number in range(20):
            await one.topic(TOPIC).publish(number)
        async with asyncio.timeout(10):  # far less than a poll interval: the notifications come
            assert [(await inbox.receive()).content for _ in range(20)] == list(range(20))
            assert sorted([await grouped.get() for _ in range(20)]) == list(range(20))
            assert [await one.call("double", 4, key="k") for _ in range(3)] == [8, 8, 8]
            async with one.transaction() as tx:
                await tx.execute("CREATE TABLE IF NOT EXISTS bounced (n int)")
                await tx.publish(TOPIC, 20)
            assert (await inbox.receive()).content == 20


async def test_a_hub_without_a_listener_past_pgbouncer_is_told_what_to_write(pooler: str) -> None:
    async def publish() -> None:
        hubs = [telex.Hub(url_of(pooler, "unaware")) for _ in range(3)]
        async with hubs[0], hubs[1], hubs[2]:
            for number in range(50):
                await asyncio.gather(*(hub.topic(TOPIC).publish(number) for hub in hubs))

    with pytest.raises((telex.EngineFailed, telex.ConnectFailed, telex.Closed), match="give listen= in the URL"):
        await publish()


@pytest.fixture
def store(pooler: str) -> PostgresStore:
    return PostgresStore(pooler, table="bounced_once", pgbouncer=True)


async def test_records_elsewhere_work_behind_pgbouncer(store: PostgresStore) -> None:
    async with telex.Hub() as hub:
        hub.command("double", once=True, store=store, run_in="loop")(lambda number: 2 * number)
        assert [await hub.call("double", n % 4, key=str(n % 4)) for n in range(20)] == [2 * (n % 4) for n in range(20)]
