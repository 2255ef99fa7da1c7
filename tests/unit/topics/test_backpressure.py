"""Publishers under ``block`` and ``fail``: who waits, in which order, for how long, and who is told what."""

import asyncio
from typing import Any

import pytest

import telex
from tests.support.loops import idle
from tests.support.shell import Clock, left_in

moves_time = pytest.mark.parametrize("loop_name", ["asyncio"])  # whose clock can be moved


def contents(inbox: telex.Subscription[Any]) -> list[Any]:
    return [inbox.receive_nowait().content for _ in range(inbox.waiting)]


@pytest.mark.every_loop
async def test_publishers_go_on_in_the_order_of_their_calls() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=2) as inbox:
            publishers = [asyncio.create_task(topic.publish(number)) for number in range(9)]
            taken = []
            for done in range(2, 10):
                await idle()
                assert [publisher.done() for publisher in publishers] == [n < done for n in range(9)]
                assert topic.statistics().waiting_publishers == 9 - done
                taken.append(inbox.receive_nowait().content)
            assert taken + contents(inbox) == list(range(9))
            assert [(await publisher).seq for publisher in publishers] == list(range(1, 10))


async def test_nobody_overtakes_the_queue() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=1) as inbox:
            await topic.publish(1)
            waiting = asyncio.create_task(topic.publish(2))
            await idle()
            assert inbox.receive_nowait().content == 1
            # There is room now, and it belongs to the one that waits, which has not run yet.
            with pytest.raises(telex.WouldBlock, match="without _nowait"):
                topic.publish_nowait(3)
            later = asyncio.create_task(topic.publish(4))
            await waiting
            assert inbox.receive_nowait().content == 2
            await later
            assert contents(inbox) == [4]


async def test_would_block_publishes_nothing() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=1) as blocking, topic.subscribe() as other:
            topic.publish_nowait(1)
            with pytest.raises(telex.WouldBlock, match="'a'"):
                topic.publish_nowait(2)
            assert topic.statistics().published == other.waiting == blocking.waiting == 1


async def test_a_full_subscriber_that_fails_keeps_the_message_from_all() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a:1")
        pattern = hub.topic("a:*")
        async with (
            topic.subscribe() as other,
            pattern.subscribe() as wide,
            pattern.subscribe(overflow="fail", buffer=1) as failing,
            topic.subscribe(overflow="block", buffer=1, block_timeout=0) as blocking,
        ):
            await topic.publish(1)
            for _ in range(2):
                with pytest.raises(telex.BufferFull, match="nothing was published to 'a:\\*'") as caught:
                    await topic.publish(2)
                assert (caught.value.topic, caught.value.buffer) == ("a:*", 1)
                with pytest.raises(telex.BufferFull):
                    topic.publish_nowait(2)
            assert blocking.ended is None  # nobody waited for it
            assert topic.statistics().published == pattern.statistics().published == 1
            assert contents(other) == contents(wide) == contents(failing) == contents(blocking) == [1]
            await topic.publish(3)
            assert contents(other) == contents(wide) == contents(failing) == contents(blocking) == [3]


async def test_a_publisher_that_waits_is_told_when_another_subscriber_fails() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with (
            topic.subscribe(overflow="block", buffer=1) as blocking,
            topic.subscribe(overflow="fail", buffer=2) as failing,
        ):
            await topic.publish(1)
            waiting = asyncio.create_task(topic.publish(2))
            await idle()
            assert not waiting.done()
            contents(blocking)
            await waiting
            contents(blocking)
            with pytest.raises(telex.BufferFull):
                await topic.publish(3)
            assert contents(failing) == [1, 2]
            assert left_in(topic)["queue"] == 0


async def test_publishers_wait_for_all_subscribers_of_topic_and_patterns() -> None:
    async with telex.Hub() as hub:
        one, two = hub.topic("a:1"), hub.topic("a:2")
        async with (
            hub.topic("a:*").subscribe(overflow="block", buffer=1) as wide,
            one.subscribe(overflow="block", buffer=1) as narrow,
        ):
            await two.publish("two")
            waiting = asyncio.create_task(one.publish("one"))
            await idle()
            assert not waiting.done()
            assert contents(wide) == ["two"]
            await waiting
            assert contents(wide) == ["one"]
            waiting = asyncio.create_task(one.publish("again"))
            await idle()
            assert not waiting.done()
            await two.publish("two goes on")
            assert contents(narrow) == ["one"]
            await idle()
            assert not waiting.done()  # now the pattern's subscriber is full
            assert contents(wide) == ["two goes on"]
            assert (await waiting).content == "again"


async def test_a_small_message_does_not_overtake_a_large_one() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer_bytes=10) as inbox:
            await topic.publish("12345678")
            large, small = (asyncio.create_task(topic.publish(content)) for content in ("1234", "1"))
            await idle()
            assert not large.done()
            assert not small.done()
            contents(inbox)
            assert [(await publisher).seq for publisher in (large, small)] == [2, 3]


