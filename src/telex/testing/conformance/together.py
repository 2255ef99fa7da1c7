"""Delayed messages and transactions, through a hub on any engine."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any

from telex.testing.conformance.later import DELAY, Left
from telex.testing.conformance.suite import Suite, numbers, promise

T = "orders:1"


class TogetherTests(Suite):
    """``publish(delay=, at=)`` and ``hub.transaction()``."""

    @promise("delayed", slow=True)
    async def test_a_hub_publishes_delayed_messages(self) -> None:
        """A message with a delay or a time is received at that time and not before; at once if the time is past."""
        async with self.hub() as hub, hub.topic(T).subscribe() as inbox:
            topic = hub.topic(T)
            await topic.publish("first", at=datetime.now(UTC) - timedelta(seconds=5))
            assert (await inbox.receive(timeout=self.patience)).content == "first"
            begun = time()
            await topic.publish("second", delay=DELAY)
            second = await inbox.receive(timeout=self.patience)
            assert second.content == "second"
            assert time() - begun >= DELAY - 0.005, "it was published too early"

    @promise("delayed", slow=True)
    async def test_closing_a_hub_does_not_wait_for_delayed_messages(self) -> None:
        """Closing a hub with delayed messages does not wait for them."""
        begun = time()
        async with self.hub() as hub:
            await hub.topic(T).publish("x", delay=3600)
        assert time() - begun < self.patience

    @promise("transactions")
    async def test_a_hub_publishes_a_transaction_at_its_commit(self) -> None:
        """Messages of a transaction are received when it commits, in order, over several topics, and not before."""
        async with self.hub() as hub, hub.topic("orders:*").subscribe() as inbox:
            await hub.topic(T).publish("before")
            async with hub.transaction() as transaction:
                for n in range(3):
                    await transaction.publish(T, n)
                    await transaction.publish("orders:2", -n, headers={"a": "b"}, key="k")
                await asyncio.sleep(0.005)
                assert inbox.waiting == 1
            received = [await inbox.receive(timeout=self.patience) for _ in range(7)]
            assert [m.content for m in received] == ["before", 0, 0, 1, -1, 2, -2]
            assert len(numbers(m for m in received if m.topic == T)) == 4
            assert (dict(received[2].headers), received[2].key) == ({"a": "b"}, "k")

    @promise("transactions")
    async def test_a_failed_transaction_publishes_nothing(self) -> None:
        """A transaction that ends with an error, or is cancelled, publishes nothing."""
        async with self.hub() as hub, hub.topic(T).subscribe() as inbox:
            try:
                async with hub.transaction() as transaction:
                    await transaction.publish(T, "gone")
                    raise Left
            except Left:
                pass
            entered = asyncio.Event()

            async def never_left() -> None:
                async with hub.transaction() as transaction:
                    await transaction.publish(T, "gone")
                    entered.set()
                    await asyncio.Event().wait()

            task = asyncio.ensure_future(never_left())
            await asyncio.wait_for(entered.wait(), self.patience)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await hub.topic(T).publish("after")
            received = await inbox.receive(timeout=self.patience)
            assert received.content == "after"

    @promise("transactions", "sql")
    async def test_rows_of_the_program_commit_with_messages(self) -> None:
        """Rows that a transaction writes into a table of the program are there exactly when its messages are."""
        async with self.hub() as hub, hub.topic(T).subscribe() as inbox:
            async with hub.transaction() as transaction:
                await transaction.execute("CREATE TABLE conformance (n INTEGER)")
                await transaction.execute("INSERT INTO conformance VALUES (1)")
                await transaction.publish(T, "kept")
            try:
                async with hub.transaction() as transaction:
                    await transaction.publish(T, "gone")
                    await transaction.execute("INSERT INTO conformance VALUES (2)")
                    raise Left
            except Left:
                pass
            async with hub.transaction() as transaction:
                rows = await transaction.execute("SELECT n FROM conformance")
                await transaction.execute("DROP TABLE conformance")
            assert [tuple(row) for row in rows] == [(1,)]
            assert (await inbox.receive(timeout=self.patience)).content == "kept"
            assert inbox.waiting == 0

    @promise("transactions", "groups")
    async def test_a_group_handles_committed_messages_only(self) -> None:
        """A group handles the messages of a committed transaction, and none of one that was rolled back."""
        async with self.hub() as hub:
            handled: asyncio.Queue[Any] = asyncio.Queue()
            hub.on("orders:*", group="billing")(handled.put)
            for content, leave in (("gone", True), ("kept", False)):
                try:
                    async with hub.transaction() as transaction:
                        await transaction.publish(T, content)
                        if leave:
                            raise Left
                except Left:
                    pass
            assert await asyncio.wait_for(handled.get(), self.patience) == "kept"
            assert handled.empty()

    @promise("durable")
    async def test_closing_a_hub_loses_no_acknowledged_message(self) -> None:
        """When a hub is closed while publishers publish, every acknowledged message is stored, once."""
        acknowledged: list[Any] = []
        hub = self.hub()

        async def publish(number: int) -> None:
            for n in range(1000):
                await hub.topic(T).publish([number, n])
                acknowledged.append([number, n])

        async with hub:
            hub.retain(">", messages=100_000)
            publishers = [asyncio.ensure_future(publish(number)) for number in range(self.size(5, 20))]
            while len(acknowledged) < self.size(30, 300):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0)
            await hub.aclose()
            await asyncio.gather(*publishers, return_exceptions=True)
        async with self.hub() as hub:
            kept = [message.content async for message in hub.topic(T).history()]
        missing = [content for content in acknowledged if content not in kept]
        assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged messages are lost"
        assert len(kept) == len({tuple(content) for content in kept})
