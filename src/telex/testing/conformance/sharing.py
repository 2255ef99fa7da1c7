"""Several engines on the same data, at the same time or one after the other."""

from __future__ import annotations

import asyncio
import os
import signal
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import time
from typing import Any

from telex.engines.contract import Delivery, Engine
from telex.message import Position
from telex.testing.conformance.groups import G, T, contents
from telex.testing.conformance.rig import Rig, message
from telex.testing.conformance.suite import (
    Suite,
    needing,
    numbers,
    promise,
    read_all,
    read_range,
)


class SharedTests(Suite):
    """`telex.engines.Guarantees.shared`: other processes see the same topics and groups."""

    @promise("shared", "store")
    async def test_every_engine_delivers_the_messages_of_the_others(self) -> None:
        """Every engine delivers the messages of each engine: each once, in order, with its number."""
        async with self.rig() as one, self.rig() as two:
            count = self.size(20, 2000)
            for n in range(count):
                await (one, two)[n % 2].send(T, n)
            for rig in (one, two):
                await rig.until(lambda rig=rig: len(rig.contents(T)) >= count, "all messages")  # type: ignore[misc]
                assert sorted(rig.contents(T)) == list(range(count))
                assert numbers(rig.taken[T]) == numbers(one.taken[T])
            assert [m.id for m in one.taken[T]] == [m.id for m in two.taken[T]]
            assert one.log(T).epoch == two.log(T).epoch

    @promise("shared", "store")
    async def test_another_engine_delivers_messages_unchanged(self) -> None:
        """A message arrives at another engine with the content, id, time, type, headers and key that were published."""
        async with self.rig() as one, self.rig() as two:
            sent = message(T, {"n": [1, None, "ü"]}, id="id-1", key="k", headers={"Trace": "x"})
            await one.store.append([sent])
            await two.until(lambda: two.contents(T), "the message")
            (got,) = two.taken[T]
            assert got == sent.numbered(got.seq, 0)
            assert (got.key, got.type) == ("k", "dict")

    @promise("shared", "store", "ordered")
    async def test_each_publisher_keeps_its_order(self) -> None:
        """Ordered: for every reader, the messages of one publisher to one topic keep their order."""
        async with self.rig() as one, self.rig() as two:
            each = self.size(20, 1000)

            async def write(rig: Rig, name: str) -> None:
                for n in range(each):
                    await rig.send(T, [name, n])

            await asyncio.gather(write(one, "a"), write(two, "b"), write(one, "c"))
            for rig in (one, two):
                await rig.until(lambda rig=rig: len(rig.contents(T)) >= 3 * each, "all messages")  # type: ignore[misc]
                for name in "abc":
                    assert [n for writer, n in rig.contents(T) if writer == name] == list(range(each))
            assert one.contents(T) == two.contents(T), "all readers see one order"

    @promise("shared", "store", "once_per_id")
    async def test_an_id_is_stored_once_between_engines(self) -> None:
        """An id that is published through two engines at the same time is stored once, and both get that message."""
        async with self.rig() as one, self.rig() as two:
            for n in range(self.size(5, 100)):
                (mine,), (yours,) = await asyncio.gather(
                    one.send(T, f"{n} one", id=f"id-{n}"), two.send(T, f"{n} two", id=f"id-{n}")
                )
                assert (mine.seq, mine.content) == (yours.seq, yours.content)
            await one.send(T, "last")
            await two.until(lambda: "last" in two.contents(T), "the last message")
            assert len(one.contents(T)) == len(two.contents(T)) == self.size(5, 100) + 1

    @promise("shared", "store")
    async def test_a_removal_reaches_all_engines(self) -> None:
        """Removed: the events of all engines are called, and the topic has the same new epoch for all."""
        async with self.rig() as one, self.rig() as two:
            (sent,) = await one.send(T, "a")
            await two.until(lambda: two.contents(T), "the message")
            old = two.log(T).epoch
            assert await one.remove(T)
            await two.until(lambda: two.removals, "that the topic was removed")
            assert one.removals == two.removals == [T]
            await two.send(T, "b")
            await one.until(lambda: one.contents(T)[-1:] == ["b"], "the new topic's message")
            first, lost, _ = await two.store.find(T, Position(sent.seq, old), time())
            assert lost is not None
            assert lost.reason == "epoch"
            assert [m.content for m in await read_range(two, T, first)] == ["b"]

    @promise("shared", "store", "history")
    async def test_a_retention_rule_holds_for_all_engines(self) -> None:
        """A retention rule that one engine sets holds for the messages of all engines."""
        async with self.rig() as one, self.rig() as two:
            await one.retain(T, 2)
            await two.send(T, *range(5))
            assert [m.content for m in await read_range(one, T)] == [3, 4]
            assert [m.content for m in await read_range(two, T)] == [3, 4]

    @promise("shared", "store", "transactions")
    async def test_another_engine_reads_a_transaction_whole_or_not_at_all(self) -> None:
        """No other engine reads messages of a transaction before it commits; after that every engine delivers all of
        them.
        """
        async with self.rig() as one, self.rig() as two:
            async with one.transaction() as transaction:
                await transaction.append(message(T, "a"))
                await transaction.append(message(T, "b"))
                assert list(await read_range(two, T)) == []
                assert two.contents(T) == []
            await two.until(lambda: len(two.contents(T)) == 2, "what was committed")
            assert two.contents(T) == ["a", "b"]

    @promise("shared", "groups")
    async def test_members_of_two_engines_share_the_messages(self) -> None:
        """Shared groups: members of different engines get different messages, and together all messages."""
        async with self.rig() as one, self.rig() as two:
            count = self.size(30, 1000)
            await one.join(G, T)
            await two.join(G, T, "new")
            await one.send(T, *range(count))
            done: list[Any] = []

            async def work(rig: Rig, owner: str) -> None:
                while claimed := await rig.fetch(G, T, limit=3, owner=owner):
                    for delivery in claimed:
                        done.append(delivery.message.content)
                        assert await rig.settle(G, T, delivery, "ack")

            await asyncio.gather(work(one, "a"), work(two, "b"), work(one, "c"))
            assert sorted(done) == list(range(count))
            assert await two.lag(G, T) == 0

    @promise("shared", "groups", "fenced_settle")
    async def test_a_stale_token_settles_nothing_on_another_engine(self) -> None:
        """Rule 3 between engines: after another engine's claim, the earlier delivery settles nothing."""
        async with self.rig() as one, self.rig() as two:
            await one.join(G, T)
            await two.join(G, T)
            await one.send(T, "a")
            now = one.clock.now()
            (old,) = await one.fetch(G, T, now, lease=5)
            assert await two.fetch(G, T, now + 4) == []
            (new,) = await two.fetch(G, T, now + 6)
            assert (new.attempt, new.token > old.token) == (2, True)
            assert await one.settle(G, T, old, "ack", now + 6) is False
            assert await two.settle(G, T, new, "ack", now + 6) is True

    @promise("shared", "groups")
    async def test_a_pause_holds_for_all_engines(self) -> None:
        """``pause`` stops fetching in all engines, and after ``resume`` a waiting fetch of another engine goes on."""
        async with self.rig() as one, self.rig() as two:
            await one.join(G, T)
            await two.join(G, T)
            await one.send(T, "a")
            assert await one.groups.change(G, T, "pause")
            assert await two.fetch(G, T) == []
            async with self.fetching(two) as waiting:
                assert await one.groups.change(G, T, "resume")
                assert contents(await waiting) == ["a"]

    @promise("shared", "groups")
    async def test_a_fetch_returns_for_messages_of_other_engines(self) -> None:
        """A waiting fetch returns when another engine publishes a message, or settles one so that another is free."""
        async with self.rig() as one, self.rig() as two:
            await one.join(G, T)
            await two.join(G, T)
            async with self.fetching(two) as waiting:
                await one.send(T, "k1", "k2", key="k")
                (first,) = await waiting
            for settling, other, action, content in ((one, two, "nack", "k1"), (two, one, "ack", "k2")):
                async with self.fetching(other) as waiting:
                    assert await settling.settle(G, T, first, action)  # type: ignore[arg-type]
                    (first,) = await waiting
                assert first.message.content == content

    @asynccontextmanager
    async def fetching(self, rig: Rig) -> AsyncIterator[asyncio.Task[list[Delivery]]]:
        """Enter a block with a fetch that waits, and that has to return when the block is left."""
        async with asyncio.timeout(self.patience):
            task = asyncio.create_task(rig.fetch(G, T, lease=300, wait=10 * self.patience))
            try:
                await asyncio.sleep(0.02)  # now it waits, most likely
                yield task
            finally:
                task.cancel()
                await asyncio.wait({task})


