"""Topics that an engine stores: read from the store, and given to subscribers by other processes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import telex
from tests.support.loops import idle
from tests.support.pretend import PretendEngine, PretendStore, Server


@pytest.mark.parametrize("subscribed", ["a:1", "a:*"])
async def test_a_full_blocking_subscriber_is_closed_when_another_process_publishes(subscribed: str) -> None:
    server = Server()
    async with (
        telex.Hub(PretendEngine(server)) as other,
        telex.Hub(PretendEngine(server)) as hub,
        hub.topic(subscribed).subscribe(overflow="block", buffer=2) as inbox,
    ):
        for number in range(5):
            await other.topic("a:1").publish(number)
        await idle()
        assert inbox.waiting == 2
        assert [inbox.receive_nowait().content for _ in range(2)] == [0, 1]
        with pytest.raises(telex.SlowSubscriber):
            inbox.receive_nowait()


async def test_the_history_of_a_followed_pattern_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = PretendStore.read_pattern

    async def counted(self: PretendStore, topics: Sequence[str], count: int) -> Sequence[telex.Message[Any]]:
        reads.append(count)
        return await read(self, topics, count)

    monkeypatch.setattr(PretendStore, "read_pattern", counted)
    server = Server()
    async with telex.Hub(PretendEngine(server)) as other:
        await other.topic("a:1").publish(1)
    async with telex.Hub(PretendEngine(server)) as hub, hub.topic("a:*").subscribe():
        for _ in range(3):
            assert [message.content async for message in hub.topic("a:*").history()] == [1]
    assert len(reads) == 1


@pytest.mark.parametrize("keeps", [1000, 4, 0])
async def test_the_newest_of_each_key_is_known_from_what_the_store_keeps(keeps: int) -> None:
    server = Server()
    async with telex.Hub(PretendEngine(server)) as other:
        other.retain("a", messages=keeps)
        for number in range(10):
            await other.topic("a").publish(number, key=str(number % 3))
    async with telex.Hub(PretendEngine(server)) as hub:
        async with asyncio.timeout(10):
            options: Any = {"overflow": "latest", "key": lambda message: message.key, "start": "earliest"}
            async with hub.topic("a").subscribe(**options) as inbox:
                assert [inbox.receive_nowait().content for _ in range(inbox.waiting)] == ([7, 8, 9] if keeps else [])
