"""The topics of a hub: each is the same object every time, and is let go when nothing needs it."""

import asyncio
import weakref
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.hub import runtime_of
from tests.support.loops import idle


async def test_a_topic_is_the_same_every_time() -> None:
    hub = telex.Hub()
    topic = hub.topic("a:1")
    assert hub.topic("a:1", list[int]) is topic
    assert hub.topic("a:1", list[int]) is topic
    async with hub:
        assert hub.topic("a:1") is topic
        assert hub.topic("a:*") is hub.topic("a:*")
        hub.topic("b", int)
        hub.topic("c")
        assert await hub.topics() == ["a:1", "b"], "what was only looked up is not there"
        assert await hub.topics("a:>") == ["a:1"]
        with pytest.raises(telex.ContentError):
            await topic.publish(["text"])


@pytest.mark.parametrize("where", ["memory://", pytest.param("sqlite:///{}/a.db", marks=pytest.mark.slow)])
async def test_a_topic_for_which_only_handlers_wait_is_not_there(where: str, tmp_path: Path) -> None:
    hub, got = telex.Hub(where.format(tmp_path)), asyncio.Queue[int]()
    hub.on("a", run_in="loop")(got.put_nowait)
    async with hub:
        for number in range(2):
            await hub.topic("a").publish(number)
            assert await hub.topics() == ["a"]
            assert await got.get() == number
            assert [await hub.remove("a") for _ in range(3)] == [True, False, False]
            assert await hub.topics() == []


@pytest.mark.parametrize("where", ["memory://", pytest.param("sqlite", marks=pytest.mark.slow)])
async def test_topics_that_nobody_reads_and_nothing_was_published_to_are_let_go(where: str, tmp_path: Path) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/a.db" if where == "sqlite" else where) as hub:
        held, left = hub.topic("held"), list[weakref.ref[telex.Topic[Any]]]()
        for number in range(300):
            left.append(weakref.ref(hub.topic(f"x:{number}")))
            async with hub.topic(f"x:{number}").subscribe():
                if not number:
                    assert await hub.topics() == ["x:0"], "somebody reads it"
        assert not [each for each in left if each() is not None]
        assert runtime_of(hub).topics.all() == [held]
        assert await hub.topics() == []
        assert not await hub.remove("held"), "what was only looked up is not there"
        async with held.subscribe():
            assert hub.topic("held") is held
        assert hub.topic("held") is held
        await hub.topic("x:1").publish(1)
        await held.publish(2)
        del held
        kept = [] if where == "sqlite" else [hub.topic("x:1"), hub.topic("held")]
        assert runtime_of(hub).topics.all() == kept, "a file has the messages, and the hub need not"
        assert await hub.topics() == ["held", "x:1"]
        assert hub.topic("held").statistics().published == 1
        assert [message.content async for message in hub.topic("held").history()] == [2]


async def test_a_topic_in_hand_is_fed_and_kept_as_all_are() -> None:
    async with telex.Hub() as hub:
        held = hub.topic("x:1")
        async with hub.topic("x:*").subscribe() as inbox:
            hub.retain("x:1", messages=1)
            await held.publish(1)
            await held.publish(2)
            assert [(await inbox.receive(1)).content for _ in range(2)] == [1, 2]
        assert held.statistics().kept == 1


async def test_a_position_of_a_topic_that_was_let_go_is_good() -> None:
    async with telex.Hub() as hub:
        async with hub.topic("a").subscribe() as inbox:
            position = inbox.position
        del inbox
        await hub.topic("a").publish(1)
        async with hub.topic("a").subscribe(start=position) as again:
            item = await again.receive(1)
            assert isinstance(item, telex.Message)
            assert item.content == 1
        await hub.remove("a")
        assert (await hub.topic("a").position()).epoch != position.epoch


async def test_a_group_gets_what_comes_to_a_topic_that_nobody_else_has(tmp_path: Path) -> None:
    for url in ("memory://", f"sqlite:///{tmp_path}/a.db"):
        hub, got = telex.Hub(url), asyncio.Queue[int]()
        hub.on("a", group="g", run_in="loop")(got.put_nowait)
        async with hub:
            await idle()
            async with hub.topic("a").subscribe():
                pass
            await hub.topic("a").publish(1)
            assert await got.get() == 1


@pytest.mark.parametrize("where", ["memory://", "sqlite"])
async def test_patterns_that_nobody_reads_and_nothing_was_published_to_are_let_go(where: str, tmp_path: Path) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/a.db" if where == "sqlite" else where) as hub:
        for number in range(10):
            async with hub.topic(f"x:{number}:*").subscribe():
                pass
        held = hub.topic("y:*")
        async with held.subscribe():
            pass
        assert not runtime_of(hub).topics.patterns
        await hub.topic("y:1").publish(1)
        assert hub.topic("y:*") is held
        async with held.subscribe(start="earliest") as inbox, hub.topic("y:>").subscribe() as other:
            await hub.topic("y:2").publish(2)
            assert [(await inbox.receive(1)).content for _ in range(2)] == [1, 2]
            assert (await other.receive(1)).content == 2
        left = set(runtime_of(hub).topics.patterns)
        expected = set() if where == "sqlite" else {"y:*", "y:>"}
        assert left == expected, "in memory, what was published may be asked for again"
