"""Publishing and subscribing through a hub, on any engine: recipients, order and content."""

from __future__ import annotations

import asyncio
from typing import Any

from telex.errors import BadName, BadOption
from telex.hub import runtime_of
from telex.message import Message
from telex.testing.conformance.suite import Suite, numbers, promise, refused
from telex.topics.subscription import AnySubscription

CONTENTS: tuple[object, ...] = (
    "",
    "text",
    'grüße 你好 🎉\n\t\u0000\u2028 "quoted"',
    0,
    -(2**53),
    2**63 - 1,
    0.1,
    -1.5e300,
    True,
    None,
    [],
    {},
    {"": "", "ключ": [1, [2, {"three": None}]], "a": {"b": {"c": {}}}},
    list(range(100)),
    "x" * 300_000,
    {"large": ["ü" * 1000] * 100},
)
"""Types of content, each with a value that has to come back equal."""
BYTES: tuple[bytes, ...] = (b"", b"bytes", bytes(range(256)), bytes(200_000))


async def take(inbox: AnySubscription[Any, Any], count: int, timeout: float) -> list[Any]:
    """Return the next messages of a subscription."""
    async with asyncio.timeout(timeout):
        return [await inbox.receive() for _ in range(count)]


class DeliveryTests(Suite):
    """Publishing and subscribing, on every engine."""

    @promise()
    async def test_a_published_message_is_received(self) -> None:
        """A subscriber receives every message that is published after it joined, once and in order."""
        count = self.size(100, 5000)
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe(buffer=count) as inbox:
                sent = [await topic.publish(n) for n in range(count)]
                assert await take(inbox, count, self.patience) == sent
                assert inbox.waiting == 0
            assert len(numbers(sent)) == count
            assert len({m.id for m in sent}) == count

    @promise()
    async def test_all_subscribers_receive_all_messages(self) -> None:
        """Of many publishers, each of many subscribers gets all messages, in one order for all."""
        writers, readers, each = self.size(5, 50), self.size(5, 50), self.size(10, 100)
        async with self.hub() as hub:
            topic = hub.topic("orders:1")

            async def write(number: int) -> None:
                for n in range(each):
                    await topic.publish([number, n])

            async def read(inbox: AnySubscription[Any, Any]) -> list[Any]:
                return [m.content for m in await take(inbox, writers * each, self.patience * self.size(1, 6))]

            inboxes = [topic.subscribe(buffer=writers * each) for _ in range(readers)]
            for inbox in inboxes:
                await inbox.__aenter__()
            received, _ = await asyncio.gather(
                asyncio.gather(*map(read, inboxes)), asyncio.gather(*(write(n) for n in range(writers)))
            )
            for inbox in inboxes:
                await inbox.aclose()
        assert all(contents == received[0] for contents in received)
        assert len(received[0]) == writers * each
        for number in range(writers):
            assert [n for writer, n in received[0] if writer == number] == list(range(each))

    @promise()
    async def test_topics_do_not_mix(self) -> None:
        """A message is received from its own topic only, with many topics at the same time."""
        topics, each = self.size(5, 20), self.size(10, 100)
        async with self.hub() as hub:

            async def talk(number: int) -> None:
                topic = hub.topic(f"orders:{number}")
                async with topic.subscribe(buffer=each) as inbox:
                    for n in range(each):
                        await topic.publish([number, n])
                    received = await take(inbox, each, self.patience)
                    assert [m.content for m in received] == [[number, n] for n in range(each)]
                    assert {m.topic for m in received} == {topic.id}
                    assert inbox.waiting == 0

            await asyncio.gather(*map(talk, range(topics)))
            assert await hub.topics("orders:*") == sorted(f"orders:{n}" for n in range(topics))

    @promise("ordered")
    async def test_order_is_kept(self) -> None:
        """Ordered: the messages of one publisher to one topic arrive in the order of publishing."""
        writers, each = self.size(4, 16), self.size(25, 1000)
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe(buffer=writers * each) as inbox:

                async def write(number: int) -> None:
                    for n in range(each):
                        await topic.publish([number, n])
                        if n % 3 == number % 3:
                            await asyncio.sleep(0)

                await asyncio.gather(*map(write, range(writers)))
                received = [m.content for m in await take(inbox, writers * each, self.patience)]
            for number in range(writers):
                assert [n for writer, n in received if writer == number] == list(range(each))

    @promise()
    async def test_a_pattern_gets_the_messages_of_matching_topics(self) -> None:
        """A subscriber of a pattern gets the messages of all topics that match, also of later topics."""
        async with self.hub() as hub:
            await hub.topic("a:1").publish("before")
            async with (
                hub.topic("a:*").subscribe() as one,
                hub.topic("a:>").subscribe() as rest,
                hub.topic("*:1").subscribe() as first,
                hub.topic(">").subscribe() as everything,
            ):
                for number, id in enumerate(("a:1", "a:2", "b:1", "a:1:x", "c", "a:ü", "b:2")):
                    await hub.topic(id).publish(number)
                for inbox, expected in (
                    (one, [0, 1, 5]),
                    (rest, [0, 1, 3, 5]),
                    (first, [0, 2]),
                    (everything, [0, 1, 2, 3, 4, 5, 6]),
                ):
                    received = await take(inbox, len(expected), self.patience)
                    assert [m.content for m in received] == expected, inbox.topic
                    assert inbox.waiting == 0, f"{inbox.topic} got more than fits"
            with refused(BadName):
                await hub.topic("a:*").publish("to a pattern")

    @promise()
    async def test_content_is_received_unchanged(self) -> None:
        """Text, numbers, nested, empty and large content is received as it was published."""
        await self.round_trip(CONTENTS)

    @promise()
    async def test_bytes_are_received_unchanged(self) -> None:
        """Bytes are received as bytes."""
        await self.round_trip(BYTES)

    async def round_trip(self, contents: tuple[object, ...]) -> None:
        """Publish and receive ``contents``; with history, read them again too."""
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe() as inbox:
                for content in contents:
                    await topic.publish(content)
                received = [m.content for m in await take(inbox, len(contents), self.patience)]
            kept = (
                [m.content async for m in topic.history()]
                if runtime_of(hub).engine.guarantees.history
                else list(contents)
            )
        self.same(received, contents)
        self.same(kept, contents)

    def same(self, found: list[Any], published: tuple[object, ...]) -> None:
        """Fail unless all contents are equal and of the same class."""
        assert len(found) == len(published)
        for content, original in zip(found, published, strict=True):
            assert content == original, f"{original!r:.80} came out as {content!r:.80}"
            assert type(content) is type(original), f"{original!r:.80} came out as {type(content).__name__}"

    @promise("durable")
    async def test_content_is_unchanged_after_a_restart(self) -> None:
        """Durable: another hub on the same data reads the content as it was published."""
        everything = CONTENTS + BYTES
        async with self.hub() as hub:
            for content in everything:
                await hub.topic("orders:1").publish(content)
        async with self.hub() as hub:
            self.same([m.content async for m in hub.topic("orders:1").history()], everything)

    @promise("shared")
    async def test_another_hub_receives_every_message(self) -> None:
        """Shared: a subscriber of another hub on the same data gets every message, in order, once."""
        count = self.size(50, 5000)
        async with (
            self.hub() as here,
            self.hub() as there,
            there.topic("a:1").subscribe(buffer=count) as inbox,
            there.topic("a:*").subscribe() as pattern,
        ):
            sent = [await here.topic("a:1").publish({"n": n}, headers={"N": str(n)}) for n in range(count)]
            assert await take(inbox, count, self.patience) == sent
            assert await take(pattern, min(count, 1024), self.patience) == sent[:1024]

    @promise()
    async def test_headers_are_received_unchanged(self) -> None:
        """Headers keep their names' case and their values, whatever characters they are of, also on a later reading."""
        headers = {"Trace-Id": "00-abc", "lower": "", "X-Ünï": "grüße 你好 🎉", "v": "a: b, c=d; \"e\" 'f' %20"}
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe() as inbox:
                sent = await topic.publish("x", headers=headers)
                headers["later"] = "changes nothing"
                received = await inbox.receive(timeout=self.patience)
                await topic.publish("y")
                assert dict((await inbox.receive(timeout=self.patience)).headers) == {}
            del headers["later"]
            assert dict(sent.headers) == dict(received.headers) == headers

    @promise()
    async def test_ambiguous_headers_are_refused(self) -> None:
        """Headers with a line end, or whose names differ only in case, are refused. Nothing is published."""
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe() as inbox:
                bad: tuple[dict[str, str], ...] = (
                    {"a": "x\r\nInjected: y"},
                    {"a\r\nInjected": "y"},
                    {"a": "x\ny"},
                    {"a": "\x00"},
                    {"": "x"},
                    {"a:b": "x"},
                    {"Name": "1", "name": "2"},
                )
                for headers in bad:
                    with refused(BadOption):
                        await topic.publish("x", headers=headers)
                await topic.publish("good", headers={"a": "x"})
                assert (await inbox.receive(timeout=self.patience)).content == "good"

    @promise("once_per_id")
    async def test_an_id_is_published_once(self) -> None:
        """A known id stores nothing, and returns the stored message."""
        async with self.hub() as hub:
            topic = hub.topic("orders:1")
            async with topic.subscribe() as inbox:
                first = await topic.publish("a", id="same")
                again = await asyncio.gather(*(topic.publish(n, id="same") for n in range(self.size(5, 100))))
                assert all(message == first for message in again)
                await topic.publish("last")
                assert [m.content for m in await take(inbox, 2, self.patience)] == ["a", "last"]

    @promise()
    async def test_content_is_received_as_the_declared_type(self) -> None:
        """The content of a topic with a declared type is received as that type."""
        async with self.hub() as hub:
            topic = hub.topic("orders:1", dict[str, int])
            async with topic.subscribe() as inbox:
                sent: Message[dict[str, int]] = await topic.publish({"a": 1})
                received = await inbox.receive(timeout=self.patience)
                assert (received.content, received.type) == ({"a": 1}, sent.type)

    @promise()
    async def test_a_leaving_subscriber_takes_no_message_of_another(self) -> None:
        """Subscribers that join and leave at the same time lose no message of another subscriber."""
        rounds = self.size(5, 50)
        async with self.hub() as hub:
            topic = hub.topic("orders:1")

            async def come_and_go() -> None:
                for _ in range(rounds):
                    async with topic.subscribe() as inbox:
                        await topic.publish("x")
                        await inbox.receive(timeout=self.patience)

            async with topic.subscribe(buffer=10 * rounds) as inbox:
                await asyncio.gather(*(come_and_go() for _ in range(10)))
                received = await take(inbox, 10 * rounds, self.patience)
                assert len(numbers(received)) == 10 * rounds
            assert topic.statistics().subscribers == 0
