"""The functions of the schema that store messages."""

import asyncio

import psycopg
import pytest

import telex
from telex.engines.postgres import PostgresEngine
from telex.engines.postgres.catalogue import epoch_of
from telex.testing.conformance.rig import Rig
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import Sql, T, admin, value

pytestmark = pytest.mark.slow


async def test_messages_of_an_outbox_do_not_overtake_those_that_another_process_has_taken(postgres: str) -> None:
    url = url_of(postgres, "overtaken")
    async with telex.Hub(url):
        pass
    async with admin(postgres) as other, admin(postgres) as process:
        for number in range(2):
            async with process.transaction():
                await telex.Hub(url).join(process).publish(T, number)
            if number == 0:
                await other.execute("BEGIN; SELECT FROM overtaken.delayed FOR UPDATE")
        await process.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await process.execute("SELECT overtaken.publish_due(100)")
        await other.execute("ROLLBACK")
    async with telex.Hub(url) as hub, hub.topic(T).subscribe(start="earliest") as inbox:
        assert [(await inbox.receive(timeout=5)).content for _ in range(2)] == [0, 1]


def test_messages_are_numbered_by_topic_and_placed_in_the_order_of_commits(sql: Sql) -> None:
    ((before, base), (t,), *_) = sql.append("t", 1, 2)
    assert base == 0
    sql.append("u", 3)
    ((place, base), *_) = sql.append("t", 4)
    assert (place, base) == (before + 3, 2)
    found = sql.rows("SELECT pos - %s, topic = %s, seq, total FROM messages ORDER BY pos", before, t)
    assert found == [(1, True, 1, 10), (2, True, 2, 20), (3, False, 1, 10), (4, True, 3, 30)]


def test_a_known_id_is_not_stored_again_and_its_number_is_returned(sql: Sql) -> None:
    sql.append("t", 1, 2, ids=["a", "b"])
    (_, _, _, known, numbers) = sql.append("t", 3, 4, 5, ids=["b", "c", "c"])
    assert (known, numbers) == ([1, 3], [2, 3])
    assert sql.contents("t") == [1, 2, 4]
    assert sql.append("u", 6, ids=["a"])[3] == [], "an id belongs to one topic"
    sql.rows("UPDATE ids SET time = time - 121")
    assert sql.append("t", 7, ids=["a"])[3] == [], "an id is known for two minutes"


def test_the_epoch_of_a_topic_is_that_which_every_process_expects(sql: Sql) -> None:
    base = sql.one("SELECT epoch FROM state")
    for removed in range(3):
        ((_, before), _, (epoch,), *_) = sql.append("gr\u00f6\u00dfe", 1)
        assert (epoch, before) == (epoch_of(base, "gr\u00f6\u00dfe", removed), 0)
        assert sql.one("SELECT remove_topic(%s)", "gr\u00f6\u00dfe") is not None
    assert sql.one("SELECT remove_topic(%s)", "gr\u00f6\u00dfe") is None


def test_removing_a_topic_takes_its_messages_out_of_groups(sql: Sql) -> None:
    sql.append("a:1", 1, key="k")
    sql.append("a:2", 2, key="k")
    sql.join("g", "a:*", fits="^a:[^:]+$")
    assert sql.fetched("g", "a:*") == [1]
    sql.rows("SELECT remove_topic('a:1')")
    assert sql.one("SELECT held FROM groups") == 1
    assert sql.fetched("g", "a:*") == [2], "the next message of the key may go on"


def test_due_messages_are_published_in_the_order_of_their_times(sql: Sql) -> None:
    insert = "INSERT INTO delayed (due, topic, id, type, content, size) VALUES (%s, 't', %s, 'int', %s, 1)"
    for number, due in enumerate((30.0, 10.0, 20.0, 20.0, 1e11)):
        sql.rows(insert, due, str(number), str(number))
    assert sql.one("SELECT publish_due(2)") == 20.0, "there are more"
    assert sql.contents("t") == [1, 2]
    assert sql.one("SELECT publish_due(100)") == 1e11
    assert sql.contents("t") == [1, 2, 3, 0]
    assert [id for (id,) in sql.rows("SELECT id FROM delayed")] == ["4"]


async def test_removing_a_topic_waits_for_its_groups_before_it_stops_appends(postgres: str) -> None:
    """A transaction that has settled a message, and publishes then, would be in a deadlock with it."""
    async with Rig(PostgresEngine.from_url(url_of(postgres, "ordered"))) as rig, admin(postgres) as connection:
        await rig.send(T, "a")
        await rig.join("billing", T, "earliest")
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM ordered.groups FOR UPDATE")
            removing = asyncio.ensure_future(rig.remove(T))
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%remove_t%'"
            while not await value(connection, waiting):
                await connection.execute("SELECT pg_stat_clear_snapshot()")
            await connection.execute("SET LOCAL lock_timeout = '1s'")
            await connection.execute("SELECT ordered.take_lock()")
        assert await removing
