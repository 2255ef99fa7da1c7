"""The writer of messages."""

import asyncio

import pytest

import telex
from telex.engines.postgres import PostgresEngine
from telex.errors import Closed, EngineFailed
from telex.testing.conformance.rig import Rig
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T, admin


@pytest.mark.slow
async def test_a_batch_that_is_asked_again_is_stored_once(postgres: str) -> None:
    """The answer may be lost with the connection: the server knows the last batch of each process."""
    engine = PostgresEngine.from_url(url_of(postgres, "again"))
    async with Rig(engine) as rig:
        writer = engine.client.writer
        first = await rig.send(T, "a", "b")
        writer.batch -= 1
        again = await rig.send(T, "a", "b")
        assert [m.seq for m in again] == [m.seq for m in first] == [1, 2]
        assert [m.content for m in rig.taken[T]] == ["a", "b"]
        assert [m.seq for m in await rig.send(T, "c")] == [3]
        writer.batch -= 2
        with pytest.raises(EngineFailed, match="out of date"):
            await rig.send(T, "a", "b")  # as by a connection that was held up meanwhile
        writer.batch += 1
        assert [m.seq for m in await rig.send(T, "d")] == [4]


@pytest.mark.slow
async def test_content_that_postgresql_cannot_store_is_refused_alone(postgres: str) -> None:
    async with telex.Hub(url_of(postgres, "refused")) as hub:
        topic = hub.topic(T)
        contents = ["a\0b", {"nested": "\0"}, b"\0\xff", "ü", 1.5, None, [1, {"a": [2]}]]
        await asyncio.gather(*(topic.publish(content) for content in contents))
        assert [message.content async for message in topic.history()] == contents


@pytest.mark.slow
async def test_closing_ends_all_publishers_of_a_refused_batch(postgres: str) -> None:
    """After a refusal each job is stored alone. Closing meanwhile also ends the publishers whose turn has not come."""
    engine = PostgresEngine.from_url(url_of(postgres, "turns"))
    async with Rig(engine) as rig, admin(postgres) as connection:
        await connection.execute(
            """CREATE FUNCTION turns.check() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.content = '"bad"' THEN RAISE check_violation; END IF;
            PERFORM pg_sleep(60); RETURN NEW; END $$"""
        )
        await connection.execute(
            "CREATE TRIGGER checks BEFORE INSERT ON turns.messages FOR EACH ROW EXECUTE FUNCTION turns.check()"
        )
        jobs = [asyncio.ensure_future(rig.send(T, content)) for content in ("bad", "slow", "last")]
        with pytest.raises(EngineFailed):
            await jobs[0]
        for task in engine.client.link.tasks:
            if "writing" in task.get_name():
                task.cancel()
        async with asyncio.timeout(5):
            ends = await asyncio.gather(*jobs[1:], return_exceptions=True)
        assert [type(end) for end in ends] == [Closed, Closed]
