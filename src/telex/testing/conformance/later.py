"""Delayed messages, and transactions."""

from __future__ import annotations

import asyncio
from time import time
from typing import Any

from telex.testing.conformance.rig import Rig, message
from telex.testing.conformance.suite import Suite, numbers, promise, read_range

T = "reminders:1"
DELAY = 0.15
"""The delay in seconds: short, since tests wait for it."""


class DelayedTests(Suite):
    """`telex.engines.Store.append` with a time, sentence by sentence."""

    @promise("delayed", "store", slow=True)
    async def test_a_delayed_message_is_not_published_early(self) -> None:
        """`append` publishes a delayed message at its time, and not before. It returns when the message is stored."""
        async with self.rig() as rig:
            due = time() + DELAY
            await rig.later(message(T, "later"), due)
            assert rig.contents(T) == [], "it was published at once"
            await rig.send(T, "now")
            assert rig.contents(T) == ["now"]
            await rig.until(lambda: len(rig.taken[T]) == 2, "what was published for later")
            assert time() >= due - 0.002, "it was published too early"
            assert rig.contents(T) == ["now", "later"]

    @promise("delayed", "store")
    async def test_a_message_with_a_past_time_is_published_at_once(self) -> None:
        """`append` with a past time publishes the message at once, unchanged."""
        async with self.rig() as rig:
            sent = message(T, {"a": "ü"}, id="id-1", key="k", headers={"Trace": "x"})
            await rig.later(sent, time() - 10)
            await rig.until(lambda: rig.contents(T), "what was due")
            (got,) = rig.taken[T]
            assert (got.id, got.content, got.key) == ("id-1", {"a": "ü"}, "k")
            assert dict(got.headers) == {"Trace": "x"}

    @promise("delayed", "store", slow=True)
    async def test_delayed_messages_are_published_in_the_order_of_their_times(self) -> None:
        """Delayed messages are published in the order of their times, not of the calls."""
        async with self.rig() as rig:
            # A machine that is busy may store a message after its time: then again, further ahead.
            for ahead in (DELAY / 3, 10 * DELAY, 100 * DELAY):
                topic, first = f"reminders:{ahead}", time() + ahead
                for n in (3, 1, 2):
                    await rig.later(message(topic, n), first + DELAY * n / 3)
                if time() < first:
                    break
            await asyncio.sleep(first - time())
            await rig.until(lambda: len(rig.contents(topic)) == 3, "all that was published for later")
            assert rig.contents(topic) == [1, 2, 3]

    @promise("delayed", "shared", "store", slow=True)
    async def test_several_engines_publish_a_delayed_message_once(self) -> None:
        """With several open engines a delayed message is published once, and every engine delivers it."""
        async with self.rig() as one, self.rig() as two, self.rig() as three:
            count = self.size(5, 100)
            for n in range(count):
                await (one, two)[n % 2].later(message(T, n), time() + DELAY)
            # The last message is due after all others.
            await one.later(message(T, "last"), time() + 2 * DELAY)
            for rig in (one, two, three):
                await rig.until(lambda rig=rig: "last" in rig.contents(T), "what was published for later")  # type: ignore[misc]
                contents = rig.contents(T)
                assert sorted(contents[: contents.index("last")]) == list(range(count))

    @promise("delayed", "shared", "store", slow=True)
    async def test_another_engine_publishes_for_a_closed_engine(self) -> None:
        """Later, durable or shared: any open engine publishes the message, also when the engine that took it is
        closed."""
        async with self.rig() as other:
            async with self.rig() as own:
                await own.later(message(T, "later"), time() + DELAY)
            await other.until(lambda: other.contents(T) == ["later"], "what was published for later")

    @promise("delayed", "store")
    async def test_a_cancelled_message_is_never_published(self) -> None:
        """`cancel` discards a message that waits for its time. It returns true when there was such a message."""
        async with self.rig() as rig:
            store = rig.engine.store
            assert store is not None
            for id in ("one", "two"):
                await rig.later(message(T, id, id=id), time() + DELAY)
            assert await store.cancel("reminders:2", "one") is False, "the topic is another"
            assert await store.cancel(T, "one") is True
            assert await store.cancel(T, "one") is False, "it was cancelled before"
            await rig.until(lambda: rig.contents(T), "what was published for later")
            assert rig.contents(T) == ["two"], "a cancelled message was published"
            assert await store.cancel(T, "two") is False, "it was published"

    @promise("delayed", "durable", "store", slow=True)
    async def test_delayed_messages_survive_a_restart(self) -> None:
        """Durable: a delayed message is published once, when its time has come and the engine is open."""
        async with self.rig() as rig:
            await rig.later(message(T, "past by then"), time() + DELAY / 3)
            await rig.later(message(T, "later"), time() + 4 * DELAY)
        await asyncio.sleep(DELAY / 2)
        async with self.rig() as rig:

            async def kept() -> list[Any]:
                return [m.content for m in await read_range(rig, T)]

            deadline = time() + self.patience
            while len(await kept()) < 2 and time() < deadline:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.02)
            assert await kept() == ["past by then", "later"]
        async with self.rig() as rig:
            await rig.send(T, "last")
            assert [m.content for m in await read_range(rig, T)] == ["past by then", "later", "last"]