class DurableTests(Suite):
    """`telex.engines.Guarantees.durable`: acknowledged data is there when the engine is opened again."""

    @promise("durable", "store")
    async def test_messages_survive_a_restart(self) -> None:
        """Acknowledged messages, their numbers and their epoch are kept. New numbers follow on."""
        async with self.rig() as rig:
            sent = [(await rig.send(T, content))[0] for content in ("a", {"b": [1, 2]}, "c")]
            epoch = rig.log(T).epoch
        async with self.rig() as rig:
            store = rig.store
            assert await read_range(rig, T) == sent
            assert await store.topics() == [T]
            assert rig.log(T).epoch == epoch
            end = sent[2].seq + 1
            assert (rig.log(T).end, store.extent(T)) == (end, (sent[0].seq, end, 3, 3))
            first, lost, _ = await store.find(T, Position(sent[1].seq, epoch), time())
            assert lost is None
            assert await read_range(rig, T, first) == sent[2:]
            numbers([*sent, *await rig.send(T, "d")])
            assert rig.contents(T) == ["d"], "the engine delivers only new messages"

    @promise("durable", "store")
    async def test_changing_a_published_object_does_not_change_the_message(self) -> None:
        """Changing an object after it was published does not change the stored message."""
        async with self.rig() as rig:
            content: dict[str, Any] = {"items": [1]}
            await rig.send(T, content)
            content["items"].append(2)
            assert [m.content for m in await read_range(rig, T)] == [{"items": [1]}]
        async with self.rig() as rig:
            assert [m.content for m in await read_range(rig, T)] == [{"items": [1]}]

    @promise("durable", "store")
    async def test_acknowledged_messages_survive_many_restarts(self) -> None:
        """After many restarts every message is there once, in order."""
        restarts, each = self.size(4, 20), self.size(5, 100)
        for restart in range(restarts):
            async with self.rig() as rig:
                await rig.retain(">", restarts * each)
                for n in range(each):
                    await rig.send(T, restart * each + n)
        async with self.rig() as rig:
            assert [m.content for m in await read_all(rig, T)] == list(range(restarts * each))

    @promise("durable", "store", "once_per_id")
    async def test_an_id_is_stored_once_over_a_restart(self) -> None:
        """An id is stored once within two minutes, also over a restart."""
        async with self.rig() as rig:
            (first,) = await rig.send(T, "a", id="same")
        async with self.rig() as rig:
            again = (await rig.send(T, "b", id="same"))[0]
            assert (again.seq, again.content) == (first.seq, "a")
            assert len(await read_range(rig, T)) == 1

    @promise("durable", "store", "history")
    async def test_retention_rules_survive_a_restart(self) -> None:
        """Retention rules hold when the engine is opened again."""
        async with self.rig() as rig:
            await rig.retain("orders:*", 2)
        async with self.rig() as rig:
            await rig.send(T, *range(5))
            assert [m.content for m in await read_range(rig, T)] == [3, 4]

    @promise("durable", "store")
    async def test_a_removed_topic_stays_removed(self) -> None:
        """A removal survives a restart. A topic that is recreated afterwards has a new epoch."""
        async with self.rig() as rig:
            await rig.send(T, "a")
            old = rig.log(T).epoch
            assert await rig.remove(T)
        async with self.rig() as rig:
            assert await rig.store.topics() == []
            assert rig.log(T).epoch != old
            await rig.send(T, "b")
            assert [m.content for m in await read_range(rig, T)] == ["b"]

    @promise("durable", "groups")
    async def test_groups_continue_after_a_restart(self) -> None:
        """Settlements are kept over a restart. Leased messages are delivered again after their lease, as the next
        attempt."""
        async with self.rig() as rig:
            await rig.join(G, T)
            await rig.send(T, "acked", "leased", "nacked", "dead", "waiting")
            now = rig.clock.now()
            acked, _, nacked, dead = await rig.fetch(G, T, now, limit=4, lease=30)
            assert await rig.settle(G, T, acked, "ack", now)
            assert await rig.settle(G, T, nacked, "nack", now, seconds=60)
            assert await rig.settle(G, T, dead, "reject", now, reason="why")
        async with self.rig() as rig:
            await rig.join(G, T, "earliest")
            assert contents(await rig.fetch(G, T, now + 1, lease=300)) == ["waiting"]
            (leased,) = await rig.fetch(G, T, now + 31)
            assert (leased.message.content, leased.attempt) == ("leased", 2)
            again = await rig.fetch(G, T, now + 61)
            assert "nacked" in contents(again)
            (letter,) = await rig.groups.dead(G)
            assert (letter.message.content, letter.reason) == ("dead", "why")
            assert await rig.settle(G, T, acked, "ack", now + 61) is False

    @promise("durable", "groups")
    async def test_a_pause_survives_a_restart(self) -> None:
        """Paused and forgotten groups stay so after a restart."""
        async with self.rig() as rig:
            for group in (G, "gone"):
                await rig.join(group, T)
            await rig.send(T, "a")
            assert await rig.groups.change(G, T, "pause")
            assert await rig.groups.change("gone", T, "forget")
        async with self.rig() as rig:
            assert [(info.group, info.paused, info.lag) for info in await rig.groups.groups()] == [(G, True, 1)]
            await rig.join(G, T)
            assert await rig.fetch(G, T) == []

    @promise("durable", "groups", "fenced_settle")
    async def test_a_token_is_stale_after_a_restart(self) -> None:
        """Rule 3 over a restart: tokens go on growing, and an older token settles nothing."""
        async with self.rig() as rig:
            await rig.join(G, T)
            await rig.send(T, "a")
            now = rig.clock.now()
            (old,) = await rig.fetch(G, T, now, lease=5)
        async with self.rig() as rig:
            await rig.join(G, T)
            (new,) = await rig.fetch(G, T, now + 6)
            assert new.token > old.token
            assert await rig.settle(G, T, old, "ack", now + 7) is False
            assert await rig.settle(G, T, new, "ack", now + 7) is True

    @needing("durable", "store", slow=True)
    def test_acknowledged_messages_survive_kill(self) -> None:
        """Durable: an acknowledged message is there after the process was killed with signal 9."""
        each = 20
        for turn in range(self.size(1, 10)):

            async def publish(rig: Rig, first: int = turn * each) -> None:
                for n in range(first, first + each):
                    await rig.send(T, n)

            assert killed(self.engine(), publish), "the process that was to be killed did not come so far"

            async def look(count: int = turn * each + each) -> None:
                async with self.rig() as rig:
                    read = [m.content for m in await read_range(rig, T)]
                    assert read == list(range(count)), f"of {count} acknowledged messages {len(read)} are kept"

            self.run(look)

    @needing("durable", "store", "groups", "records", slow=True)
    def test_settlements_and_records_survive_kill(self) -> None:
        """Durable: an acknowledged settlement and an acknowledged record are there after a kill with signal 9, too."""

        async def work(rig: Rig) -> None:
            await rig.join(G, T)
            await rig.send(T, "acked", "dead", "open")
            acked, dead, _ = await rig.fetch(G, T, lease=5)
            assert await rig.records.put("once", "k", b"value", 0)
            assert await rig.settle(G, T, acked, "ack")
            assert await rig.settle(G, T, dead, "reject")

        assert killed(self.engine(), work), "the process that was to be killed did not come so far"

        async def look() -> None:
            async with self.rig() as rig:
                await rig.join(G, T)
                assert contents(await rig.fetch(G, T, rig.clock.now() + 6)) == ["open"]
                assert [letter.message.content for letter in await rig.groups.dead()] == ["dead"]
                record = await rig.records.get("once", "k")
                assert record is not None
                assert record.value == b"value"

        self.run(look)


def killed(engine: Engine, work: Callable[[Rig], Coroutine[Any, Any, None]]) -> bool:
    """Run ``work`` in another process and kill the process, before it releases anything. Return true when ``work`` had
    ended.
    """
    here, there = os.pipe()
    os.set_blocking(there, False)  # so few bytes never wait
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking beside threads, which the child never runs
        child = os.fork()
    if not child:
        try:
            asyncio.run(_work(engine, work, there))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        done = pipe.read() == b"done"
    os.waitpid(child, 0)
    return done


async def _work(engine: Engine, work: Callable[[Rig], Coroutine[Any, Any, None]], there: int) -> None:
    async with Rig(engine) as rig:
        await work(rig)
        os.write(there, b"done")
        os.kill(os.getpid(), signal.SIGKILL)
