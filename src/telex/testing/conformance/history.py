"""History through a hub: starts, positions, recovery, retention, and recreated topics."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from telex.hub import Hub
from telex.log.start import Start
from telex.message import Lost, Message, Position
from telex.testing.conformance.suite import Suite, check_lost, promise
from telex.topics.subscription import AnySubscription

T = "orders:1"


async def filled(hub: Hub, *contents: object) -> list[Message[Any]]:
    """Publish to the topic. Return the messages."""
    return [await hub.topic(T).publish(content) for content in contents]


async def history(hub: Hub, topic: str = T, **options: Any) -> list[Any]:
    """Return the items of a history: contents, and `Lost` unchanged."""
    items = [item async for item in hub.topic(topic).history(**options)]
    return [item if isinstance(item, Lost) else item.content for item in items]


class HistoryTests(Suite):
    """Cursors that start earlier."""

    async def from_start(self, hub: Hub, start: Start, count: int, topic: str = T) -> list[Any]:
        """Return the first items that a subscriber with this start receives: contents, and `Lost` unchanged."""
        async with hub.topic(topic).subscribe(start=start, overflow="catch_up") as inbox:
            items = [await inbox.receive(timeout=self.patience) for _ in range(count)]
        return [item if isinstance(item, Lost) else item.content for item in items]

    @promise("history")
    async def test_late_subscribers_get_the_kept_messages(self) -> None:
        """A subscriber that starts at the earliest message gets all kept messages, and then new ones."""
        count = self.size(20, 900)
        async with self.hub() as hub:
            await filled(hub, *range(count))
            inboxes = [hub.topic(T).subscribe(start="earliest", overflow="catch_up") for _ in range(3)]
            for inbox in inboxes:
                await inbox.__aenter__()
            await filled(hub, "new")
            for inbox in inboxes:
                received = [(await inbox.receive(timeout=self.patience)).content for _ in range(count + 1)]
                assert received == [*range(count), "new"]
                await inbox.aclose()

    @promise("history")
    async def test_each_start_begins_at_its_place(self) -> None:
        """new, earliest, a position, a number back, a time, a time back: each begins at its place, and continues."""
        async with self.hub() as hub:
            topic = hub.topic(T)
            await filled(hub, 0, 1)
            position = await topic.position()
            await asyncio.sleep(0.01)
            middle = await topic.publish(2)
            await filled(hub, 3)
            for start, expected in (
                ("earliest", [0, 1, 2, 3]),
                (position, [2, 3]),
                (1, [3]),
                (3, [1, 2, 3]),
                (middle.timestamp, [2, 3]),
                (timedelta(hours=1), [0, 1, 2, 3]),
            ):
                assert await self.from_start(hub, start, len(expected)) == expected, f"start={start!r}"  # type: ignore[arg-type]
                assert await history(hub, start=start) == expected, f"start={start!r}"
            async with topic.subscribe(start="new") as inbox:
                await filled(hub, 4)
                assert (await inbox.receive(timeout=self.patience)).content == 4
            assert await history(hub, limit=2) == [0, 1]
            assert await history(hub, start=position, limit=1) == [2]

    @promise("history")
    async def test_the_timestamp_of_a_message_finds_the_message(self) -> None:
        """An aware datetime begins with the first message of that time or later, so a message's timestamp begins with
        it."""
        async with self.hub() as hub:
            for _ in range(self.size(20, 500)):
                sent = await hub.topic(T).publish("x")
                found = [item async for item in hub.topic(T).history(start=sent.timestamp, limit=1)]
                assert found
                assert found[0].timestamp == sent.timestamp

    @promise("history")
    async def test_a_pattern_has_a_history(self) -> None:
        """A subscriber of a pattern that starts earlier gets the kept messages of its topics, in the order of
        publishing."""
        async with self.hub() as hub:
            for id in ("a:1", "a:2"):
                hub.topic(id)
            for n in range(8):
                await hub.topic(f"a:{n % 2 + 1}").publish(n)
            await hub.topic("b:1").publish("elsewhere")
            assert await self.from_start(hub, "earliest", 8, "a:*") == list(range(8))
            assert await self.from_start(hub, 3, 3, "a:*") == [5, 6, 7]

    @promise("history")
    async def test_lost_messages_can_be_read_from_the_history(self) -> None:
        """A `Lost` has the numbers of the lost messages, and the log returns these messages again."""
        async with self.hub() as hub:
            topic = hub.topic(T)
            inbox: AnySubscription[Any, Any]
            async with topic.subscribe(buffer=3, overflow="drop_newest", report_lost=True) as inbox:
                sent = await filled(hub, *range(10))
                seen = [await inbox.receive(timeout=self.patience) for _ in range(3)]
                before = inbox.position
                check_lost(await inbox.receive(timeout=self.patience), "overflow", sent[3:], sent[2].seq)
            assert [getattr(item, "content", item) for item in seen] == [0, 1, 2]
            assert await history(hub, start=before, limit=7) == list(range(3, 10))

    @promise("history", "counted_gaps")
    async def test_a_trimmed_start_is_reported_as_lost(self) -> None:
        """A start that was trimmed gives a `Lost` with exactly the missing messages, with or without `report_lost`."""
        async with self.hub() as hub:
            hub.retain("orders:*", messages=3)
            topic = hub.topic(T)
            start = await topic.position()
            sent = await filled(hub, *range(10))
            for lost, *kept in (await self.from_start(hub, start, 4), await history(hub, start=start)):
                check_lost(lost, "trimmed", sent[:7], start.seq)
                assert kept == [7, 8, 9]
            ahead = Position(sent[-1].seq + 50, start.epoch)
            (lost,) = await self.from_start(hub, ahead, 1)
            assert (lost.count, lost.reason) == (0, "ahead")

    @promise("history")
    async def test_history_returns_exactly_the_retained_messages(self) -> None:
        """History and late subscribers return exactly the messages that retention keeps."""
        async with self.hub() as hub:
            hub.retain("orders:*", messages=5)
            sent: list[Message[Any]] = []
            for n in range(20):
                sent += await filled(hub, n)
                assert await history(hub) == list(range(max(0, n - 4), n + 1))
            statistics = hub.topic(T).statistics()
            assert (statistics.published, statistics.kept, statistics.first) == (20, 5, sent[15].seq)
            assert await self.from_start(hub, "earliest", 5) == [15, 16, 17, 18, 19]

    @promise("history")
    async def test_retention_can_be_set_on_an_open_hub(self) -> None:
        """A retention rule that is set on an open hub holds at once, also for stored messages."""
        async with self.hub() as hub:
            await filled(hub, *range(10))
            hub.retain(T, messages=4)
            await filled(hub, 10)
            assert await history(hub) == [7, 8, 9, 10]

    @promise()
    async def test_a_removed_topic_begins_another_epoch(self) -> None:
        """A removed topic continues in another epoch. Its subscriptions get their waiting messages, a `Lost`, and the
        messages of the new epoch.
        """
        async with self.hub() as hub:
            topic = hub.topic(T)
            async with topic.subscribe(report_lost=True) as inbox, topic.subscribe() as many:
                await filled(hub, "a", "b")
                old = await topic.position()
                assert await hub.remove(T) is True
                assert await hub.remove(T) is False
                assert await hub.topics() == []
                new = await topic.publish("c")
                assert [await many.receive_many(timeout=self.patience) for _ in range(2)][1][0].content == "c"
                items = [await inbox.receive(timeout=self.patience) for _ in range(4)]
                assert isinstance(items[2], Lost)
                assert (items[2].count, items[2].reason) == (0, "epoch")
                assert [item.content for item in items if isinstance(item, Message)] == ["a", "b", "c"]
                statistics = inbox.statistics()
                assert (statistics.published, statistics.received, statistics.lost) == (3, 3, 0)
                assert inbox.ended is None
            position = await topic.position()
            assert position.seq == new.seq
            assert position.epoch != old.epoch
            lost, content = await self.from_start(hub, old, 2)
            assert (lost.count, lost.reason, content) == (0, "epoch", "c")

    @promise("durable", "history")
    async def test_positions_are_valid_after_a_restart(self) -> None:
        """Durable: a position of one hub is valid in another hub, which continues with the next message."""
        async with self.hub() as hub, hub.topic(T).subscribe() as inbox:
            await filled(hub, *range(5))
            for _ in range(3):
                await inbox.receive(timeout=self.patience)
            position = Position.parse(str(inbox.position))
        async with self.hub() as hub:
            await filled(hub, 5)
            assert await self.from_start(hub, position, 3) == [3, 4, 5]
            assert await history(hub) == [0, 1, 2, 3, 4, 5]
            assert await hub.topics() == [T]

    @promise("durable", "history", slow=True)
    async def test_a_reader_resumes_over_many_hubs(self) -> None:
        """A reader that resumes again and again, in a new hub each time, gets every message once, in order."""
        count, batch = self.size(60, 5000), self.size(7, 100)
        async with self.hub() as hub:
            hub.retain(">", messages=count)
            await filled(hub, *range(count))
            position = Position(0, (await hub.topic(T).position()).epoch)
        received: list[Any] = []
        while len(received) < count:
            async with self.hub() as hub, hub.topic(T).subscribe(start=position, overflow="catch_up") as inbox:
                more = min(batch, count - len(received))
                received += [await inbox.receive(timeout=self.patience) for _ in range(more)]
                position = inbox.position
        assert [item.content for item in received] == list(range(count))

    @promise("shared", "history", slow=True)
    async def test_a_reader_gets_every_message_while_publishers_reopen(self) -> None:
        """While publishers' hubs are closed and opened again, a reader elsewhere gets every message, in order."""
        rounds, each = self.size(4, 20), self.size(10, 100)
        async with self.hub() as reading, reading.topic(T).subscribe(buffer=rounds * each) as inbox:
            for number in range(rounds):
                async with self.hub() as hub:
                    await filled(hub, *range(number * each, number * each + each))
            received = [(await inbox.receive(timeout=self.patience)).content for _ in range(rounds * each)]
            assert received == list(range(rounds * each))

    @promise("shared")
    async def test_subscriptions_of_all_hubs_continue_after_a_removal(self) -> None:
        """Shared: when one hub removes a topic, its subscriptions in other hubs go on in the new epoch."""
        async with self.hub() as here, self.hub() as there:
            async with there.topic(T).subscribe(report_lost=True) as inbox:
                await filled(here, "a")
                assert (await inbox.receive(timeout=self.patience)).content == "a"  # type: ignore[union-attr]
                assert await here.remove(T)
                lost = await inbox.receive(timeout=self.patience)
                assert isinstance(lost, Lost)
                assert (lost.count, lost.reason) == (0, "epoch")
                await filled(there, "b")
                assert (await inbox.receive(timeout=self.patience)).content == "b"  # type: ignore[union-attr]
                assert inbox.position.epoch == (await here.topic(T).position()).epoch
            for hub in (here, there):
                assert await self.from_start(hub, "earliest", 1) == ["b"]
