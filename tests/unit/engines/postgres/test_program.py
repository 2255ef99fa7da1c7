"""One program in two processes on PostgreSQL: everything of a hub works between them."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

import telex
from tests.support.postgres import url_of

pytestmark = pytest.mark.slow
WITHIN = 10.0


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[None]:
    """The other process, until this is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.postgres_worker", url, stdin=-1, stdout=-1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"open\n"
        yield
    finally:
        process.stdin.close()
        assert await process.wait() == 0


async def test_two_processes_are_one_program(postgres: str) -> None:
    url = url_of(postgres, "program")
    async with await psycopg.AsyncConnection.connect(postgres, autocommit=True) as connection:
        await connection.execute("CREATE TABLE effects (number int)")
        async with worker(url), worker(url), telex.Hub(url) as hub:
            await chats(hub)
            await shares_work(hub)
            await carries_out_commands(hub)
            await fires_once(hub)
        cursor = await connection.execute("SELECT number FROM effects ORDER BY number")
        assert await cursor.fetchall() == [(7,), (8,)], "each command that runs once has had its effect once"


async def chats(hub: telex.Hub) -> None:
    room = hub.topic("chatroom:lobby")
    async with room.subscribe() as inbox:
        await room.publish("hello")
        heard = [(await inbox.receive(timeout=WITHIN)).content for _ in range(3)]
        assert heard == ["hello", "welcome", "welcome"]
    assert [message.content async for message in room.history()] == heard
    start = telex.Position(1, (await room.position()).epoch)
    assert [getattr(message, "content", message) async for message in room.history(start=start)] == heard[1:]


async def shares_work(hub: telex.Hub) -> None:
    async with hub.topic("billed").subscribe() as billed:
        for number in range(20):
            await hub.topic(f"orders:{number % 3}").publish(number)
        assert sorted([(await billed.receive(timeout=WITHIN)).content for _ in range(20)]) == list(range(20))
    (info,) = [info for info in await hub.groups.list() if info.group == "billing"]
    assert (info.pattern, info.dead) == ("orders:*", 0)


async def carries_out_commands(hub: telex.Hub) -> None:
    async with hub.follow("double") as outcomes, hub.topic("doubled").subscribe() as doubled:
        results = await asyncio.gather(*(hub.call("double", 7, key="seven", timeout=WITHIN) for _ in range(5)))
        assert results == [14] * 5
        assert await hub.call("double", 8, key="eight", timeout=WITHIN) == 16
        assert [(await doubled.receive(timeout=WITHIN)).content for _ in range(2)] == [14, 16]
        seen = [await outcomes.receive(timeout=WITHIN) for _ in range(2)]
        assert "seven" in [outcome.key for outcome in seen if isinstance(outcome, telex.Outcome)]


async def fires_once(hub: telex.Hub) -> None:
    async with hub.topic("milestones").subscribe() as milestones:
        assert await asyncio.gather(*(hub.call("plain", n, timeout=WITHIN) for n in range(4))) == [0, -1, -2, -3]
        firing = await milestones.receive(timeout=WITHIN)
        assert firing.content is not None
    assert len([message async for message in hub.topic("milestones").history()]) == 1
