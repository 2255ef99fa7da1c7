"""Consumer groups through a hub: handlers that share a topic, fail, and are tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from telex.handlers.context import Retry
from telex.hub import Hub
from telex.message import Message
from telex.testing.conformance.suite import Suite, promise

T = "orders:1"
SOON = Retry(attempts=1000, first=0.001, most=0.001, jitter=0)


class WorkTests(Suite):
    """Each message goes to one of the members, at least once, until it is acknowledged."""

    async def until(self, done: Callable[[], object], what: str) -> None:
        """Wait until ``done`` returns true."""
        try:
            async with asyncio.timeout(self.patience * self.size(1, 6)):
                while not done():  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.002)
        except TimeoutError:
            raise AssertionError(f"within {self.patience:g} s: not {what}") from None

    @promise("groups")
    async def test_each_group_handles_every_message(self) -> None:
        """Each of two groups handles every message. In each group one member handles it."""
        count = self.size(20, 500)
        async with self.hub() as hub:
            handled: dict[str, list[Any]] = {"one": [], "two": []}

            def member(group: str) -> None:
                @hub.on("orders:*", group=group)
                def handle(content: int) -> None:
                    handled[group].append(content)

            for group in ("one", "one", "two"):
                member(group)
            for n in range(count):
                await hub.topic(f"orders:{n % 3}").publish(n)
            await self.until(lambda: all(len(each) >= count for each in handled.values()), "all is handled")
        assert sorted(handled["one"]) == sorted(handled["two"]) == list(range(count))

    @promise("groups")
    async def test_a_failed_message_is_retried(self) -> None:
        """A handler that raises gets the message again. In the end each message is handled, and not again after its
        ack."""
        count = self.size(10, 100)
        async with self.hub() as hub:
            tries: dict[int, int] = {}
            done: list[int] = []

            @hub.on(T, group="billing", retry=SOON)
            async def handle(content: int) -> None:
                tries[content] = tries.get(content, 0) + 1
                if tries[content] <= content % 3:
                    raise LookupError(content)
                done.append(content)

            for n in range(count):
                await hub.topic(T).publish(n)
            await self.until(lambda: len(done) >= count, "all is handled")
        assert sorted(done) == list(range(count))
        assert tries == {n: n % 3 + 1 for n in range(count)}

    @promise("groups")
    async def test_a_message_is_a_dead_letter_after_its_last_attempt(self) -> None:
        """After its last attempt a message is published to the dead-letter topic, and the other messages go on."""
        async with self.hub() as hub:
            dead: list[Message[Any]] = []
            done: list[Any] = []

            @hub.on("dead:mine")
            def bury(message: Message[Any]) -> None:
                dead.append(message)

            @hub.on(T, group="billing", retry=Retry(attempts=3, first=0.001, most=0.001), dead_letter="dead:mine")
            async def handle(content: Any) -> None:
                done.append(content)
                if content == "bad":
                    raise LookupError("no such customer")

            for content in ("a", "bad", "b"):
                await hub.topic(T).publish(content)
            await self.until(lambda: dead and "b" in done, "a dead letter")
            assert sorted(done) == ["a", "b", "bad", "bad", "bad"]
            assert [letter.content for letter in dead] == ["bad"]

    @promise("groups", "key_order")
    async def test_the_next_message_of_a_key_waits(self) -> None:
        """While a message is handled, the next message of its key waits, and messages of other keys do not."""
        async with self.hub() as hub:
            begun: list[Any] = []
            go_on = asyncio.Event()

            @hub.on(T, group="billing", concurrency=4)
            async def handle(content: str) -> None:
                begun.append(content)
                if content == "a1":
                    await go_on.wait()

            for content in ("a1", "a2", "b1", "b2"):
                await hub.topic(T).publish(content, key=content[0])
            await self.until(lambda: len(begun) >= 3, "what may begin has begun")
            await asyncio.sleep(0.02)
            first = sorted(begun)
            go_on.set()
            assert first == ["a1", "b1", "b2"]
            await self.until(lambda: len(begun) == 4, "the next of the key")
            assert begun[-1] == "a2"

    @promise("groups", "durable", slow=True)
    async def test_a_group_continues_over_many_hubs(self) -> None:
        """Members join and leave, with a new hub each time: every message is handled, and none after its ack."""
        count, batch = self.size(30, 2000), self.size(7, 100)
        done: list[int] = []
        async with self.hub() as hub:
            hub.retain(">", messages=count)
            for n in range(count):
                await hub.topic(T).publish(n)
        while len(done) < count:
            target = min(count, len(done) + batch)
            async with self.hub() as hub:
                self.worker(hub, done)
                await self.until(lambda target=target: len(done) >= target, "the next are handled")  # type: ignore[misc]
        assert sorted(done) == list(range(count))

    @promise("groups", "shared", slow=True)
    async def test_members_of_several_hubs_share_the_messages(self) -> None:
        """Members in several hubs, one of which is closed meanwhile, handle every message."""
        count = self.size(60, 1500)
        done: list[int] = []
        async with self.hub() as publishing, self.hub() as staying:
            self.worker(staying, done)
            leaving = await self.hub().__aenter__()
            self.worker(leaving, done)
            for n in range(count):
                await publishing.topic(T).publish(n)
                if n == count // 2:
                    await leaving.aclose()
            await self.until(lambda: len(set(done)) >= count, "all is handled")
        assert sorted(done) == list(range(count)), "hubs that are closed in order handle nothing twice"

    def worker(self, hub: Hub, done: list[int]) -> None:
        """Run a member of the group that records the handled messages."""

        @hub.on(T, group="billing", retry=SOON)
        async def handle(content: int) -> None:
            await asyncio.sleep(0)
            done.append(content)
