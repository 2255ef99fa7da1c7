"""A hub's life: opening, its lifespan, topics, closing, and publishing from other threads."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.engines import Decoder, EngineEvents
from telex.engines.memory.engine import MemoryEngine
from telex.hub import runtime_of, scheduler_of
from tests.support.loops import idle
from tests.support.shell import Clock

moves_time = pytest.mark.parametrize("loop_name", ["asyncio"])  # whose clock can be moved


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "telex.handlers" and r.levelno >= logging.WARNING]


# -- topics


async def test_a_removed_topic_is_the_same_topic_in_another_epoch() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        async with topic.subscribe() as inbox, hub.topic(">").subscribe() as wide:
            await topic.publish(1)
            await topic.publish(2)
            before = inbox.position
            assert await hub.remove("a")
            assert not await hub.remove("a")
            assert await hub.topics() == []
            assert hub.topic("a") is topic
            assert (await topic.publish(3)).seq == 1
            assert await hub.topics() == ["a"]
            assert [(await inbox.receive()).content for _ in range(3)] == [1, 2, 3]
            assert [message.content for message in await wide.receive_many()] == [1, 2, 3]
            assert inbox.position == await topic.position()
            assert inbox.position.epoch != before.epoch
            assert inbox.ended is None


async def test_a_topic_that_is_removed_while_the_hub_closes() -> None:
    hub, removed = telex.Hub(), asyncio.Event()

    @hub.on("a")
    async def handler(content: int) -> None: ...

    async with hub:
        stop = scheduler_of(hub).stop

        async def slowly() -> None:
            runtime_of(hub).topics.gap("a", None, "epoch")  # as when another process has done it
            removed.set()
            await stop()

        scheduler_of(hub).stop = slowly  # type: ignore[method-assign]  # the first thing that a hub does as it closes
    assert removed.is_set()


# -- opening and the lifespan


async def test_the_lifespan_is_around_the_handlers() -> None:
    order: list[str] = []

    async def lifespan(hub: telex.Hub) -> AsyncIterator[None]:
        order.append("lifespan begins")
        await hub.topic("a").publish("before handlers")  # the hub is open, and no handler is called yet
        assert hub.statistics().handlers == ()
        yield
        order.append("lifespan ends")
        with pytest.raises(telex.Closed):
            await hub.topic("a").publish("after handlers")

    hub = telex.Hub(lifespan=asynccontextmanager(lifespan))

    @hub.on("a")
    async def handler(content: str) -> None:
        await asyncio.sleep(0)
        order.append(content)

    async with hub, hub.topic("a").subscribe() as inbox:
        await hub.topic("a").publish("handled")
        order.append("body ends")
    assert order == ["lifespan begins", "body ends", "handled", "lifespan ends"]
    assert inbox.ended == "closed"


async def test_a_lifespan_may_be_a_plain_generator_function() -> None:
    order = []

    async def lifespan(hub: telex.Hub) -> AsyncIterator[None]:
        order.append("begins")
        try:
            yield
        finally:
            order.append("ends")

    async with telex.Hub(lifespan=lifespan):
        order.append("body")
    assert order == ["begins", "body", "ends"]


async def test_a_lifespan_that_fails_closes_the_hub() -> None:
    async def fails(hub: telex.Hub) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    hub = telex.Hub(lifespan=fails)
    with pytest.raises(OSError, match="no database"):
        await hub.__aenter__()
    assert hub.closed
    with pytest.raises(telex.Closed, match="opened once"):
        await hub.__aenter__()
    await hub.aclose()


async def test_a_lifespan_that_fails_at_its_end_closes_all_the_same() -> None:
    async def fails(hub: telex.Hub) -> AsyncIterator[None]:
        yield
        raise OSError("no database")

    hub = telex.Hub(lifespan=fails)
    await hub.__aenter__()
    inbox = hub.topic("a").subscribe()
    await inbox.__aenter__()
    with pytest.raises(OSError, match="no database"):
        await hub.aclose()
    assert inbox.ended == "closed"
    await hub.aclose()


async def test_the_body_s_error_is_not_hidden() -> None:
    hub = telex.Hub()
    with pytest.raises(ZeroDivisionError):
        async with hub:
            raise ZeroDivisionError
    assert hub.closed


async def test_a_lifespan_may_ask_for_closing() -> None:
    async def at_its_end(hub: telex.Hub) -> AsyncIterator[None]:
        yield
        await hub.aclose()

    async def at_its_beginning(hub: telex.Hub) -> AsyncIterator[None]:
        await hub.aclose()
        yield

    async with telex.Hub(lifespan=at_its_end):
        pass
    with pytest.raises(telex.Closed, match="closed while it was being opened"):
        async with telex.Hub(lifespan=at_its_beginning):
            raise AssertionError("it was opened")


# -- closing


async def test_closing_lets_handlers_finish_and_what_they_lead_to(caplog: pytest.LogCaptureFixture) -> None:
    hub, got = telex.Hub(), list[tuple[str, int]]()

    @hub.on("step:*")
    async def step(message: telex.Message[int], content: int, hub: telex.Hub) -> None:
        await asyncio.sleep(0)
        got.append((message.topic, content))
        number = int(message.topic.partition(":")[2])
        if number < 3:
            await hub.topic(f"step:{number + 1}").publish(content)  # some of these are made only now

    async with hub:
        for content in range(3):
            await hub.topic("step:0").publish(content)
    assert sorted(got) == [(f"step:{number}", content) for number in range(4) for content in range(3)]
    assert warnings(caplog) == []


async def test_a_task_started_by_a_handler_may_use_the_closing_hub() -> None:
    hub, got = telex.Hub(), list[object]()
    begun, refused_outside = asyncio.Event(), asyncio.Event()
    made = list[telex.Topic[Any]]()
    hub.on("results")(got.append)

    @hub.on("a")
    async def handler(content: int) -> None:
        begun.set()
        for _ in range(5):
            await asyncio.sleep(0)
        results = hub.topic("results")
        async with asyncio.TaskGroup() as group:
            group.create_task(results.publish("by a task"))
        await asyncio.wait_for(results.publish("under a timeout"), 60)
        future = await asyncio.to_thread(results.publish_threadsafe, "by a thread")
        await asyncio.wrap_future(future)
        async with results.subscribe(start="earliest") as inbox:
            got.append((await inbox.receive()).content)
        got.append(await hub.topics())
        made.append(hub.topic("made"))
        await made[0].publish(1)
        await refused_outside.wait()
        await hub.remove("results")

    async with hub:
        hub.topic("a").publish_nowait(1)
        await begun.wait()
        closing = asyncio.create_task(hub.aclose())
        await asyncio.sleep(0)
        for use in refused(hub):
            with pytest.raises(telex.Closed, match="was closed"):
                await use()
        while not made:
            await idle()
        with pytest.raises(telex.Closed, match="was closed"):
            await made[0].publish(2)
        refused_outside.set()
        await closing
        assert made[0].statistics().published == 1
    assert sorted(it for it in got if isinstance(it, str)) == [
        *("by a task", "by a task"),
        *("by a thread", "under a timeout"),
    ]
    assert ["a", "results"] in got


def refused(hub: telex.Hub) -> list[Callable[[], Any]]:
    topic = runtime_of(hub).topics.get("a", None)

    async def publish_nowait() -> None:
        topic.publish_nowait(1)

    async def ask() -> None:
        hub.topic("a")

    async def read() -> None:
        async for _ in topic.history():
            pass

    async def from_a_thread() -> None:
        topic.publish_threadsafe(1)

    uses: list[Callable[[], Any]] = [publish_nowait, ask, read, from_a_thread, hub.topics]
    return [*uses, lambda: topic.publish(1), lambda: topic.subscribe().__aenter__(), lambda: hub.remove("a")]


async def test_nothing_works_after_closing_not_even_for_what_a_handler_left_behind() -> None:
    hub, gate = telex.Hub(), asyncio.Event()
    left: list[asyncio.Task[None]] = []

    async def background() -> None:
        await gate.wait()
        for use in refused(hub):
            with pytest.raises(telex.Closed, match="was closed"):
                await use()

    @hub.on("a")
    async def handler(content: int) -> None:
        left.append(asyncio.create_task(background()))

    async with hub:
        await hub.topic("a").publish(1)
    for use in refused(hub):
        with pytest.raises(telex.Closed, match="was closed"):
            await use()
    gate.set()
    await left[0]


async def test_closing_does_not_wait_for_messages_that_nobody_takes(caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub(close_timeout=3600)

    @hub.on(int, run_in="loop")
    def handler(content: int) -> None: ...

    async with hub:
        await hub.topic("a").publish("nobody takes this")
    assert hub.statistics().unhandled == 1
    assert warnings(caplog) == []


@moves_time
async def test_handlers_have_until_close_timeout(loop_name: str, caplog: pytest.LogCaptureFixture) -> None:
    hub, clock = telex.Hub(close_timeout="20s"), Clock()
    ended: list[str] = []

    @hub.on("a")
    async def slow(content: float) -> None:
        try:
            await asyncio.sleep(content)
            ended.append(f"{content} done")
        except asyncio.CancelledError:
            ended.append(f"{content} cancelled")
            raise

    await hub.__aenter__()
    for seconds in (8, 30, 1):
        await hub.topic("a").publish(seconds)
    closing = asyncio.create_task(hub.aclose())
    await clock.forward(8)
    assert ended == ["8 done"]
    await clock.forward(11.9)
    assert not closing.done()
    await clock.forward(0.2)
    assert closing.done()
    assert ended == ["8 done", "30 cancelled"]
    assert warnings(caplog) == ["the hub was closed with unfinished messages and commands after 20 s: 2"]


@moves_time
async def test_closing_counts_the_commands_that_are_not_finished(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    hub, clock = telex.Hub(close_timeout="20s"), Clock()

    @hub.command("slow", concurrency=1)
    async def slow() -> None:
        await asyncio.sleep(30)

    await hub.__aenter__()
    tickets = [await hub.send("slow") for _ in range(2)]
    closing = asyncio.create_task(hub.aclose())
    await clock.forward(20.1)
    assert closing.done()
    for ticket in tickets:
        with pytest.raises(telex.TelexError):
            await ticket
    assert warnings(caplog) == ["the hub was closed with unfinished messages and commands after 20 s: 2"]


async def test_closing_twice_and_at_the_same_time() -> None:
    hub, got, gate = telex.Hub(), list[int](), asyncio.Event()

    @hub.on("a")
    async def handler(content: int) -> None:
        await gate.wait()
        got.append(content)

    await hub.__aenter__()
    for number in range(3):
        await hub.topic("a").publish(number)
    closings = [asyncio.create_task(hub.aclose()) for _ in range(3)]
    await idle()
    closings[1].cancel()  # one that only waits for the first
    await idle()
    assert [closing.done() for closing in closings] == [False, True, False]
    gate.set()
    await closings[0]
    await closings[2]
    assert got == [0, 1, 2]
    await hub.aclose()
    assert hub.closed


async def test_the_engine_is_closed_last_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    order = []

    class Engine(MemoryEngine):
        async def open(self, events: EngineEvents, decoder: Decoder) -> None:
            order.append("engine opens")

        async def close(self) -> None:
            order.append("engine closes")

    async def lifespan(hub: telex.Hub) -> AsyncIterator[None]:
        order.append("lifespan begins")
        yield
        order.append("lifespan ends")

    monkeypatch.setattr("telex.hub.engine_for", lambda url, clock: Engine())
    hub = telex.Hub(lifespan=lifespan)

    @hub.on("a")
    async def handler(content: object) -> None:
        await asyncio.sleep(0)
        order.append("handled")

    async with hub:
        await hub.topic("a").publish(1)
    await hub.aclose()
    assert order == ["engine opens", "lifespan begins", "handled", "lifespan ends", "engine closes"]


async def test_closing_without_opening() -> None:
    hub = telex.Hub()
    await hub.aclose()
    await hub.aclose()
    assert hub.closed
    with pytest.raises(telex.Closed, match="opened once"):
        await hub.__aenter__()


async def test_subscriptions_end_after_what_they_have() -> None:
    hub = telex.Hub()
    await hub.__aenter__()
    inbox = hub.topic("a").subscribe()
    await inbox.__aenter__()
    waiting = hub.topic("quiet").subscribe()
    await waiting.__aenter__()
    receiver = asyncio.create_task(waiting.receive())
    for number in range(3):
        await hub.topic("a").publish(number)
    await idle()
    await hub.aclose()
    assert [message.content async for message in inbox] == [0, 1, 2]
    with pytest.raises(telex.Closed, match="subscribe again"):
        await receiver
    await inbox.aclose()
    await waiting.aclose()


# -- statistics


async def test_statistics() -> None:
    hub = telex.Hub()

    @hub.on("a:*", int)
    async def handler(content: int) -> None: ...

    async with hub, hub.topic("a:1").subscribe():
        await hub.topic("a:1").publish(1)
        await hub.topic("a:2").publish("text")
        await idle()
        statistics = hub.statistics()
        assert (statistics.topics, statistics.patterns, statistics.subscribers, statistics.unhandled) == (2, 1, 2, 1)
        (one,) = statistics.handlers
        assert (one.pattern, one.handled, one.failed, one.waiting, one.lost) == ("a:*", 1, 0, 0, 0)
        assert one.name.endswith("handler")


# -- other threads


async def history(url: str, topic: str) -> list[object]:
    async with telex.Hub(url) as hub:
        return [message.content async for message in hub.topic(topic).history()]


def forget_recent_ids(file: Path) -> None:
    """As two minutes do."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM telex_ids")


