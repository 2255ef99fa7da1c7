"""The store of an engine: appending, reading, finding, removing, retaining."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

from telex.log.log import NEVER, Retention
from telex.log.start import Start
from telex.message import Draft, Lost, Message, Position
from telex.testing.conformance.rig import Rig, message
from telex.testing.conformance.suite import Suite, check_lost, numbers, promise, read_all, read_range

TOPIC = "orders:1"
OTHER = "orders:2"


async def kept(rig: Rig, topic: str = TOPIC) -> list[Any]:
    """Return the stored contents of a topic."""
    return [message.content for message in await read_range(rig, topic)]


class StoreTests(Suite):
    """`telex.engines.Store`, sentence by sentence."""

    @promise("store")
    async def test_numbers_rise_in_each_topic(self) -> None:
        """`append` numbers the messages; the numbers of a topic rise."""
        async with self.rig() as rig:
            batch = [message(TOPIC, "a"), message(OTHER, "b"), message(TOPIC, "c")]
            returned = await rig.store.append(batch)
            assert [(m.topic, m.content) for m in returned] == [(TOPIC, "a"), (OTHER, "b"), (TOPIC, "c")]
            last = await rig.send(TOPIC, "d")
            numbers([returned[0], returned[2], *last])
            assert len({m.id for m in returned}) == 3, "ids that no publisher gave are made, and differ"

    @promise("store")
    async def test_a_batch_is_stored_whole_and_in_order(self) -> None:
        """`append` stores all messages or none, in the given order."""
        count = self.size(50, 5000)
        async with self.rig() as rig:
            await rig.retain(">", count)
            for start in range(0, count, 10):
                await rig.send(TOPIC, *range(start, start + 10))
            read = await read_all(rig, TOPIC)
            assert [m.content for m in read] == list(range(count))
            assert numbers(read) == numbers(rig.taken[TOPIC])

    @promise("store")
    async def test_a_message_is_delivered_before_append_returns(self) -> None:
        """`append` returns after the engine has delivered the messages: each once, in order, with its number."""
        async with self.rig() as rig:
            returned = await rig.send(TOPIC, "a", "b", "c")
            assert rig.contents(TOPIC) == ["a", "b", "c"]
            assert numbers(rig.taken[TOPIC]) == numbers(returned)
            await rig.send(OTHER, "d")
            assert (rig.contents(TOPIC), rig.contents(OTHER)) == (["a", "b", "c"], ["d"])

    @promise("store")
    async def test_content_that_cannot_be_stored_refuses_its_batch(self) -> None:
        """`append` stores no message of a batch in which one message has no form outside of the process."""
        async with self.rig() as rig:
            await rig.send(TOPIC, "before")
            try:
                await rig.send(TOPIC, "a", object(), "b")
            except Exception:  # noqa: BLE001  # the contract names no class of error
                assert await kept(rig) == rig.contents(TOPIC) == ["before"]
            else:
                raise AssertionError("an object without a form outside of the process was taken")
            await rig.send(TOPIC, "after")
            assert await kept(rig) == rig.contents(TOPIC) == ["before", "after"]

    @promise("store")
    async def test_a_cancelled_append_stores_all_messages_or_none(self) -> None:
        """A cancelled `append` has stored all messages or none, and the store continues to work."""
        async with self.rig() as rig:
            sent = 0
            for turns in range(self.size(8, 200)):
                delivered = len(rig.contents(TOPIC))
                appending = asyncio.ensure_future(rig.send(TOPIC, f"{turns}a", f"{turns}b"))
                for _ in range(turns % 8):
                    await asyncio.sleep(0)
                while turns % 2 and not appending.done() and len(rig.contents(TOPIC)) == delivered:  # noqa: ASYNC110
                    await asyncio.sleep(0)  # until some of the messages are stored
                appending.cancel()
                await asyncio.gather(appending, return_exceptions=True)
                sent += 2
            await rig.send(TOPIC, "last")
            read = await read_range(rig, TOPIC)
            assert numbers(read) == numbers(rig.taken[TOPIC])
            pairs = [m.content for m in read][:-1]
            assert all(b == a[:-1] + "b" for a, b in zip(pairs[::2], pairs[1::2], strict=True)), pairs
            assert rig.contents(TOPIC) == [m.content for m in read], "the stored messages are delivered, and no others"

    @promise("store")
    async def test_concurrent_appends_lose_nothing(self) -> None:
        """Concurrent calls of `append` store all messages, each call in its own order."""
        writers, each = self.size(10, 50), self.size(5, 100)

        async def write(number: int) -> None:
            for count in range(each):
                await rig.send(TOPIC, [number, count])

        async with self.rig() as rig:
            await asyncio.gather(*(write(number) for number in range(writers)))
            delivered = rig.contents(TOPIC)
            assert len(delivered) == writers * each
            for number in range(writers):
                assert [count for writer, count in delivered if writer == number] == list(range(each))

    @promise("store")
    async def test_every_field_of_a_message_is_stored(self) -> None:
        """A message is read as it was published: content, id, time, type, headers and key."""
        async with self.rig() as rig:
            sent = message(
                TOPIC, {"text": "grüße"}, id="id-1", key="k", headers={"Trace": "ü"}, published=1_700_000_000.25
            )
            typed = Draft("x", TOPIC, None, time(), None, "OrderPlaced")
            kept = await rig.store.append([sent, typed])
            first, second = await read_range(rig, TOPIC)
            assert first == kept[0] == sent.numbered(first.seq, 0)
            assert (first.key, first.type, dict(first.headers)) == ("k", "dict", {"Trace": "ü"})
            assert (second.type, second.key, second.id) == ("OrderPlaced", None, kept[1].id)

    @promise("store", "history")
    async def test_read_returns_exactly_the_range(self) -> None:
        """`read` returns the messages from ``first`` up to but not including ``end``; none for an unknown topic."""
        async with self.rig() as rig:
            sent = numbers(await rig.send(TOPIC, *"abcdef"))
            assert numbers(await read_range(rig, TOPIC, sent[1], sent[4])) == sent[1:4]
            assert numbers(await read_range(rig, TOPIC, sent[3] + 1)) == sent[4:]
            assert await read_range(rig, TOPIC, sent[5] + 1) == await read_range(rig, TOPIC, sent[2], sent[2]) == []
            assert await read_range(rig, "no:such") == []

    @promise("store", "history", slow=True)
    async def test_read_returns_at_most_1024_messages(self) -> None:
        """`read` returns at most 1024 messages; the next call returns the rest."""
        async with self.rig() as rig:
            await rig.retain(">", 3000)
            sent = [number for _ in range(3) for number in numbers(await rig.send(TOPIC, *range(500)))]
            first = numbers(await read_range(rig, TOPIC))
            assert 0 < len(first) <= 1024
            assert first == sent[: len(first)]
            assert numbers(await read_range(rig, TOPIC, sent[1400])) == sent[1400:]

    @promise("store", "history")
    async def test_find_counts_the_messages_that_read_gives(self) -> None:
        """`find` returns how many kept messages there are up to a number, and `extent` how many were published and are
        kept.
        """
        async with self.rig() as rig:
            await rig.retain(">", 5)
            sent = numbers(await rig.send(TOPIC, *range(8)))[3:]
            await rig.send(OTHER, "a")
            store = rig.store
            for start, end, count in (
                ("earliest", sent[4] + 1, 5),
                ("earliest", sent[3], 3),
                (4, sent[3], 2),
                (3, sent[2], 0),
                ("new", sent[4] + 1, 0),
            ):
                assert (await store.find(TOPIC, start, time(), end)).messages == count, f"from {start} to {end}"  # type: ignore[arg-type]
            assert store.extent(TOPIC) == (sent[0], sent[4] + 1, 8, 5)

    @promise("store", "history")
    async def test_read_gives_at_most_its_limit(self) -> None:
        """`read` returns the first messages of its range, at most ``limit``, also when the range begins before the
        kept messages."""
        async with self.rig() as rig:
            await rig.retain(">", 5)
            sent = numbers(await rig.send(TOPIC, *range(20)))[15:]
            read = rig.store.read
            for limit in (1, 2, 4, 5, 6, 2000):
                assert [m.seq for m in await read(TOPIC, 1, NEVER, limit) if isinstance(m, Message)] == sent[:limit]
            assert [m.seq for m in await read(TOPIC, sent[1], sent[3], 9) if isinstance(m, Message)] == sent[1:3]

    @promise("store", "history")
    async def test_read_pattern_returns_messages_in_the_order_of_storing(self) -> None:
        """`read_pattern` returns the last messages of several topics, in the order in which they were stored."""
        async with self.rig() as rig:
            moment = time()
            for number in range(6):
                # Times that run backwards: the order is that of storing, whatever the clocks of publishers say.
                await rig.store.append([message((TOPIC, OTHER)[number % 2], number, published=moment - number)])
            await rig.send("elsewhere:1", 99)
            read = rig.store.read_pattern
            assert [m.content for m in await read([TOPIC, OTHER], 4)] == [2, 3, 4, 5]
            assert [m.content for m in await read([TOPIC, OTHER], 100)] == [0, 1, 2, 3, 4, 5]
            assert [m.content for m in await read([OTHER], 2)] == [3, 5]
            assert list(await read([], 5)) == list(await read([TOPIC], 0)) == []

    @promise("store", "history")
    async def test_find_resolves_every_start(self) -> None:
        """`find` resolves new, earliest, a position, a time, a time back and a number back, as `telex.log.start.find`
        does."""
        async with self.rig() as rig:
            now = time()
            sent = await rig.store.append([message(TOPIC, n, published=now - 60 + 10 * n) for n in range(1, 6)])
            epoch = rig.log(TOPIC).epoch
            starts: list[tuple[Start, list[int]]] = [
                ("new", []),
                ("earliest", [1, 2, 3, 4, 5]),
                (Position(sent[1].seq, epoch), [3, 4, 5]),
                (Position(0, epoch), [1, 2, 3, 4, 5]),
                (2, [4, 5]),
                (datetime.fromtimestamp(now - 35, UTC), [3, 4, 5]),
                (timedelta(seconds=25), [4, 5]),
            ]
            for start, expected in starts:
                assert await self.found(rig, start, now) == (expected, None), f"start={start}"
            assert (await self.found(rig, 100, now))[0] == [1, 2, 3, 4, 5]
            assert (await self.found(rig, datetime.fromtimestamp(now, UTC), now))[0] == []
            await rig.send(TOPIC, 6)
            assert (await self.found(rig, Position(sent[4].seq, epoch), now))[0] == [6]

    @staticmethod
    async def found(rig: Rig, start: Start, now: float) -> tuple[list[Any], Lost | None]:
        """Return the contents from the number on that `find` returns, and the `Lost` before them."""
        first, lost, _ = await rig.store.find(TOPIC, start, now)
        return [message.content for message in await read_range(rig, TOPIC, first)], lost

    @promise("store", "history")
    async def test_find_returns_lost_for_an_unavailable_start(self) -> None:
        """`find` returns a `Lost` for a start that was trimmed, is of another epoch, or is ahead of the log."""
        async with self.rig() as rig:
            await rig.retain(TOPIC, 3)
            sent = await rig.send(TOPIC, *range(10))
            epoch, now, start = rig.log(TOPIC).epoch, time(), Position(sent[1].seq, rig.log(TOPIC).epoch)
            for asked, expected, reason in (
                (start, [7, 8, 9], "trimmed"),
                (Position(start.seq, "another"), [7, 8, 9], "epoch"),
                (Position(sent[-1].seq + 50, epoch), [], "ahead"),
            ):
                contents, lost = await self.found(rig, asked, now)
                assert (contents, lost and lost.reason) == (expected, reason), f"start={asked}"
            _, lost = await self.found(rig, start, now)
            check_lost(lost, "trimmed", sent[2:7], start.seq)
            assert lost is not None
            assert lost.last < sent[7].seq

    @promise("store")
    async def test_a_new_log_has_the_end_and_the_epoch_of_its_topic(self) -> None:
        """A new local log has its topic's end and epoch. Before opening, a log can be made, and both are unknown."""
        engine = self.engine()
        engine.log(TOPIC, Retention())
        async with Rig(engine) as rig:
            first, last = numbers(await rig.send(TOPIC, "a", "b"))
            late = rig.log(TOPIC)
            assert (late.end, late.base, list(late.messages)) == (last + 1, last + 1, [])
            again = engine.log(TOPIC, Retention())
            assert (again.end, again.base, again.epoch, again.uid) == (late.end, late.end, late.epoch, late.uid)
            other = rig.log(OTHER)
            assert other.base == other.end
            assert other.epoch != late.epoch, "every topic has an epoch of its own"
            assert rig.store.extent(TOPIC)[:2] == (first, last + 1)

    @promise("store")
    async def test_topics_are_listed(self) -> None:
        """`topics` returns the ids of all topics, with any characters."""
        names = ["a", "orders:1", "ünï:cödé", "per%cent:un_der", "A:B", "x" * 255]
        async with self.rig() as rig:
            for name in names:
                await rig.send(name, name)
            assert sorted(await rig.store.topics()) == sorted(names)
            for name in names:
                assert await kept(rig, name) == [name]

    @promise("store")
    async def test_a_recreated_topic_has_another_epoch(self) -> None:
        """`remove` deletes a topic with its messages, and returns whether it existed. A recreated topic has another
        epoch."""
        async with self.rig() as rig:
            store = rig.store
            (sent, _) = await rig.send(TOPIC, "a", "b")
            await rig.send(OTHER, "c")
            old = Position(sent.seq, rig.log(TOPIC).epoch)
            assert await rig.remove(TOPIC) is True
            assert TOPIC not in await store.topics()
            assert await kept(rig) == []
            assert await rig.remove(TOPIC) is False
            await rig.send(TOPIC, "d", "e", "f")
            assert await kept(rig) == ["d", "e", "f"]
            assert await kept(rig, OTHER) == ["c"]
            new = rig.engine.log(TOPIC, Retention())
            assert new.epoch != old.epoch, "a position of the old topic would be taken for one of the new"
            contents, lost = await self.found(rig, old, time())
            assert (contents, lost and lost.reason) == (["d", "e", "f"], "epoch")

    @promise("store", "history")
    async def test_retention_by_count_is_exact(self) -> None:
        """`retain` with ``messages``: every way of reading returns exactly the last messages."""
        async with self.rig() as rig:
            await rig.retain("orders:*", 3)
            sent = numbers(await rig.send(TOPIC, *range(10)))
            await rig.send("other:1", *range(10))
            store = rig.store
            assert await kept(rig) == [7, 8, 9]
            assert await kept(rig, "other:1") == list(range(10))
            assert await self.found(rig, "earliest", time()) == ([7, 8, 9], None)
            assert store.extent(TOPIC)[:2] == (sent[7], sent[9] + 1)
            assert [m.content for m in await store.read_pattern([TOPIC], 100)] == [7, 8, 9]

    @promise("store", "history")
    async def test_retention_by_age_is_exact(self) -> None:
        """`retain` with ``age``: older messages are not returned."""
        async with self.rig() as rig:
            await rig.store.retain([(TOPIC, Retention(None, 60.0))])
            now = time()
            await rig.store.append([message(TOPIC, ago, published=now - ago) for ago in (300, 90, 45, 5)])
            assert await self.found(rig, "earliest", now) == ([45, 5], None)
            assert await kept(rig) == [45, 5]
            assert (await self.found(rig, "earliest", now + 30))[0] == [5]

    @promise("store", "history")
    async def test_retention_by_bytes_is_exact(self) -> None:
        """`retain` with ``bytes``: the last messages whose contents fit together are returned."""
        async with self.rig() as rig:
            await rig.store.retain([(TOPIC, Retention(None, None, 25))])
            await rig.send(TOPIC, *(str(n) * 10 for n in range(5)))
            assert await kept(rig) == ["3" * 10, "4" * 10]

    @promise("store", "history")
    async def test_the_last_matching_retention_rule_applies(self) -> None:
        """Of two `retain` rules that match a topic the last one holds. A new rule for a pattern replaces the
        old one."""
        async with self.rig() as rig:
            await rig.retain(">", 2)
            await rig.retain(TOPIC, 4)
            await rig.send(TOPIC, *range(10))
            await rig.send(OTHER, *range(10))
            assert (await kept(rig), await kept(rig, OTHER)) == ([6, 7, 8, 9], [8, 9])
            await rig.retain(">", 3)
            await rig.send(TOPIC, 10)
            await rig.send(OTHER, 10)
            assert (await kept(rig), await kept(rig, OTHER)) == ([8, 9, 10], [8, 9, 10])

    @promise("store", "once_per_id")
    async def test_an_id_is_stored_once(self) -> None:
        """A known id, in another batch or the same, returns the stored message, and no message is delivered."""
        async with self.rig() as rig:
            first = (await rig.send(TOPIC, "a", id="same"))[0]
            again = (await rig.send(TOPIC, "other content", id="same"))[0]
            assert (again.seq, again.content, again.id) == (first.seq, "a", "same")
            both = await rig.store.append([message(TOPIC, n, id="twice") for n in range(2)])
            assert [m.content for m in both] == [0, 0]
            assert both[0].seq == both[1].seq > first.seq
            assert await kept(rig) == rig.contents(TOPIC) == ["a", 0]
            await rig.send(OTHER, "b", id="same")
            assert await kept(rig, OTHER) == ["b"], "an id is one topic's affair"

    @promise("store", "once_per_id")
    async def test_an_id_is_stored_once_when_published_concurrently(self) -> None:
        """An id that many publish at the same time is stored once, and all get that message."""
        async with self.rig() as rig:
            batches = await asyncio.gather(*(rig.send(TOPIC, n, id="same") for n in range(self.size(10, 200))))
            assert len({batch[0].seq for batch in batches}) == 1
            assert len({batch[0].content for batch in batches}) == 1
            assert len(await kept(rig)) == len(rig.contents(TOPIC)) == 1

    @promise("store", "once_per_id")
    async def test_an_id_is_known_after_its_message_was_trimmed(self) -> None:
        """An id is stored once within two minutes, also when retention has removed its message."""
        async with self.rig() as rig:
            await rig.retain(TOPIC, 1)
            (first,) = await rig.send(TOPIC, "a", id="same")
            await rig.send(TOPIC, "b", "c")
            assert (await rig.send(TOPIC, "d", id="same"))[0].seq == first.seq
            assert await kept(rig) == ["c"]
