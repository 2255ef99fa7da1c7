"""Topics in the memory of one process: numbers, ids that are stored once, patterns, and room."""

import asyncio
from typing import Any

import pytest

import telex
from telex.message import Draft
from telex.topics.local import LocalPublisher, NoStore
from telex.topics.topic import publisher_of
from tests.support.loops import idle


def local(topic: telex.Topic[Any]) -> LocalPublisher:
    publisher = publisher_of(topic)
    assert isinstance(publisher, LocalPublisher)
    return publisher


def contents(topic: telex.Topic[Any]) -> list[object]:
    return [message.content for message in publisher_of(topic).log.messages]


async def test_an_id_is_stored_once_by_every_way_of_publishing() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        first = await topic.publish(1, id="x")
        publisher = local(topic)
        assert await topic.publish(2, id="x") is first
        assert topic.publish_nowait(3, id="x") is first
        assert await publisher.put(4, "x", None, None, None) is first
        assert publisher.publish_new(5, "x") is first
        assert publisher.publish_due(Draft(6, "a", "x", 0.0, None, None, None, None)).seq == 0
        assert contents(topic) == [1]
        assert first.seq == 1


async def test_every_way_of_publishing_numbers_on() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        publisher = local(topic)
        found = [await topic.publish(1), topic.publish_nowait(2), await publisher.put(3, None, None, None, None)]
        found += [publisher.publish_new(4, "four"), await publisher.publish_held(5)]
        found += [publisher.publish_due(Draft(6, "a", None, 0.0, None, None, None, None))]
        assert [message.seq for message in found] == [1, 2, 3, 4, 5, 6]
        assert len({message.id for message in found}) == 6
        assert contents(topic) == [1, 2, 3, 4, 5, 6]


async def test_patterns_get_every_message_in_the_order_of_publishing() -> None:
    async with telex.Hub() as hub, hub.topic("a:*").subscribe() as narrow, hub.topic(">").subscribe() as wide:
        for number in range(4):
            await hub.topic(f"{'ab'[number % 2]}:{number}").publish(number)
        local(hub.topic("a:new")).publish_due(Draft(9, "a:new", None, 0.0, None, None, None, None))
        assert [message.content for message in narrow.receive_many_nowait()] == [0, 2, 9]
        assert [message.content for message in wide.receive_many_nowait()] == [0, 1, 2, 3, 9]


async def test_a_full_subscriber_makes_a_publisher_wait_and_a_known_id_does_not() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=1) as inbox:
            first = await topic.publish(1, id="x")
            with pytest.raises(telex.WouldBlock):
                topic.publish_nowait(2)
            assert topic.publish_nowait(2, id="x") is first
            waiting = [asyncio.create_task(topic.publish(number)) for number in (2, 3)]
            await idle()
            assert not waiting[0].done()
            assert await topic.publish(9, id="x") is first
            assert [(await inbox.receive(5)).content for _ in range(3)] == [1, 2, 3]
            assert [(await task).seq for task in waiting] == [2, 3]


async def test_a_publisher_that_gets_its_id_stored_by_another_waits_no_more() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=1) as inbox:
            await topic.publish(1)
            waiting = [asyncio.create_task(topic.publish(number, id="x")) for number in (2, 3)]
            await idle()
            assert (await inbox.receive(5)).content == 1
            first, second = await asyncio.gather(*waiting)
            assert first is second
            assert contents(topic) == [1, 2]


async def test_a_closed_topic_takes_nothing() -> None:
    hub = telex.Hub()
    async with hub:
        topic = hub.topic("a")
        await topic.publish(1)
    publisher = local(topic)
    with pytest.raises(telex.Closed):
        publisher.publish_nowait(2, None, None, None)
    with pytest.raises(telex.Closed):
        await publisher.put(2, None, None, None, None)
    assert publisher.publish_due(Draft(2, "a", None, 0.0, None, None, None, None)).seq == 0
    assert contents(topic) == [1]


async def test_a_removed_topic_forgets_its_ids() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        first = await topic.publish(1, id="x")
        await hub.remove("a")
        again = await topic.publish(2, id="x")
        assert again is not first
        assert (again.seq, contents(topic)) == (1, [2])


async def test_content_is_held_to_the_declared_type_before_it_is_numbered() -> None:
    async with telex.Hub() as hub:
        topic: telex.Topic[Any] = hub.topic("a", int)
        with pytest.raises(telex.ContentError):
            topic.publish_nowait("x")
        with pytest.raises(telex.ContentError):
            local(topic).publish_new("x", "id")
        assert topic.publish_nowait(1).seq == 1


async def test_sizes_are_measured_once_they_bound_something() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(buffer_bytes=5) as inbox:
            for content in ("xxx", "xxx", "xx"):
                topic.publish_nowait(content)
            assert [inbox.receive_nowait().content for _ in range(inbox.waiting)] == ["xxx", "xx"]
            assert inbox.lost == 1


async def test_an_engine_in_memory_stores_no_topic() -> None:
    store = NoStore()
    assert await store.topics() == []
    assert await store.remove("a") is False
    await store.retain([])
