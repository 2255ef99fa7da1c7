"""Cancelled or timed out at every point where it waits, nothing leaves anything behind.

`at_every_point` runs a piece of work again and again, and cancels it where it is suspended for the first time, for the
second time, and so on until it comes to its end. Whatever was there before it has to be there after it, and nothing
else: tasks, timers, descriptors, and all that the logs know of.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any, Literal

import pytest

import telex
from telex.engines import Decoder, EngineEvents
from telex.engines.memory.engine import MemoryEngine
from telex.topics.topic import Topic
from tests.support.internals import log_of
from tests.support.loops import idle
from tests.support.shell import Clock, in_a_thread, left

pytestmark = pytest.mark.every_loop

How = Literal["waiting", "woken", "twice"]
"""Cancelled while it waits; in the same turn in which it was woken; and once more while it cleans up."""
HOWS: tuple[How, ...] = ("waiting", "woken", "twice")
MOST_POINTS = 60
MOST_HELP = 10


def nothing() -> None: ...


@dataclass
class Scene:
    """One piece of work, prepared: `help` lets it go on when it waits, `check` looks at what became of it."""

    hub: telex.Hub
    work: Callable[[], Awaitable[object]]
    help: Callable[[], object] = nothing
    settle: Callable[[], Awaitable[object]] = idle
    check: Callable[[], object] = nothing
    before: dict[str, object] = field(default_factory=dict)


class Watched:
    """Awaits ``work``, and tells of every time that it is suspended, before it is."""

    def __init__(self, work: Awaitable[object], suspended: Callable[[int], None]) -> None:
        self.points = 0
        self._suspended = suspended
        self._work = work

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._work.__await__()
        try:
            waited_for = next(steps)
            while True:
                self.points += 1
                self._suspended(self.points)
                try:
                    yield waited_for
                except BaseException as error:  # noqa: BLE001  # as `yield from` does, of which this is half
                    waited_for = steps.throw(error)
                else:
                    waited_for = next(steps)
        except StopIteration:
            return


async def run_until(scene: Scene, point: int, how: How) -> bool:
    """Cancel the work at its ``point``-th suspension; whether it got there."""
    loop = asyncio.get_running_loop()

    def interfere() -> None:
        if how == "woken":
            scene.help()
        task.cancel()

    def suspended(number: int) -> None:
        if number == point or (number == point + 1 and how == "twice"):
            loop.call_soon(interfere)

    watched = Watched(scene.work(), suspended)

    async def work() -> None:
        await watched

    task = asyncio.create_task(work(), name="the work")
    stuck, points = 0, 0
    while not task.done():
        await idle()
        stuck = stuck + 1 if watched.points == points else 0
        points = watched.points
        if stuck > MOST_HELP:
            task.cancel()
            raise AssertionError(f"the work hangs at point {points}")
        if not task.done() and points != point:
            scene.help()
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
    return watched.points >= point


async def at_every_point(scenes: Callable[[], AbstractAsyncContextManager[Scene]]) -> int:
    """Cancel at the first point, the second, ... until the work comes to its end; how many points there were."""
    for how in HOWS:
        for point in range(1, MOST_POINTS):
            async with scenes() as scene:
                before = scene.before or left(scene.hub)
                reached = await run_until(scene, point, how)
                await scene.settle()
                assert left(scene.hub) == before, f"{how} at point {point}"
                scene.check()
            if not reached:
                break
        else:
            raise AssertionError("the work does not come to an end")
    return point - 1


# -- connecting


class SlowEngine(MemoryEngine):
    """Opens a connection in several steps, and waits at each until it is let on; leaves its sockets to `close`."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[socket.socket] = []
        self.gates: list[asyncio.Future[None]] = []
        self.closed = 0

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        for _ in range(2):
            self.sockets += socket.socketpair()
            await self.pass_gate()

    async def close(self) -> None:
        self.closed += 1
        for made in self.sockets:
            made.close()

    async def pass_gate(self) -> None:
        self.gates.append(asyncio.get_running_loop().create_future())
        await self.gates[-1]

    def let_on(self) -> None:
        for gate in self.gates:
            if not gate.done():
                gate.set_result(None)


