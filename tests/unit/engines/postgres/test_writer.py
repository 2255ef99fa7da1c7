"""The writer of messages."""

import asyncio

import pytest

import telex
from telex.engines.postgres import PostgresEngine
from telex.errors import EngineFailed
from telex.testing.conformance.rig import Rig
from tests.support.postgres import url_of
from tests.unit.engines.postgres.rigs import T


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
