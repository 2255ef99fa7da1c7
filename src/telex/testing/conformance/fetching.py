"""Fetches that wait: `telex.engines.contract.groups.Groups.fetch`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telex.engines.contract.groups import Fetched
from telex.errors import Closed
from telex.testing.conformance.groups import G, T, contents, ready
from telex.testing.conformance.rig import Rig
from telex.testing.conformance.suite import Suite, promise, refused, settle_dead

WAIT = 0.08
"""Seconds for which fetches wait that find nothing."""


class FetchTests(Suite):
    """The time for which a fetch waits, and the events that end it."""

    @promise("groups")
    async def test_a_fetch_returns_when_its_time_is_over(self) -> None:
        """A fetch of nothing returns empty, with the lag, when its time is over. One that does not wait is over at
        once."""
        async with self.rig() as rig:
            await ready(rig, "a")
            assert contents(await rig.fetch(G, T)) == ["a"]
            for wait in (0.0, WAIT):
                try:
                    async with asyncio.timeout(wait + self.patience):
                        fetched = await rig.groups.fetch(G, T, 10, 30.0, "me", wait)
                except TimeoutError:
                    raise AssertionError(f"a fetch that waits {wait} s did not return") from None
                assert (list(fetched.deliveries), fetched.lag) == ([], 1)

    @promise("groups")
    async def test_a_fetch_without_messages_waits_its_whole_time(self) -> None:
        """A fetch that finds nothing waits for the whole of its time."""
        async with self.rig() as rig:
            await ready(rig)
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await rig.fetch(G, T, wait=WAIT) == []
            assert loop.time() - began >= WAIT - 0.002, "it returned before its time"

    @promise("groups")
    async def test_a_fetch_returns_when_a_message_is_published(self) -> None:
        """A fetch returns as soon as there is a message: at once, or when it is published. It says if it waited."""
        async with self.rig() as rig:
            await ready(rig, "a")
            fetched = await rig.groups.fetch(G, T, 10, 30.0, "me", 10 * self.patience)
            assert (contents(list(fetched.deliveries)), fetched.waited) == (["a"], False)
            async with self.waiting(rig) as waiting:
                await rig.send(T, "b", "c")
                fetched = await waiting
            assert fetched.waited
            assert contents(list(fetched.deliveries)) == ["b", "c"][: len(fetched.deliveries)]

    @promise("groups")
    async def test_a_fetch_on_a_pattern_returns_for_a_new_topic(self) -> None:
        """A fetch on a pattern returns when a topic that matches gets its first message."""
        async with self.rig() as rig:
            await rig.join(G, "orders:*")
            async with self.waiting(rig, "orders:*") as waiting:
                await rig.send("bills:1", "other")
                await rig.send("orders:7", "first")
                assert contents(list((await waiting).deliveries)) == ["first"]

    @promise("groups")
    async def test_a_fetch_returns_when_a_delay_or_a_lease_ends(self) -> None:
        """A waiting fetch returns when the delay of a nack or the lease of another member ends, and not before."""
        async with self.rig() as rig:
            await ready(rig, "a")
            loop = asyncio.get_running_loop()
            (first,) = (await rig.groups.fetch(G, T, 10, 3600.0, "dies", 0.0)).deliveries
            assert await rig.settle(G, T, first, "nack", seconds=WAIT / self.tick)
            began = loop.time()
            async with self.waiting(rig, lease=WAIT) as waiting:
                (again,) = (await waiting).deliveries
            assert (again.message.content, again.attempt) == ("a", 2)
            async with self.waiting(rig) as waiting:
                (again,) = (await waiting).deliveries
            assert (again.message.content, again.attempt) == ("a", 3)
            assert loop.time() - began >= 2 * WAIT - 0.02, "it came before its time"

    @promise("groups")
    async def test_a_fetch_returns_when_its_group_changes(self) -> None:
        """A waiting fetch returns when a message is nacked, a dead letter is retried, or the group is resumed."""
        async with self.rig() as rig:
            groups = rig.groups
            await ready(rig, "a")
            (first,) = await rig.fetch(G, T)
            async with self.waiting(rig) as waiting:
                assert await rig.settle(G, T, first, "nack")
                (first,) = (await waiting).deliveries
            assert await rig.settle(G, T, first, "reject")
            async with self.waiting(rig) as waiting:
                assert await settle_dead(groups, G, T, first.position, "retry")
                (first,) = (await waiting).deliveries
            assert await groups.change(G, T, "pause")
            assert await rig.settle(G, T, first, "nack")
            async with self.waiting(rig) as waiting:
                assert not waiting.done(), "it is paused"
                assert await groups.change(G, T, "resume")
                assert contents(list((await waiting).deliveries)) == ["a"]

    @promise("groups", "key_order")
    async def test_a_fetch_returns_when_the_next_message_of_a_key_is_free(self) -> None:
        """A waiting fetch returns when the message that its key waits for is settled."""
        async with self.rig() as rig:
            await ready(rig, "k1", "k2", key="k")
            (first,) = await rig.fetch(G, T)
            async with self.waiting(rig) as waiting:
                assert await rig.settle(G, T, first, "ack")
                assert contents(list((await waiting).deliveries)) == ["k2"]

    @promise("groups")
    async def test_a_cancelled_fetch_leaves_nothing_leased(self) -> None:
        """Cancelled at any moment, also while it leases, a fetch leaves nothing leased: others get the message."""
        async with self.rig() as rig:
            await rig.join(G, T)
            for moment in range(self.size(20, 200)):
                await rig.send(T, moment)
                fetch = rig.groups.fetch(G, T, 1, 3600.0, "leaves", 10 * self.patience)
                task = asyncio.create_task(fetch)
                for _ in range(moment % 10):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.0003 * max(0, moment - 10))
                task.cancel()
                await asyncio.wait({task})
                given = [] if task.cancelled() else list(task.result().deliveries)
                given = given or await rig.fetch(G, T)
                assert contents(given) == [moment], "another member does not get it"
                assert await rig.settle(G, T, given[0], "ack")

    @promise("groups")
    async def test_closing_ends_a_fetch(self) -> None:
        """A fetch that waits raises `Closed` when its engine is closed."""
        async with self.rig() as rig:
            await rig.join(G, T)
            fetch = rig.groups.fetch(G, T, 10, 30.0, "waits", 10 * self.patience)
            task = asyncio.create_task(fetch)
            await asyncio.sleep(0.01)  # now it waits, most likely
        with refused(Closed):
            await task

    @asynccontextmanager
    async def waiting(self, rig: Rig, pattern: str = T, lease: float = 3600.0) -> AsyncIterator[asyncio.Task[Fetched]]:
        """Start a fetch that waits longer than the test, and that the test has to end within its patience."""
        fetch = rig.groups.fetch(G, pattern, 10, lease, "waits", 10 * self.patience)
        task = asyncio.create_task(fetch)
        try:
            async with asyncio.timeout(self.patience):
                await asyncio.sleep(0.01)  # now it waits, most likely
                yield task
        except TimeoutError:
            raise AssertionError(f"within {self.patience:g} s the fetch did not return") from None
        finally:
            task.cancel()
            await asyncio.wait({task})