@asynccontextmanager
async def opening(monkeypatch: pytest.MonkeyPatch, timeout: float | None = None) -> AsyncIterator[Scene]:
    engine = SlowEngine()
    entered: list[str] = []

    @asynccontextmanager
    async def lifespan(hub: telex.Hub) -> AsyncIterator[None]:
        entered.append("begun")
        try:
            await engine.pass_gate()
            async with hub.topic("a").subscribe():
                yield
            await engine.pass_gate()
        finally:
            entered.append("ended")

    monkeypatch.setattr("telex.hub.engine_for", lambda url, clock: engine)
    hub = telex.Hub("slow://", lifespan=lifespan, timeout=timeout)

    @hub.on("a")
    async def handle(content: object) -> None:
        await engine.pass_gate()

    hub.topic("a")

    async def work() -> None:
        async with hub:
            hub.topic("a").publish_nowait(1)
            await engine.pass_gate()
            hub.topic("a").publish_nowait(2)

    def check() -> None:
        assert engine.closed == 1
        assert entered in ([], ["begun", "ended"])
        assert hub.closed

    yield Scene(hub, work, engine.let_on, check=check)


@pytest.mark.slow
async def test_opening_and_closing_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two steps of the engine, the lifespan, the body, two messages handled, the lifespan again, and what asyncio adds.
    assert await at_every_point(partial(opening, monkeypatch)) >= 7


async def test_opening_a_hub_takes_at_most_its_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opening(monkeypatch, timeout=0.001) as scene:
        before = left(scene.hub)
        with pytest.raises(telex.Timeout, match=r"opening the hub on slow:// took longer than the 0.001 s"):
            async with scene.hub:
                raise AssertionError("it was opened")
        assert left(scene.hub) == before
        scene.check()


async def test_a_lifespan_that_hangs_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()
    ended: list[str] = []

    @asynccontextmanager
    async def hangs(hub: telex.Hub) -> AsyncIterator[None]:
        begun.set()
        try:
            await asyncio.Event().wait()
            yield
        finally:
            ended.append("lifespan")

    hub = telex.Hub(lifespan=hangs)
    before = left(hub)
    opens = asyncio.create_task(hub.__aenter__())
    await begun.wait()
    opens.cancel()
    await asyncio.wait([opens])
    assert opens.cancelled()
    assert ended == ["lifespan"]
    assert hub.closed
    assert left(hub) == before


async def test_a_timeout_of_the_engine_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable(MemoryEngine):
        async def open(self, events: EngineEvents, decoder: Decoder) -> None:
            raise TimeoutError("the network's own")

    monkeypatch.setattr("telex.hub.engine_for", lambda url, clock: Unreachable())
    with pytest.raises(TimeoutError, match="the network's own"):
        async with telex.Hub("slow://", timeout=60):
            raise AssertionError("it was opened")


async def test_closing_while_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    for steps in range(3):
        async with opening(monkeypatch) as scene:
            before = left(scene.hub)
            opens = asyncio.create_task(scene.hub.__aenter__())
            await idle()
            for _ in range(steps):
                scene.help()
                await idle()
            closes = asyncio.create_task(scene.hub.aclose())
            while not opens.done():
                await idle()
                scene.help()
            await closes
            with pytest.raises(telex.Closed, match="it was closed"):
                await opens
            assert left(scene.hub) == before
            scene.check()


# -- subscribing and receiving

Reader = Callable[[telex.Subscription[Any], list[int]], Awaitable[None]]


async def by_receive(inbox: telex.Subscription[Any], got: list[int]) -> None:
    got.append((await inbox.receive()).content)
    got.append((await inbox.receive()).content)


async def by_receive_with_timeout(inbox: telex.Subscription[Any], got: list[int]) -> None:
    got.append((await inbox.receive(timeout="1h")).content)
    got.append((await inbox.receive(timeout="1h")).content)


async def by_receive_many(inbox: telex.Subscription[Any], got: list[int]) -> None:
    for _ in range(2):
        got.extend(message.content for message in await inbox.receive_many(3))


async def by_receive_many_with_timeout(inbox: telex.Subscription[Any], got: list[int]) -> None:
    for _ in range(2):
        got.extend(message.content for message in await inbox.receive_many(3, timeout=3600))


async def by_iteration(inbox: telex.Subscription[Any], got: list[int]) -> None:
    async for message in inbox:
        got.append(message.content)
        if message.content == 1:
            await asyncio.sleep(0)
        if message.content >= 3:
            break


async def by_batches(inbox: telex.Subscription[Any], got: list[int]) -> None:
    async for batch in inbox.batches(2):
        got.extend(message.content for message in batch)
        await asyncio.sleep(0)
        if got[-1] >= 3:
            break


