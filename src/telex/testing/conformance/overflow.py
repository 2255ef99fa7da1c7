"""Slow subscribers through a hub, on any engine: the messages that each policy keeps, and its count of lost ones."""

from __future__ import annotations

import asyncio
from typing import Any

from telex.errors import BufferFull, SlowSubscriber, Timeout
from telex.log.options import Overflow
from telex.message import Lost, Message
from telex.testing.conformance.suite import Suite, check_lost, promise, refused
from telex.topics.subscription import AnySubscription

BUFFER, COUNT = 4, 10


class OverflowTests(Suite):
    """A subscriber that takes nothing, by policy: published = received + lost + waiting, to the message."""

    sent: list[Message[Any]]
    """The messages that `after_ten` published."""

    async def after_ten(self, policy: Overflow, **options: Any) -> list[Any]:
        """Publish ten messages to a subscriber with room for four that takes none. Return the items that it gets after
        that.
        """
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            inbox: AnySubscription[Any, Any]
            async with topic.subscribe(overflow=policy, buffer=BUFFER, report_lost=True, **options) as inbox:
                self.sent = [await topic.publish(n) for n in range(COUNT)]
                await self.until_published(inbox, COUNT)
                received: list[Any] = []
                while inbox.waiting or inbox.lost > sum(item.count for item in received if isinstance(item, Lost)):
                    received.append(await inbox.receive(timeout=self.patience))
                    self.accounts(inbox)
                return received

    async def until_published(self, inbox: AnySubscription[Any, Any], count: int) -> None:
        """Wait until the subscriber's log has ``count`` messages."""
        async with asyncio.timeout(self.patience):
            while inbox.statistics().published < count:  # noqa: ASYNC110  # no event is set
                await asyncio.sleep(0.001)

    def accounts(self, inbox: AnySubscription[Any, Any]) -> None:
        """Check that published = received + lost + waiting."""
        it = inbox.statistics()
        assert it.published == it.received + it.lost + it.waiting, it

    @promise()
    async def test_drop_newest_keeps_the_first(self) -> None:
        """drop_newest: the first ``buffer`` messages wait, and all later messages are lost, to the message."""
        *received, lost = await self.after_ten("drop_newest")
        assert received == self.sent[:4]
        check_lost(lost, "overflow", self.sent[4:], self.sent[3].seq)

    @promise()
    async def test_drop_oldest_keeps_the_last(self) -> None:
        """drop_oldest: the last ``buffer`` messages wait, and all earlier messages are lost."""
        lost, *received = await self.after_ten("drop_oldest")
        check_lost(lost, "overflow", self.sent[:6])
        assert lost.last < self.sent[6].seq
        assert received == self.sent[6:]

    @promise()
    async def test_latest_keeps_the_newest(self) -> None:
        """latest: the newest message waits; with a key, the newest message of each key."""
        lost, *received = await self.after_ten("latest")
        check_lost(lost, "overflow", self.sent[:9])
        assert received == self.sent[9:]
        received = await self.after_ten("latest", key=lambda message: message.content % 3)
        assert [item for item in received if not isinstance(item, Lost)] == self.sent[7:]
        assert sum(item.count for item in received if isinstance(item, Lost)) == 7

    @promise("history")
    async def test_catch_up_loses_nothing_that_is_kept(self) -> None:
        """catch_up: no message is lost that the log still has."""
        assert await self.after_ten("catch_up") == self.sent

    @promise("history", "counted_gaps", slow=True)
    async def test_catch_up_counts_removed_messages_as_lost(self) -> None:
        """catch_up: a `Lost` counts exactly the messages that retention has removed. The kept messages follow."""
        async with self.hub() as hub:
            hub.retain("orders:*", messages=100)
            topic = hub.topic("orders:1")
            async with topic.subscribe(overflow="catch_up", buffer=BUFFER, report_lost=True) as inbox:
                count = 300
                sent = [await topic.publish(n) for n in range(count)]
                check_lost(await inbox.receive(timeout=self.patience), "trimmed", sent[:200])
                for n in range(200, count):
                    message = await inbox.receive(timeout=self.patience)
                    assert not isinstance(message, Lost)
                    assert message.content == n
                self.accounts(inbox)

    @promise()
    async def test_close_ends_a_slow_subscription(self) -> None:
        """close: the subscription ends with SlowSubscriber, after its waiting messages."""
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe(overflow="close", buffer=BUFFER) as inbox:
                for n in range(COUNT):
                    await topic.publish(n)
                for n in range(BUFFER):
                    assert (await inbox.receive(timeout=self.patience)).content == n
                with refused(SlowSubscriber):
                    await inbox.receive(timeout=self.patience)
                assert inbox.ended == "slow"

    @promise()
    async def test_fail_raises_buffer_full_in_the_publisher(self) -> None:
        """fail: the publisher gets BufferFull, and nobody gets the message."""
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe(overflow="fail", buffer=2) as strict, topic.subscribe() as other:
                await topic.publish(0)
                await topic.publish(1)
                with refused(BufferFull):
                    await topic.publish("nobody gets this")
                assert (await strict.receive(timeout=self.patience)).content == 0
                await topic.publish(2)
                assert [(await other.receive(timeout=self.patience)).content for _ in range(3)] == [0, 1, 2]
                assert other.waiting == 0
                assert [(await strict.receive(timeout=self.patience)).content for _ in range(2)] == [1, 2]

    @promise()
    async def test_block_makes_the_publisher_wait(self) -> None:
        """block: publish waits until there is room. When it times out or is cancelled, nothing is published."""
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe(overflow="block", buffer=2) as inbox:
                await topic.publish(0)
                await topic.publish(1)
                with refused(Timeout):
                    await topic.publish("timed out", timeout=0.02)
                waiting = asyncio.ensure_future(topic.publish("cancelled"))
                await asyncio.sleep(0.01)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                publishing = asyncio.ensure_future(topic.publish(2))
                await asyncio.sleep(0.01)
                assert not publishing.done()
                assert (await inbox.receive(timeout=self.patience)).content == 0
                assert (await asyncio.wait_for(publishing, self.patience)).content == 2
                assert [(await inbox.receive(timeout=self.patience)).content for _ in range(2)] == [1, 2]
                self.accounts(inbox)
                assert inbox.lost == 0
            assert topic.statistics().waiting_publishers == 0

    @promise()
    async def test_block_loses_nothing_with_many_publishers(self) -> None:
        """block: with many publishers and a small buffer all messages arrive, those of each publisher in order."""
        writers, each = self.size(4, 20), self.size(10, 100)
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe(overflow="block", buffer=1) as inbox:

                async def write(number: int) -> None:
                    for n in range(each):
                        await topic.publish([number, n])

                publishing = asyncio.gather(*map(write, range(writers)))
                received = [(await inbox.receive(timeout=self.patience)).content for _ in range(writers * each)]
                await publishing
                for number in range(writers):
                    assert [n for writer, n in received if writer == number] == list(range(each))
                assert inbox.lost == 0

    @promise()
    async def test_block_closes_a_subscriber_after_its_block_timeout(self) -> None:
        """block: after ``block_timeout`` a subscriber that takes nothing is closed as slow, and publishers continue."""
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe(overflow="block", buffer=1, block_timeout=0.03) as inbox:
                await topic.publish(0)
                await topic.publish(1, timeout=self.patience)
                assert inbox.ended == "slow"

    @promise("shared", slow=True)
    async def test_block_and_fail_act_as_close_for_other_hubs(self) -> None:
        """block, fail: publishers of other hubs do not wait; for them both policies act as close."""
        policies: tuple[Overflow, ...] = ("block", "fail")
        for policy in policies:
            async with (
                self.hub() as here,
                self.hub() as there,
                there.topic(f"a:{policy}").subscribe(overflow=policy, buffer=BUFFER) as inbox,
            ):
                for n in range(COUNT):
                    await here.topic(f"a:{policy}").publish(n, timeout=self.patience)
                for n in range(BUFFER):
                    assert (await inbox.receive(timeout=self.patience)).content == n
                with refused(SlowSubscriber):
                    await inbox.receive(timeout=self.patience)

    @promise()
    async def test_a_slow_subscriber_slows_no_other(self) -> None:
        """A subscriber that takes nothing does not slow other subscribers: they receive all messages at once."""
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            policies: tuple[Overflow, ...] = ("drop_newest", "drop_oldest", "latest", "close", "catch_up")
            stuck = [topic.subscribe(overflow=policy, buffer=2) for policy in policies]
            for inbox in stuck:
                await inbox.__aenter__()
            async with topic.subscribe() as quick:
                for n in range(self.size(50, 1000)):
                    await topic.publish(n)
                    assert (await quick.receive(timeout=self.patience)).content == n
                assert quick.lost == 0
            assert [inbox.lost > 0 for inbox in stuck] == [True, True, True, True, False]
            for inbox in stuck:
                self.accounts(inbox)
                await inbox.aclose()
