"""The log of a topic, as the topic shows it: history, starts, epochs, statistics."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from telex import BadOption, Closed, Hub, Lost, Message, Position, Topic

START = 1_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        "telex.topics.publisher.time", clock
    )  # with the hub's own, since that is then the quick way to publish
    monkeypatch.setattr("telex.hub.time", clock)
    return clock


def seq_of(item: Message[Any] | Lost) -> int:
    assert isinstance(item, Message)
    return item.seq


async def all_of(items: AsyncIterator[Message[Any] | Lost]) -> list[Any]:
    return [item.seq if isinstance(item, Message) else item async for item in items]


async def filled(hub: Hub, clock: Clock, count: int = 10) -> Topic[int]:
    topic = hub.topic("a", int)
    for number in range(count):
        await topic.publish(number)
        clock.now += 1
    return topic


async def test_history_is_what_is_kept(clock: Clock) -> None:
    async with Hub() as hub:
        topic = await filled(hub, clock)
        assert await all_of(topic.history()) == list(range(1, 11))
        hub.retain("a", messages=4)
        assert await all_of(topic.history()) == [7, 8, 9, 10]


@pytest.mark.parametrize(
    ("start", "numbers"),
    [
        ("earliest", [4, 5, 6, 7, 8, 9, 10]),
        ("new", []),
        (0, []),
        (3, [8, 9, 10]),
        (7, [4, 5, 6, 7, 8, 9, 10]),
        (1000, [4, 5, 6, 7, 8, 9, 10]),
        (timedelta(seconds=2), [9, 10]),
        (timedelta(seconds=2.5), [9, 10]),
        (timedelta(0), []),
        (timedelta(days=1), [4, 5, 6, 7, 8, 9, 10]),
        (datetime.fromtimestamp(START + 8, UTC), [9, 10]),
        (datetime.fromtimestamp(START + 8.5, UTC), [10]),
        (datetime.fromtimestamp(START + 100, UTC), []),
        (datetime.fromtimestamp(0, UTC), [4, 5, 6, 7, 8, 9, 10]),
    ],
)
async def test_history_from_a_start(clock: Clock, start: Any, numbers: list[int]) -> None:
    async with Hub() as hub:
        hub.retain("a", messages=7)
        topic = await filled(hub, clock)
        assert await all_of(topic.history(start=start)) == numbers
        assert await all_of(topic.history(start=start, limit=2)) == numbers[:2]


async def test_a_start_that_is_gone_is_told_to_who_subscribes(clock: Clock) -> None:
    async with Hub() as hub:
        hub.retain("a", messages=7)
        topic = await filled(hub, clock)
        epoch = (await topic.position()).epoch
        gone: dict[Any, Lost] = {
            Position(1, epoch): Lost(2, 2, 3, "trimmed"),
            Position(0, "another"): Lost(3, 1, 3, "epoch"),
            Position(11, epoch): Lost(0, 11, 10, "ahead"),
            8: Lost(1, 3, 3, "trimmed"),
            timedelta(days=1): Lost(1, 3, 3, "trimmed"),
            datetime.fromtimestamp(START + 2, UTC): Lost(1, 3, 3, "trimmed"),
        }
        for start, lost in gone.items():
            async with topic.subscribe(start=start) as inbox:
                assert inbox.receive_nowait() == lost
                assert inbox.lost == lost.count
                assert inbox.position == Position(10 if lost.reason == "ahead" else 3, epoch)
            if isinstance(start, Position):
                assert next(iter(await all_of(topic.history(start=start)))) == lost
        there: list[Any] = [Position(3, epoch), 7, "earliest", "new", datetime.fromtimestamp(START + 2.5, UTC)]
        for start in there:
            async with topic.subscribe(start=start) as inbox:
                assert inbox.lost == 0
                assert start == "new" or seq_of(inbox.receive_nowait()) == 4


async def test_history_is_a_snapshot_of_when_iteration_began(clock: Clock) -> None:
    async with Hub() as hub:
        topic = await filled(hub, clock, 3)
        history = topic.history()
        await topic.publish(3)
        seen = []
        async for message in history:
            await topic.publish(100)
            seen.append(message.seq)
        assert seen == [1, 2, 3, 4]


@pytest.mark.parametrize(("limit", "numbers"), [(0, []), (1, [1]), (10, list(range(1, 11))), (11, list(range(1, 11)))])
async def test_a_limit_of_history(clock: Clock, limit: int, numbers: list[int]) -> None:
    async with Hub() as hub:
        assert await all_of((await filled(hub, clock)).history(limit=limit)) == numbers


async def test_history_of_nothing_and_of_a_closed_hub(clock: Clock) -> None:
    async with Hub() as hub:
        topic = hub.topic("a")
        assert await all_of(topic.history()) == []
        with pytest.raises(BadOption, match="limit"):
            topic.history(limit=-1)
    with pytest.raises(Closed):
        await all_of(topic.history())


async def test_a_topic_that_was_removed_begins_a_new_epoch(clock: Clock) -> None:
    async with Hub() as hub:
        old = await filled(hub, clock)
        position = await old.position()
        assert position.seq == 10
        await hub.remove("a")
        new = await filled(hub, clock, 5)
        assert (await new.position()).epoch != position.epoch
        async with new.subscribe(start=position) as inbox:
            assert inbox.receive_nowait() == Lost(0, 1, 0, "epoch")
            assert seq_of(inbox.receive_nowait()) == 1
        hub.retain("a", messages=2)
        async with new.subscribe(start=position) as inbox:
            assert inbox.receive_nowait() == Lost(3, 1, 3, "epoch")
            assert seq_of(inbox.receive_nowait()) == 4


async def test_statistics_of_a_topic(clock: Clock) -> None:
    async with Hub() as hub:
        hub.retain("a", messages=7)
        topic = await filled(hub, clock)
        async with topic.subscribe(), topic.subscribe():
            now = topic.statistics()
            assert (now.topic, now.published, now.kept, now.first) == ("a", 10, 7, 4)
            assert (now.subscribers, now.waiting_publishers) == (2, 0)
        assert topic.statistics().subscribers == 0


async def test_statistics_of_a_subscription(clock: Clock) -> None:
    async with Hub() as hub:
        topic = await filled(hub, clock, 3)
        async with topic.subscribe(start="earliest", buffer=2) as inbox:
            for number in range(5):
                await topic.publish(number)
            inbox.receive_nowait()
            now = inbox.statistics()
            assert (now.topic, now.published, now.received, now.lost, now.waiting) == ("a", 8, 1, 3, 4)
            assert (now.buffer, now.overflow, now.ended) == (2, "drop_newest", None)
        await topic.publish(9)
        closed = inbox.statistics()
        assert (closed.published, closed.received, closed.lost, closed.waiting) == (8, 1, 3, 4)
        assert closed.ended == "closed"


async def test_a_pattern_counts_on_its_own(clock: Clock) -> None:
    async with Hub() as hub:
        for number, name in enumerate(["a:1", "a:2", "a:1", "b:1"]):
            await hub.topic(name).publish(number)
            clock.now += 1
        pattern = hub.topic("a:*")
        assert [m.content async for m in pattern.history()] == [0, 1, 2]
        assert pattern.statistics().published == 3
        async with pattern.subscribe() as inbox:
            await hub.topic("a:2").publish(4)
            message = inbox.receive_nowait()
            assert (message.topic, message.seq) == ("a:2", 2)
            assert inbox.position.seq == (await pattern.position()).seq == 4


async def test_content_is_the_same_object_for_all(clock: Clock) -> None:
    """Documented: inside a process objects pass by reference, and who changes one changes it for all."""
    async with Hub() as hub:
        topic = hub.topic("a")
        content = {"text": "hello"}
        async with topic.subscribe() as one, hub.topic("*").subscribe() as other:
            published = await topic.publish(content)
            first, second = one.receive_nowait(), other.receive_nowait()
            assert first is second is published
            assert first.content is content
            content["text"] = "changed"
            assert second.content == {"text": "changed"}