async def by_several_tasks(inbox: telex.Subscription[Any], got: list[int]) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(by_receive(inbox, got))


READERS: list[Reader] = [
    by_receive,
    by_receive_with_timeout,
    by_receive_many,
    by_receive_many_with_timeout,
    by_iteration,
    by_batches,
    by_several_tasks,
]
OVERFLOWS: list[telex.Overflow] = ["drop_newest", "block"]


@asynccontextmanager
async def reading(read: Reader, overflow: telex.Overflow, others: int) -> AsyncIterator[Scene]:
    got: list[int] = []
    async with telex.Hub() as hub:
        topic: Topic[int] = hub.topic("a", int)

        async def read_on(inbox: telex.Subscription[int]) -> None:
            async for _ in inbox:
                pass

        async with asyncio.TaskGroup() as group, topic.subscribe(overflow=overflow) as inbox:
            companions = [topic.subscribe() for _ in range(others)]
            for companion in companions:
                await companion.__aenter__()
                group.create_task(read_on(companion))
            await idle()
            before = left(hub)

            bursts = cycle((1, 2))

            def publish() -> None:
                for _ in range(next(bursts)):
                    topic.publish_nowait(topic.statistics().published + 1)

            def check() -> None:
                accounts = inbox.statistics()
                rest = [inbox.receive_nowait().content for _ in range(accounts.waiting)]
                assert (accounts.lost, accounts.received) == (0, len(got))
                assert sorted(got) + rest == list(range(1, accounts.published + 1))

            yield Scene(hub, lambda: read(inbox, got), publish, check=check, before=before)
            for companion in companions:
                await companion.aclose()
        for companion in companions:
            assert companion.statistics().waiting == 0
        assert "a" not in left(hub)


@pytest.mark.parametrize("others", [0, 9])
@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("read", READERS)
async def test_receiving(read: Reader, overflow: telex.Overflow, others: int) -> None:
    points = await at_every_point(partial(reading, read, overflow, others))
    assert points >= (1 if read is by_several_tasks else 2)


@asynccontextmanager
async def subscribing() -> AsyncIterator[Scene]:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        subscriptions: list[telex.Subscription[Any]] = []

        async def work() -> None:
            for overflow in OVERFLOWS:
                async with topic.subscribe(overflow=overflow, buffer=1, timeout=5) as inbox:
                    subscriptions.append(inbox)
                    async for message in inbox:
                        await asyncio.sleep(0)
                        if message.content == "last":
                            break

        def publish() -> None:
            topic.publish_nowait("last")

        def check() -> None:
            assert all(inbox.ended == "closed" for inbox in subscriptions)

        yield Scene(hub, work, publish, check=check)


async def test_subscribing() -> None:
    assert await at_every_point(subscribing) >= 4


TIMED: dict[str, Callable[[telex.Subscription[Any]], Awaitable[object]]] = {
    "receive": lambda inbox: inbox.receive(timeout=0.001),
    "receive at once": lambda inbox: inbox.receive(timeout=0),
    "receive_many": lambda inbox: inbox.receive_many(timeout=0.001),
}


@pytest.mark.parametrize("name", TIMED)
async def test_receiving_takes_at_most_its_timeout(name: str) -> None:
    async with telex.Hub() as hub, hub.topic("a").subscribe() as inbox:
        before = left(hub)
        with pytest.raises(telex.Timeout, match="receiving from 'a' took longer"):
            await TIMED[name](inbox)
        assert left(hub) == before
        hub.topic("a").publish_nowait(1)
        await TIMED[name](inbox)  # what is there is taken, however little time there is
        assert left(hub) == before


