"""A hub's life: opening, its lifespan, topics, closing, and publishing from other threads."""

import asyncio
import logging
import sqlite3
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.engines import EngineEvents
from telex.engines.memory.engine import MemoryEngine
from telex.hub import runtime_of, scheduler_of
from tests.support.loops import idle
from tests.support.shell import Clock, in_a_thread

moves_time = pytest.mark.parametrize("loop_name", ["asyncio"])  # whose clock can be moved


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "telex.handlers" and r.levelno >= logging.WARNING]


# -- topics


async def test_a_topic_is_the_same_every_time() -> None:
    hub = telex.Hub()
    topic = hub.topic("a:1")
    assert hub.topic("a:1", list[int]) is topic
    assert hub.topic("a:1", list[int]) is topic
    async with hub:
        assert hub.topic("a:1") is topic
        assert hub.topic("a:*") is hub.topic("a:*")
        hub.topic("b", int)
        hub.topic("c")
        assert await hub.topics() == ["a:1", "b"], "what was only looked up is not there"
        assert await hub.topics("a:>") == ["a:1"]
        with pytest.raises(telex.ContentError):
            await topic.publish(["text"])


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


@pytest.mark.parametrize("where", ["memory://", pytest.param("sqlite:///{}/a.db", marks=pytest.mark.slow)])
async def test_a_topic_for_which_only_handlers_wait_is_not_there(where: str, tmp_path: Path) -> None:
    hub, got = telex.Hub(where.format(tmp_path)), asyncio.Queue[int]()
    hub.on("a")(got.put_nowait)
    async with hub:
        for number in range(2):
            await hub.topic("a").publish(number)
            assert await hub.topics() == ["a"]
            assert await got.get() == number
            assert [await hub.remove("a") for _ in range(3)] == [True, False, False]
            assert await hub.topics() == []


async def test_a_topic_that_is_removed_while_the_hub_closes() -> None:
    hub, removed = telex.Hub(), asyncio.Event()

    @hub.on("a")
    async def handler(content: int) -> None: ...

    async with hub:
        stop = scheduler_of(hub).stop

        async def slowly() -> None:
            runtime_of(hub).topics.removed("a")  # as when another process has done it
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

    @hub.on(int)
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
    assert warnings(caplog) == ["the hub was closed with 2 messages that its handlers had not finished in 20 s"]


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
        async def open(self, events: EngineEvents) -> None:
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


@pytest.mark.slow
async def test_publishing_from_threads() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")

        def publish(first: int) -> list[telex.Message[Any]]:
            futures = [topic.publish_threadsafe(number) for number in range(first, first + 100)]
            return [future.result(30) for future in futures]

        async with topic.subscribe() as inbox:
            sent = await asyncio.gather(*[asyncio.to_thread(publish, first) for first in (0, 1000, 2000)])
            got = [inbox.receive_nowait() for _ in range(300)]
        for messages in sent:
            own = [message for message in got if message.content // 1000 == messages[0].content // 1000]
            assert own == messages  # its order is kept
        assert sorted(message.seq for message in got) == list(range(1, 301))


async def test_an_error_of_publishing_comes_from_the_future() -> None:
    async with telex.Hub() as hub:
        topic: telex.Topic[Any] = hub.topic("a", int)
        with pytest.raises(telex.ContentError):
            await asyncio.wrap_future(await asyncio.to_thread(topic.publish_threadsafe, "text"))


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "sqlite"])
async def test_a_thread_publishes_for_later(tmp_path: Path, kept: bool) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/later.db" if kept else "memory://") as hub:
        topic = hub.topic("a")

        def publish(content: str, **when: Any) -> telex.Message[Any]:
            return topic.publish_threadsafe(content, **when).result(30)

        async with topic.subscribe() as inbox:
            now = datetime.now(UTC)
            for when in ({"delay": "1d"}, {"at": now + timedelta(days=1)}):
                assert (await asyncio.to_thread(publish, "tomorrow", **when)).seq == 0
            for due in ({"delay": 0}, {"at": now}):
                await asyncio.to_thread(publish, "now", **due)
            await asyncio.to_thread(publish, "last")
            assert [(await inbox.receive(timeout=30)).content for _ in range(3)] == ["now", "now", "last"]
        assert topic.statistics().published == 3


async def test_mistakes_of_publishing_for_later_come_from_the_future() -> None:
    async with telex.Hub() as hub:
        topic, now = hub.topic("a"), datetime.now(UTC)

        def publish(when: dict[str, Any]) -> Future[telex.Message[Any]]:
            return topic.publish_threadsafe(1, **when)

        for mistake in ({"delay": "soon"}, {"at": now.replace(tzinfo=None)}, {"delay": 1, "at": now}):
            with pytest.raises(telex.BadOption):
                await asyncio.wrap_future(await asyncio.to_thread(publish, mistake))
        for when in ({"delay": 1}, {"at": now}):
            refused = publish(when)
            with pytest.raises(telex.WouldBlock, match="for later"):
                refused.result(0)
        assert topic.statistics().published == 0


async def test_a_topic_made_in_another_thread_belongs_to_the_hub_s() -> None:
    async with telex.Hub() as hub:

        def make_and_publish() -> telex.Message[Any]:
            with pytest.raises(telex.WrongThread):
                hub.topic("a").publish_nowait(1)
            return hub.topic("a").publish_threadsafe(2).result(30)

        assert (await asyncio.to_thread(make_and_publish)).content == 2
        assert hub.topic("a").publish_nowait(3).seq == 2


