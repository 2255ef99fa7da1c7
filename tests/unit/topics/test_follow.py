"""A process follows the topics and patterns that somebody in it reads, and no others."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

import telex
from telex.hub import runtime_of
from telex.message import Message
from telex.names import Pattern
from tests.support.loops import idle, until
from tests.support.pretend import PretendEngine, Server


class CountingEngine(PretendEngine):
    """Counts the messages that it delivers, and knows what is followed."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.followed: set[str] = set()
        self.delivered: list[Any] = []
        store = self.store
        assert store is not None
        follow, unfollow = store.follow, store.unfollow

        def begin(name: str) -> None:
            assert name not in self.followed
            self.followed.add(name)
            follow(name)

        def end(name: str) -> None:
            self.followed.remove(name)
            unfollow(name)

        store.follow, store.unfollow = begin, end  # type: ignore[method-assign]

    def tell(self, messages: Sequence[Message[Any]], *, decode: bool) -> None:
        fits = [m for m in messages if any(Pattern(name).matches(m.topic) for name in self.followed)]
        self.delivered += [m.content for m in fits]
        super().tell(messages, decode=decode)


@asynccontextmanager
async def counted() -> AsyncIterator[tuple[telex.Hub, CountingEngine, telex.Hub]]:
    """A hub whose engine counts, and another hub on the same server."""
    server = Server()
    engine = CountingEngine(server)
    async with telex.Hub(engine) as hub, telex.Hub(PretendEngine(server)) as other:
        yield hub, engine, other


@pytest.mark.parametrize("name", ["a:1", "a:*", "a:>"])
async def test_a_topic_or_pattern_is_followed_from_its_first_reader_to_its_last(name: str) -> None:
    async with counted() as (hub, engine, other):
        topic = hub.topic(name)
        assert not engine.followed
        async with topic.subscribe() as first:
            async with topic.subscribe():
                assert engine.followed == {name}
            await other.topic("a:1").publish(1)
            assert (await first.receive(timeout=5)).content == 1
        assert not engine.followed
        await other.topic("a:1").publish(2)
        assert engine.delivered == [1]


async def test_a_publisher_alone_follows_nothing() -> None:
    async with counted() as (hub, engine, other):
        topic = hub.topic("a", int)
        await topic.publish(1)
        await other.topic("a").publish(2)
        assert (await topic.position()).seq == topic.statistics().published == 2
        assert [message.content async for message in topic.history()] == [1, 2]
        assert [message.content async for message in hub.topic("*").history()] == [1, 2]
        assert not engine.followed
        assert not engine.delivered


async def test_a_reader_that_comes_back_gets_what_was_published_meanwhile() -> None:
    async with counted() as (hub, engine, other):
        for name in ("a:1", "a:*"):
            topic = hub.topic(name)
            async with topic.subscribe() as inbox:
                await other.topic("a:1").publish("seen")
                assert (await inbox.receive(timeout=5)).content == "seen"
                position = inbox.position
            await other.topic("a:1").publish("missed")
            async with topic.subscribe() as inbox:
                await other.topic("a:1").publish("new")
                assert (await inbox.receive(timeout=5)).content == "new"
                assert inbox.lost == 0
            if name == "a:1":
                async with topic.subscribe(start=position, report_lost=True) as resumed:
                    items: list[Any] = [await resumed.receive(timeout=5) for _ in range(2)]
            else:
                async with topic.subscribe(start="earliest") as kept:
                    items = [await kept.receive(timeout=5) for _ in range(6)][-2:]
            assert [item.content for item in items if isinstance(item, Message)] == ["missed", "new"]
            assert not engine.followed


async def test_a_topic_is_followed_by_its_name_while_a_pattern_comes_and_goes() -> None:
    async with counted() as (hub, engine, other):
        async with hub.topic("a:1").subscribe() as inbox:
            async with hub.topic("a:*").subscribe() as wide:
                await other.topic("a:1").publish(1)
                await other.topic("a:2").publish(2)
                assert [(await wide.receive(timeout=5)).content for _ in range(2)] == [1, 2]
            await other.topic("a:2").publish(3)
            await other.topic("a:1").publish(4)
            assert [(await inbox.receive(timeout=5)).content for _ in range(2)] == [1, 4]
            async with hub.topic("a:*").subscribe() as wide, hub.topic("a:2").subscribe(report_lost=True) as late:
                await other.topic("a:2").publish(5)
                assert (await wide.receive(timeout=5)).content == 5
                assert (await late.receive(timeout=5)).content == 5  # type: ignore[union-attr]
                assert wide.lost == late.lost == 0
        assert not engine.followed
        assert engine.delivered == [1, 2, 4, 5]


async def test_a_handler_follows_until_the_hub_closes() -> None:
    async with counted() as (hub, engine, other):
        got: list[int] = []

        @hub.on("a:*", run_in="loop")
        def show(content: int) -> None:
            got.append(content)

        assert engine.followed == {"a:*"}
        await other.topic("a:1").publish(1)
        await until(lambda: got == [1])
    assert not engine.followed


async def test_a_subscription_that_fails_to_begin_follows_nothing() -> None:
    async with counted() as (hub, engine, _):
        assert engine.store is not None

        async def fail(*_: object) -> Any:
            raise telex.EngineFailed("reading", "the disk is gone")

        engine.store.find = fail  # type: ignore[assignment, method-assign]
        with pytest.raises(telex.EngineFailed):
            async with hub.topic("a").subscribe(start="earliest"):
                raise AssertionError("it has begun")
        await idle()
        assert not engine.followed


async def test_a_position_among_stored_messages_is_kept_when_their_numbers_have_gaps() -> None:
    server = Server(7)
    async with telex.Hub(PretendEngine(server)) as hub:
        sent = [await hub.topic("a").publish(number) for number in range(8)]
    hub = telex.Hub(PretendEngine(server))
    async with hub, hub.topic("a").subscribe(start="earliest", overflow="catch_up") as inbox:
        for message in sent:
            assert await inbox.receive(timeout=5) == message
            assert inbox.position.seq == message.seq


@pytest.mark.parametrize("pattern", ["a:1", "a:*"])
async def test_a_gap_of_unknown_size_gives_readers_a_lost(pattern: str) -> None:
    async with (
        telex.Hub(PretendEngine(Server())) as hub,
        hub.topic(pattern).subscribe(report_lost=True) as inbox,
        hub.topic("a:1").subscribe() as other,
    ):
        await hub.topic("a:1").publish("before")
        runtime_of(hub).topics.gap("a:1", None, "trimmed")
        await hub.topic("a:1").publish("after")
        before, lost, after = [await inbox.receive() for _ in range(3)]
        assert isinstance(before, Message)
        assert isinstance(after, Message)
        assert (before.content, after.content) == ("before", "after")
        assert isinstance(lost, telex.Lost)
        assert (lost.count, lost.reason) == (1, "trimmed")  # one is certainly missing
        assert [(await other.receive()).content for _ in range(2)] == ["before", "after"]
        assert (inbox.lost, other.lost) == (1, 1)
