"""Publishing from other threads: the future has the message or the error, in the order of the thread's calls."""

import asyncio
import threading
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import telex
from tests.support.loops import idle
from tests.support.shell import in_a_thread


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


async def test_publishing_threadsafe_in_the_hub_s_own_thread_is_done_at_once() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("numbers")
        assert topic.publish_threadsafe(1).result(timeout=0).content == 1
        async with topic.subscribe(overflow="block", buffer=1):
            topic.publish_nowait(2)
            with pytest.raises(telex.WouldBlock):
                topic.publish_threadsafe(3).result(timeout=0)


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
async def test_a_message_that_is_not_due_yet_is_cancelled(scheme: str, tmp_path: Path) -> None:
    async with telex.Hub("memory://" if scheme == "memory" else f"sqlite:///{tmp_path}/a.db") as hub:
        topic = hub.topic("reminders")
        sent = await topic.publish("later", delay="1h")
        assert await topic.cancel("unknown") is False
        assert await topic.cancel(sent.id, timeout=10) is True
        assert await topic.cancel(sent.id) is False
        with pytest.raises(telex.BadName, match="pattern"):
            await hub.topic("reminders:*").cancel(sent.id)
        with pytest.raises(telex.BadOption, match="id"):
            await topic.cancel("")