async def test_cancelling_the_future_takes_it_back() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        future = in_a_thread(lambda: topic.publish_threadsafe(1))
        assert future.cancel()
        await idle()
        assert topic.statistics().published == 0
        future = in_a_thread(lambda: topic.publish_threadsafe(2))
        await idle()
        assert not future.cancel()
        assert future.result(0).content == 2


async def test_closing_while_a_thread_publishes() -> None:
    hub = telex.Hub()
    problems: list[BaseException] = []
    published = threading.Event()

    def publish(topic: telex.Topic[int]) -> None:
        number = 0
        try:
            while True:
                topic.publish_threadsafe(number).result(30)
                published.set()
                number += 1
        except telex.Closed as error:
            problems.append(error)

    async with hub:
        working = asyncio.create_task(asyncio.to_thread(publish, hub.topic("a")))
        await asyncio.to_thread(published.wait, 30)
    await working
    assert len(problems) == 1


def test_publishing_after_the_loop_has_ended() -> None:
    hub = telex.Hub()

    async def open_and_forget() -> None:
        await hub.__aenter__()

    topic = hub.topic("a")
    asyncio.run(open_and_forget())
    with pytest.raises(telex.Closed, match="the event loop of its hub has ended"):
        topic.publish_threadsafe(1)
    asyncio.run(hub.aclose())
    with pytest.raises(telex.Closed, match="was closed"):
        topic.publish_threadsafe(1)


async def test_a_second_loop_may_not_subscribe() -> None:
    async with telex.Hub() as hub:

        async def subscribe() -> None:
            async with hub.topic("a").subscribe():
                raise AssertionError("it was entered")

        with pytest.raises(telex.WrongThread, match="subscribe to 'a'"):
            await asyncio.to_thread(asyncio.run, subscribe())
        assert hub.topic("a").statistics().subscribers == 0


@pytest.mark.parametrize("where", ["memory://", pytest.param("sqlite", marks=pytest.mark.slow)])
async def test_topics_that_nobody_reads_and_nothing_was_published_to_are_let_go(where: str, tmp_path: Path) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/a.db" if where == "sqlite" else where) as hub:
        held, left = hub.topic("held"), list[weakref.ref[telex.Topic[Any]]]()
        for number in range(300):
            left.append(weakref.ref(hub.topic(f"x:{number}")))
            async with hub.topic(f"x:{number}").subscribe():
                if not number:
                    assert await hub.topics() == ["x:0"], "somebody reads it"
        assert not [each for each in left if each() is not None]
        assert runtime_of(hub).topics.all() == [held]
        assert await hub.topics() == []
        assert not await hub.remove("held"), "what was only looked up is not there"
        async with held.subscribe():
            assert hub.topic("held") is held
        assert hub.topic("held") is held
        await hub.topic("x:1").publish(1)
        await held.publish(2)
        del held
        kept = [] if where == "sqlite" else [hub.topic("x:1"), hub.topic("held")]
        assert runtime_of(hub).topics.all() == kept, "a file has the messages, and the hub need not"
        assert await hub.topics() == ["held", "x:1"]
        assert hub.topic("held").statistics().published == 1
        assert [message.content async for message in hub.topic("held").history()] == [2]


async def test_a_topic_in_hand_is_fed_and_kept_as_all_are() -> None:
    async with telex.Hub() as hub:
        held = hub.topic("x:1")
        async with hub.topic("x:*").subscribe() as inbox:
            hub.retain("x:1", messages=1)
            await held.publish(1)
            await held.publish(2)
            assert [(await inbox.receive(1)).content for _ in range(2)] == [1, 2]
        assert held.statistics().kept == 1


async def test_a_position_of_a_topic_that_was_let_go_is_good() -> None:
    async with telex.Hub() as hub:
        async with hub.topic("a").subscribe() as inbox:
            position = inbox.position
        del inbox
        await hub.topic("a").publish(1)
        async with hub.topic("a").subscribe(start=position) as again:
            item = await again.receive(1)
            assert isinstance(item, telex.Message)
            assert item.content == 1
        await hub.remove("a")
        assert (await hub.topic("a").position()).epoch != position.epoch


async def test_a_group_gets_what_comes_to_a_topic_that_nobody_else_has(tmp_path: Path) -> None:
    for url in ("memory://", f"sqlite:///{tmp_path}/a.db"):
        hub, got = telex.Hub(url), asyncio.Queue[int]()
        hub.on("a", group="g")(got.put_nowait)
        async with hub:
            await idle()
            async with hub.topic("a").subscribe():
                pass
            await hub.topic("a").publish(1)
            assert await got.get() == 1


@pytest.mark.parametrize("where", ["memory://", "sqlite"])
async def test_patterns_that_nobody_reads_and_nothing_was_published_to_are_let_go(where: str, tmp_path: Path) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/a.db" if where == "sqlite" else where) as hub:
        for number in range(10):
            async with hub.topic(f"x:{number}:*").subscribe():
                pass
        held = hub.topic("y:*")
        async with held.subscribe():
            pass
        assert not runtime_of(hub).topics.patterns
        await hub.topic("y:1").publish(1)
        assert hub.topic("y:*") is held
        async with held.subscribe(start="earliest") as inbox, hub.topic("y:>").subscribe() as other:
            await hub.topic("y:2").publish(2)
            assert [(await inbox.receive(1)).content for _ in range(2)] == [1, 2]
            assert (await other.receive(1)).content == 2
        left = set(runtime_of(hub).topics.patterns)
        expected = set() if where == "sqlite" else {"y:*", "y:>"}
        assert left == expected, "in memory, what was published may be asked for again"


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