async def test_iterating_under_a_timeout() -> None:
    async with telex.Hub() as hub, hub.topic("a").subscribe() as inbox:
        topic, before = hub.topic("a"), left(hub)
        seen: list[int] = []

        async def read() -> None:
            async for message in inbox:
                seen.append(message.seq)  # noqa: PERF401  # what was read before the timeout is to be seen

        for _ in range(2):
            topic.publish_nowait(1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(read(), 0.001)
            assert left(hub) == before
        assert seen == [1, 2]


async def test_leaving_a_loop_early_leaves_nothing_to_be_collected() -> None:
    async with telex.Hub() as hub:
        topic, before = hub.topic("a"), left(hub)
        for _ in range(3):
            async with topic.subscribe() as inbox:
                topic.publish_nowait(1)
                async for _message in inbox:
                    break
        del inbox
        assert left(hub) == before


async def test_a_subscription_closed_by_another_task_ends_its_loop() -> None:
    async with telex.Hub() as hub, asyncio.TaskGroup() as group:
        topic, before = hub.topic("a"), left(hub)

        async def read(items: Any) -> None:
            async for _ in items:
                await asyncio.sleep(0)

        for at_work in (False, True):
            for batches in (False, True):
                async with topic.subscribe() as inbox:
                    task = group.create_task(read(inbox.batches() if batches else inbox))
                    await idle()
                    if at_work:
                        topic.publish_nowait(1)
                        await asyncio.sleep(0)
                await asyncio.wait([task])
                assert task.exception() is None
                del task, inbox
                assert left(hub) == before


async def test_a_subscription_closed_in_the_middle_of_a_shared_run_is_closed_at_once() -> None:
    async with telex.Hub() as hub, asyncio.TaskGroup() as group:
        topic, before = hub.topic("a"), left(hub)
        inboxes = [topic.subscribe() for _ in range(3)]
        counts = [0, 0, 0]

        async def read(number: int) -> None:
            async with inboxes[number] as inbox:
                async for _ in inbox:
                    counts[number] += 1
                    if counts[number] == 2 and number > 0:
                        await inbox.aclose()
                    elif counts[number] == 10:
                        break

        for number in range(3):
            group.create_task(read(number))
        await idle()
        for number in range(10):
            topic.publish_nowait(number)
        await idle()
        assert counts == [10, 2, 2]
        assert inboxes[1].statistics() == inboxes[2].statistics()
        assert (inboxes[1].waiting, inboxes[1].statistics().received, inboxes[1].lost) == (8, 2, 0)
        assert left(hub) == before


# -- publishing under `block`


@asynccontextmanager
async def publishing(ahead: int, behind: int, timeout: float | None, subscribed: str) -> AsyncIterator[Scene]:
    """A publisher that waits in a queue, ``ahead`` before it and ``behind`` after it."""
    hub = telex.Hub()
    async with hub:
        topic, read = hub.topic("a:1"), hub.topic(subscribed)
        began = left(hub)
        published: list[object] = []
        watched: list[int] = []

        async def publish(content: object) -> None:
            if content == "it":
                watched.append(1)
            await topic.publish(content, timeout=timeout)
            published.append(content)

        async with read.subscribe(overflow="block", buffer=1) as inbox:
            await publish("first")
            others = [asyncio.create_task(publish(f"ahead {n}")) for n in range(ahead)]
            await idle()

            async def work() -> None:
                task = asyncio.current_task()
                assert task is not None
                others.extend(asyncio.create_task(publish(f"behind {n}")) for n in range(behind))
                await publish("it")

            taken: list[object] = []

            def take() -> None:
                if inbox.waiting:
                    taken.append(inbox.receive_nowait().content)

            async def settle() -> None:
                await idle()
                while inbox.waiting:
                    take()
                    await idle()

            def check() -> None:
                assert taken == published == [message.content for message in log_of(hub.topic("a:1")).messages]
                assert all(task.done() for task in others)
                expected = ["first", *(f"ahead {n}" for n in range(ahead)), *(f"behind {n}" for n in range(behind))]
                assert [content for content in published if content != "it"] == expected

            before = left(hub)
            before["tasks"] = began["tasks"]
            for name, log in list(before.items()):
                if isinstance(log, dict):
                    held = log | {"blocked": 0, "queue": 0}
                    del before[name]
                    before |= {name: held} if any(held.values()) else {}
            before["timers"] = began["timers"]
            yield Scene(hub, work, take, settle, check, before)
        assert "a:1" not in left(hub)


@pytest.mark.parametrize(("subscribed", "timeout"), [("a:1", None), ("a:*", 3600)])
@pytest.mark.parametrize(("ahead", "behind"), [(0, 0), (0, 2), (2, 0), (2, 2)])
async def test_publishing_under_block(ahead: int, behind: int, timeout: float | None, subscribed: str) -> None:
    assert await at_every_point(partial(publishing, ahead, behind, timeout, subscribed)) >= 1


async def test_publishing_takes_at_most_its_timeout() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=1, block_timeout=3600) as inbox:
            await topic.publish(1)
            before = left(hub)
            for timeout in (0, 0.001):
                with pytest.raises(telex.Timeout, match="publishing to 'a' took longer"):
                    await topic.publish(2, timeout=timeout)
                assert left(hub) == before
            head = asyncio.create_task(topic.publish(2))
            await idle()
            with pytest.raises(telex.Timeout):
                await topic.publish(3, timeout=0.001)
            assert inbox.receive_nowait().content == 1
            await head
            assert left(hub) == before
            assert inbox.ended is None