class Left(Exception):
    """The error that ends a transaction in these tests."""


class TransactionTests(Suite):
    """`telex.engines.EngineTransaction`, sentence by sentence."""

    @promise("transactions", "store")
    async def test_a_transaction_publishes_all_its_messages(self) -> None:
        """Without an error a transaction commits: all its messages are kept, in order, and reach the engine's
        events.
        """
        async with self.rig() as rig:
            await rig.send(T, "before")
            async with rig.transaction() as transaction:
                for n in range(3):
                    await transaction.append(message(T, n))
                    await transaction.append(message("other:1", -n))
            assert await self.kept(rig) == rig.contents(T) == ["before", 0, 1, 2]
            assert await self.kept(rig, "other:1") == [0, -1, -2]
            assert len(numbers(rig.taken[T])) == 4

    @promise("transactions", "store")
    async def test_no_message_is_read_before_the_commit(self) -> None:
        """No reader gets a message of a transaction before it commits."""
        async with self.rig() as rig:
            async with rig.transaction() as transaction:
                await transaction.append(message(T, "a"))
                for _ in range(20):
                    await asyncio.sleep(0)
                assert rig.contents(T) == []
            assert rig.contents(T) == ["a"]

    @promise("transactions", "store")
    async def test_an_error_rolls_a_transaction_back(self) -> None:
        """With an error it rolls back: no message is kept or reaches the engine's events."""
        async with self.rig() as rig:
            await rig.send(T, "before")
            try:
                async with rig.transaction() as transaction:
                    await transaction.append(message(T, "a"))
                    await transaction.append(message(T, "b"))
                    raise Left
            except Left:
                pass
            else:
                raise AssertionError("the error does not come out of the transaction")
            assert await self.kept(rig) == rig.contents(T) == ["before"]
            await rig.send(T, "after")
            assert await self.kept(rig) == rig.contents(T) == ["before", "after"]

    @promise("transactions", "store")
    async def test_a_cancelled_transaction_rolls_back(self) -> None:
        """A transaction that is cancelled rolls back, and blocks no other writer."""
        async with self.rig() as rig:
            entered = asyncio.Event()

            async def never_left() -> None:
                async with rig.transaction() as transaction:
                    await transaction.append(message(T, "a"))
                    entered.set()
                    await asyncio.Event().wait()

            task = asyncio.ensure_future(never_left())
            await asyncio.wait_for(entered.wait(), self.patience)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await rig.send(T, "b")
            assert await self.kept(rig) == rig.contents(T) == ["b"]

    @promise("transactions", "store")
    async def test_concurrent_transactions_do_not_mix(self) -> None:
        """Transactions that are entered at the same time are each stored whole: their messages do not mix."""
        async with self.rig() as rig:
            count = self.size(4, 30)

            async def three(number: int) -> None:
                async with rig.transaction() as transaction:
                    for part in "abc":
                        await transaction.append(message(T, [number, part]))
                        await asyncio.sleep(0)

            await asyncio.gather(*(three(number) for number in range(count)))
            delivered = rig.contents(T)
            assert len(delivered) == 3 * count
            for first, second, third in zip(delivered[::3], delivered[1::3], delivered[2::3], strict=True):
                assert (first[1], second[1], third[1]) == ("a", "b", "c")
                assert first[0] == second[0] == third[0]

    @promise("transactions", "store", "groups")
    async def test_groups_get_committed_messages_only(self) -> None:
        """A group gets the messages of a committed transaction, and none of a transaction that rolled back."""
        async with self.rig() as rig:
            await rig.join("billing", T)
            for content, leave in (("kept", False), ("gone", True)):
                try:
                    async with rig.transaction() as transaction:
                        await transaction.append(message(T, content))
                        if leave:
                            raise Left
                except Left:
                    pass
            claimed = await rig.fetch("billing", T)
            assert [delivery.message.content for delivery in claimed] == ["kept"]

    @promise("transactions", "store", "durable")
    async def test_a_commit_survives_a_restart(self) -> None:
        """Durable: committed messages are there when the engine is opened again, and rolled back ones are not."""
        async with self.rig() as rig:
            async with rig.transaction() as transaction:
                await transaction.append(message(T, "kept"))
            try:
                async with rig.transaction() as transaction:
                    await transaction.append(message(T, "gone"))
                    raise Left
            except Left:
                pass
        async with self.rig() as rig:
            assert await self.kept(rig) == ["kept"]

    @staticmethod
    async def kept(rig: Rig, topic: str = T) -> list[Any]:
        """Return the contents that a topic keeps."""
        return [m.content for m in await read_range(rig, topic)]