@moves_time
async def test_the_slow_one_alone_is_closed_after_its_block_timeout(loop_name: str) -> None:
    async with telex.Hub() as hub:
        topic, clock = hub.topic("a"), Clock()
        async with (
            topic.subscribe(overflow="block", buffer=1, block_timeout="5s") as slow,
            topic.subscribe(overflow="block", buffer=1, block_timeout="20s") as patient,
            topic.subscribe() as other,
        ):
            await topic.publish(1)
            publishers = [asyncio.create_task(topic.publish(number)) for number in (2, 3)]
            await clock.forward(4.9)
            contents(patient)
            assert slow.ended is None
            assert not publishers[0].done()
            await clock.forward(0.2)
            assert publishers[0].done()
            assert slow.ended == "slow"
            assert patient.ended is None
            assert contents(patient) == [2]
            await publishers[1]
            assert contents(other) == [1, 2, 3]
            assert slow.receive_nowait().content == 1
            with pytest.raises(telex.SlowSubscriber, match="missed 2"):
                await slow.receive()
            accounts = slow.statistics()
            assert (accounts.published, accounts.received, accounts.lost, accounts.waiting) == (3, 1, 2, 0)


@moves_time
async def test_one_that_takes_is_not_slow(loop_name: str) -> None:
    async with telex.Hub() as hub:
        topic, neighbour, clock = hub.topic("a:1"), hub.topic("a:2"), Clock()
        async with hub.topic("a:*").subscribe(overflow="block", buffer=1, block_timeout=5) as inbox:
            await topic.publish("first")
            waiting = asyncio.create_task(topic.publish("second"))
            for number in range(4):
                await clock.forward(4)
                contents(inbox)
                neighbour.publish_nowait(number)  # takes the room before the one that waits has run
            await clock.forward(4)
            assert inbox.ended is None
            assert not waiting.done()
            await clock.forward(1.1)
            assert inbox.ended == "slow"
            assert waiting.done()


@moves_time
async def test_a_publisher_waits_at_most_its_own_timeout(loop_name: str) -> None:
    async with telex.Hub() as hub:
        topic, clock = hub.topic("a"), Clock()
        async with topic.subscribe(overflow="block", buffer=1, block_timeout=30) as inbox:
            await topic.publish(1)
            waiting = [asyncio.create_task(topic.publish(2, timeout=limit)) for limit in ("9s", 4)]
            await clock.forward(3.9)
            assert not waiting[1].done()
            await clock.forward(0.2)
            assert isinstance(waiting[1].exception(), telex.Timeout)
            assert isinstance(waiting[1].exception(), TimeoutError)
            assert not waiting[0].done()
            await clock.forward(5)
            assert str(waiting[0].exception()) == "publishing to 'a' took longer than the 9 s it was given"
            assert inbox.ended is None
            assert topic.statistics().published == 1
            assert left_in(topic)["blocked"] == left_in(topic)["queue"] == 0


async def test_a_message_larger_than_the_whole_buffer_is_not_waited_for() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer_bytes=4, block_timeout=3600) as inbox:
            await topic.publish("1234")
            waiting = asyncio.create_task(topic.publish("12"))
            await idle()
            assert not waiting.done()
            contents(inbox)
            await waiting
            await topic.publish("12345")
            assert inbox.ended == "slow"
            assert topic.statistics().published == 3


@pytest.mark.parametrize("how", ["leaves", "is removed", "the hub closes"])
async def test_publishers_go_on_when_the_subscriber(how: str) -> None:
    hub = telex.Hub()
    async with hub:
        topic = hub.topic("a")
        inbox = topic.subscribe(overflow="block", buffer=1)
        await inbox.__aenter__()
        await topic.publish(1)
        waiting = [asyncio.create_task(topic.publish(number)) for number in (2, 3)]
        await idle()
        if how == "leaves":
            await inbox.aclose()
            assert [(await publisher).seq for publisher in waiting] == [2, 3]
            return
        if how == "is removed":
            await hub.remove("a")
            assert [(await inbox.receive()).content for _ in range(3)] == [1, 2, 3]
            assert [(await publisher).seq for publisher in waiting] == [1, 2]
            await inbox.aclose()
            return
        await hub.aclose()
        for publisher in waiting:
            with pytest.raises(telex.Closed, match="hub was closed"):
                await publisher
        assert topic.statistics().published == 1
        assert left_in(topic) == dict.fromkeys(left_in(topic), 0)


async def test_a_publisher_of_a_removed_topic_waits_for_a_pattern() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a:1")
        async with hub.topic("a:*").subscribe(overflow="block", buffer=1) as wide:
            await topic.publish(1)
            waiting = [asyncio.create_task(topic.publish(number)) for number in (2, 3)]
            await idle()
            await hub.remove("a:1")
            await idle()
            assert not any(publisher.done() for publisher in waiting)
            assert [(await wide.receive()).content for _ in range(3)] == [1, 2, 3]
            assert [(await publisher).seq for publisher in waiting] == [1, 2]


async def test_the_same_id_twice_does_not_wait() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=1) as inbox:
            one = await topic.publish(1, id="x")
            assert await topic.publish(2, id="x") is one
            assert topic.publish_nowait(3, id="x") is one
            both = [asyncio.create_task(topic.publish(number, id="y")) for number in (4, 5)]
            await idle()
            contents(inbox)
            await idle()
            assert both[0].result() is both[1].result()
            assert contents(inbox) == [4]
