"""The deletion of messages and of other rows."""

from time import time

import pytest

import telex
from telex.engines.postgres import PostgresEngine
from telex.log.log import Retention
from telex.testing.conformance.rig import Rig, message
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin, value


@pytest.mark.slow
async def test_retention_deletes_and_groups_keep(postgres: str) -> None:
    engine = PostgresEngine.from_url(url_of(postgres, "swept"))
    async with Rig(engine) as rig, admin(postgres) as connection:
        assert engine.store is not None
        await engine.store.retain([(">", Retention(10))])
        await rig.send(T, *range(100))
        await engine.client.upkeep.sweep(T, young=-1.0)
        assert await value(connection, "SELECT count(*) FROM swept.messages") == 10
        await rig.join("billing", T, "earliest")
        (held, *_) = await rig.fetch("billing", T, limit=3)
        await rig.send(T, *range(100, 150))
        await engine.client.upkeep.sweep(T, young=-1.0)
        assert await value(connection, "SELECT count(*) FROM swept.messages") == 60, "the group has not looked at them"
        while claimed := await rig.fetch("billing", T, limit=30):
            for delivery in claimed:
                await rig.settle("billing", T, delivery, "ack")
        await engine.client.upkeep.sweep(T, young=-1.0)
        assert await value(connection, "SELECT count(*) FROM swept.messages") == 10 + 3
        assert await rig.settle("billing", T, held, "ack")
        assert await value(connection, "SELECT count(*) FROM swept.messages") == 10 + 2
        assert await engine.store.find(T, "earliest", time()) == (141, None, 0)


@pytest.mark.slow
async def test_rows_of_no_use_are_deleted_in_time(postgres: str) -> None:
    engine = PostgresEngine.from_url(url_of(postgres, "cleaned"))
    async with Rig(engine) as rig, admin(postgres) as connection:
        assert engine.store is not None
        assert engine.records is not None
        await rig.send("gone:1", *range(10), id="same")
        await rig.send("gone:1", *range(10))
        assert await rig.remove("gone:1")
        await engine.store.retain([("aged:*", Retention(None, 60.0))])
        old = [message("aged:1", n, published=time() - 1000) for n in range(5)]
        await engine.store.append([*old, message("aged:1", "young", id="young")])
        assert await engine.records.put("b", "k", b"", 0, time() - 5)
        await connection.execute("UPDATE cleaned.ids SET time = 0")
        await engine.client.upkeep.clean()
        counts = {
            table: await value(connection, f"SELECT count(*) FROM cleaned.{table}")
            for table in ("messages", "orphans", "ids", "records")
        }
        assert counts == {"messages": 1, "orphans": 0, "ids": 0, "records": 0}
        assert [m.content for m in await engine.store.read("aged:1", 1, 100) if isinstance(m, telex.Message)] == [
            "young"
        ]


@pytest.mark.slow
async def test_nothing_is_remembered_of_removed_topics(postgres: str) -> None:
    url = url_of(postgres, "forgotten")
    one, two = PostgresEngine.from_url(url), PostgresEngine.from_url(url + "&poll=50ms")
    async with Rig(one) as rig, Rig(two) as other:
        await rig.send(T, "a")
        await other.until(lambda: other.contents(T) == ["a"], "the message")
        assert (list(one.client.upkeep.written), len(two.client.live.told)) == ([T], 1)
        assert await rig.remove(T)
        await one.client.upkeep.sweep_written()
        await other.until(lambda: not two.client.live.told, "the removal")
        assert not one.client.upkeep.written