async def test_a_message_imported_twice_is_stored_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    old = datetime.now(UTC) - timedelta(days=400)
    made = [telex.Message.new({"n": n}, topic="t", id=f"order-{n}", timestamp=old) for n in range(5)]
    async with telex.Hub(url) as hub:
        hub.retain("t", messages=4)
        mine = await hub.topic("t").publish("mine", id="given")
        other = await hub.topic("t").publish("other")
    async with telex.Hub(url) as hub:
        assert [message.id for message in await hub.adopt(made[:2])] == ["order-0", "order-1"]
    forget_recent_ids(tmp_path / "a.db")
    async with telex.Hub(url) as hub:
        assert len(await hub.adopt([*made, mine, other, made[3]])) == 3
    forget_recent_ids(tmp_path / "a.db")
    async with telex.Hub(url) as hub:
        assert await hub.adopt(made) == []  # two of them are not kept any more
        assert await hub.topic("t").publish("new", id="order-0") is not None
        await hub.topic("t").publish("again", id="order-4")  # whoever publishes is not held to what was imported
    assert await history(url, "t") == [{"n": 3}, {"n": 4}, "new", "again"]
    async with telex.Hub(url) as hub:
        await hub.remove("t")
        assert len(await hub.adopt(made[:1])) == 1, "a topic that was removed remembers nothing"
