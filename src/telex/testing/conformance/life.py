"""Opening and closing: a closed, cancelled or refused engine or hub leaves nothing behind."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from telex.engines.contract import Engine
from telex.errors import Closed, ConnectFailed, Timeout
from telex.hub import Hub
from telex.testing.conformance.rig import Rig
from telex.testing.conformance.suite import Suite, needing, promise, read_range, refused

T = "orders:1"


class LifeTests(Suite):
    """Opening and closing. Every test of the suite checks that no task, thread or descriptor stays; here this is the
    promise.
    """

    @promise()
    async def test_open_and_close_leave_nothing_behind(self) -> None:
        """Open and close leave nothing behind, with and without work in between."""
        for messages in (0, 1, self.size(50, 5000)):
            async with self.rig() as rig:
                for n in range(messages):
                    await rig.send(T, n)

    @promise()
    async def test_close_cleans_up_after_a_cancelled_open(self) -> None:
        """An `open` that is cancelled at any point leaves nothing after `close`, and another engine opens on the
        data."""
        for turns in range(self.size(10, 100)):
            engine = self.engine()
            rig = Rig(engine)
            opening = asyncio.ensure_future(engine.open(rig, rig))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await engine.close()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"cancelled after {turns} turns, {left} stay"
        async with self.rig() as rig:
            await rig.send(T, "a")
            assert rig.contents(T) == ["a"]

    @needing(slow=True)
    def test_a_cancelled_open_leaves_nothing_behind(self) -> None:
        """An `open` that is cancelled at any point leaves nothing when it ends, also before `close`: no task, thread or
        descriptor, and no lock that another engine would wait for. `close` may follow."""
        took: list[float] = []
        kept: list[Engine] = []  # as a program whose opening failed: no object is released by chance

        async def measure() -> None:
            began = monotonic()
            async with self.rig():
                took.append(monotonic() - began)

        async def cancelled(turns: int, wait: float, close: bool) -> None:
            engine = self.engine()
            kept.append(engine)
            rig = Rig(engine)
            opening = asyncio.ensure_future(engine.open(rig, rig))
            for _ in range(turns):
                await asyncio.sleep(0)
            if wait:
                await asyncio.sleep(wait)
            opening.cancel()
            (error,) = await asyncio.gather(opening, return_exceptions=True)
            if close or error is None:
                await engine.close()

        self.run(measure)
        rounds = self.size(10, 100)
        # At each of its first turns of the loop, and at moments spread over the time that it takes.
        for turns, wait in [(n, 0.0) for n in range(rounds)] + [(0, took[0] * n / rounds) for n in range(1, rounds)]:
            for close in (False, True):
                self.run(functools.partial(cancelled, turns, wait, close))
                self.run(self._opens)

    @needing(slow=True)
    def test_a_failed_open_leaves_nothing_behind(self) -> None:
        """An `open` that fails leaves nothing when it ends, for each engine of `unopenable`. It raises
        ConnectFailed.
        """

        async def fails(engine: Engine, close: bool) -> None:
            with refused(ConnectFailed):
                rig = Rig(engine)
                await engine.open(rig, rig)
            if close:
                await engine.close()

        for close in (False, True):
            for engine in self.unopenable():
                self.run(functools.partial(fails, engine, close))
                self.run(self._opens)

    async def _opens(self) -> None:
        async with asyncio.timeout(self.patience), self.rig() as rig:
            await rig.send(T, "a")

    @promise()
    async def test_an_unopened_engine_can_be_closed(self) -> None:
        """`close` may be called on an engine that was never opened."""
        await self.engine().close()

    @promise("store")
    async def test_closing_ends_appends_that_are_in_flight(self) -> None:
        """`close` during appends: each append ends, and every acknowledged message is stored."""
        engine = self.engine()
        rig = Rig(engine, self.patience)
        await engine.open(rig, rig)
        appends = [asyncio.ensure_future(rig.send(T, n)) for n in range(self.size(20, 500))]
        await asyncio.sleep(0)
        await engine.close()
        async with asyncio.timeout(self.patience):
            results = await asyncio.gather(*appends, return_exceptions=True)
        acknowledged = [result[0].content for result in results if isinstance(result, list)]
        if engine.guarantees.durable:
            async with self.rig() as again:
                kept = [message.content for message in await read_range(again, T)]
                assert set(acknowledged) <= set(kept)

    @promise()
    async def test_a_hub_can_be_closed_twice(self) -> None:
        """A hub may be closed twice, also by several tasks at once. Opening it twice is refused."""
        hub = self.hub()
        async with hub:
            with refused(Closed):
                await hub.__aenter__()
            await asyncio.gather(hub.aclose(), hub.aclose())
        await hub.aclose()
        assert hub.closed
        with refused(Closed):
            await hub.__aenter__()

    @promise()
    async def test_a_hub_that_is_not_open_raises_closed(self) -> None:
        """Publishing, subscribing and receiving raise Closed before a hub is open and after it is closed."""
        hub = self.hub()
        topic = hub.topic(T)

        async def nothing_works() -> None:
            with refused(Closed):
                await topic.publish("x")
            with refused(Closed):
                await topic.subscribe().__aenter__()
            with refused(Closed):
                await anext(aiter(topic.history()))

        await nothing_works()
        async with hub:
            inbox = await topic.subscribe().__aenter__()
            await topic.publish("last")
        await nothing_works()
        assert (await inbox.receive(timeout=self.patience)).content == "last", "what it has it keeps"
        with refused(Closed):
            await inbox.receive(timeout=self.patience)
        with refused(Closed):
            await hub.remove(T)

    @promise()
    async def test_closing_a_hub_ends_every_wait(self) -> None:
        """Closing a hub ends every wait: receive and a blocked publisher raise Closed, and iteration ends."""
        hub = self.hub()
        async with hub:
            topic = hub.topic(T)
            receiver = await topic.subscribe().__aenter__()
            iterated = await hub.topic("orders:*").subscribe().__aenter__()
            full = await hub.topic("full:1").subscribe(overflow="block", buffer=1).__aenter__()
            await hub.topic("full:1").publish(0)

            async def iterate() -> list[Any]:
                return [message.content async for message in iterated]

            waiting = [
                asyncio.ensure_future(work) for work in (receiver.receive(), iterate(), hub.topic("full:1").publish(1))
            ]
            await asyncio.sleep(0.01)
            assert not any(task.done() for task in waiting)
            await hub.aclose()
            async with asyncio.timeout(self.patience):
                received, contents, blocked = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(received, Closed)
        assert contents == []
        assert isinstance(blocked, Closed)
        assert full.ended == "closed"

    @promise()
    async def test_cancelled_operations_leave_nothing_behind(self) -> None:
        """A receive, a publish or an iteration that is cancelled or timed out leaves no waiter and takes no message."""
        async with self.hub() as hub:
            topic = hub.topic(T)
            before = asyncio.all_tasks()
            async with topic.subscribe() as inbox:

                async def iterate() -> None:
                    async for message in inbox:
                        raise AssertionError(f"{message} was not meant for it")

                for turns in range(self.size(4, 50)):
                    for waits in (inbox.receive, inbox.receive_many, iterate):
                        task: asyncio.Future[object] = asyncio.ensure_future(waits())
                        for _ in range(turns):
                            await asyncio.sleep(0)
                        task.cancel()
                        await asyncio.gather(task, return_exceptions=True)
                with refused(Timeout):
                    await inbox.receive(timeout=0.01)
                await topic.publish("a")
                assert (await inbox.receive(timeout=self.patience)).content == "a"
            assert topic.statistics().subscribers == topic.statistics().waiting_publishers == 0
            assert asyncio.all_tasks() == before

    @promise()
    async def test_a_hub_that_fails_to_open_leaves_nothing_behind(self) -> None:
        """A hub whose lifespan raises closes its engine and raises the error from opening."""

        @asynccontextmanager
        async def fails(hub: Hub) -> AsyncIterator[None]:
            await hub.topic(T).publish("x")
            raise LookupError
            yield

        hub = self.hub(lifespan=fails)
        with refused(LookupError):
            await hub.__aenter__()
        assert hub.closed
        async with self.hub() as another:
            await another.topic(T).publish("y")

    @promise()
    async def test_a_hub_whose_opening_is_cancelled_leaves_nothing_behind(self) -> None:
        """A hub whose opening is cancelled, at any point, is closed, and another hub can open on the same data."""
        for turns in range(self.size(10, 100)):
            opening = asyncio.ensure_future(self.hub().__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            (opened,) = await asyncio.gather(opening, return_exceptions=True)
            if isinstance(opened, Hub):
                await opened.aclose()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"cancelled after {turns} turns, {left} stay"
        async with self.hub() as hub:
            await hub.topic(T).publish("x")