# -- closing


@asynccontextmanager
async def closing(block: bool) -> AsyncIterator[Scene]:  # noqa: C901  # many little functions
    """A hub with all that can be waiting when it is closed."""
    gates: list[asyncio.Future[None]] = []

    async def pass_gate() -> None:
        gates.append(asyncio.get_running_loop().create_future())
        await gates[-1]

    def let_on() -> None:
        for gate in gates:
            if not gate.done():
                gate.set_result(None)

    hub = telex.Hub(close_timeout=3600, lifespan=lambda hub: after(pass_gate))
    hub.topic("work:1")
    hub.topic("done")
    outcomes: list[object] = []

    @hub.on("work:*", concurrency=2, buffer=2, overflow="block" if block else "drop_newest")
    async def work(content: int) -> None:
        await pass_gate()
        await hub.topic("done").publish(content)

    @hub.on("done")
    async def done(content: int) -> None:
        await pass_gate()

    @hub.on(str, run_in="loop")
    def never(content: str) -> None: ...

    before = left(hub)
    await hub.__aenter__()
    topic = hub.topic("work:1")
    inbox = topic.subscribe()
    await inbox.__aenter__()

    async def outcome(of: Awaitable[object]) -> None:
        try:
            outcomes.append(await of)
        except telex.Closed as error:
            outcomes.append(error)

    async def read() -> None:
        async for _ in inbox:
            pass

    others = [asyncio.create_task(outcome(topic.publish(number))) for number in range(8)]
    others += [asyncio.create_task(outcome(hub.topic("quiet").subscribe().__aenter__())), asyncio.create_task(read())]
    await idle()

    def check() -> None:
        assert all(task.done() for task in others)
        assert hub.closed

    yield Scene(hub, hub.aclose, let_on, check=check, before=before)


@asynccontextmanager
async def after(step: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    yield
    await step()


@pytest.mark.slow
@pytest.mark.parametrize("block", [False, True])
async def test_closing(block: bool) -> None:
    assert await at_every_point(partial(closing, block)) >= 3


async def test_handlers_that_hang_are_cancelled_after_close_timeout(caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub(close_timeout=0.001)
    before = left(hub)
    cancelled = []

    @hub.on("a")
    async def hangs(content: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(content)
            raise

    async with hub:
        for number in range(3):
            await hub.topic("a").publish(number)
        await idle()
    assert cancelled == [0]
    assert left(hub) == before
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["the hub was closed with unfinished messages and commands after 0.001 s: 3"]


async def test_a_handler_that_swallows_its_cancellation_does_not_hold_up_closing() -> None:
    hub = telex.Hub(close_timeout=0)
    before = left(hub)
    handled = []

    @hub.on("a")
    async def stubborn(content: int) -> None:
        handled.append(content)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    @hub.on("a", concurrency=2)
    async def two_of_them(content: int) -> None:
        await stubborn(content)

    async with hub, hub.topic("a").subscribe() as companion:
        for number in range(9):
            hub.topic("a").publish_nowait(number)
        await idle()
        assert companion.waiting == 9
    assert sorted(handled) == [0, 0, 1]
    assert left(hub) == before


# -- from another thread


async def test_cancelling_a_publisher_in_another_thread() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=1) as inbox:
            await topic.publish(1)
            before = left(hub)
            future = in_a_thread(lambda: topic.publish_threadsafe(2))
            await idle()
            assert left(hub) != before
            assert future.cancel()
            await idle()
            assert left(hub) == before
            assert inbox.receive_nowait().content == 1
            await idle()
            with pytest.raises(telex.WouldBlock):
                inbox.receive_nowait()


async def test_the_clock_of_these_tests(loop_name: str) -> None:
    if loop_name == "asyncio":
        clock = Clock()
        woken = asyncio.create_task(asyncio.sleep(5))
        await idle()
        assert not woken.done()
        await clock.forward(5)
        assert woken.done()
