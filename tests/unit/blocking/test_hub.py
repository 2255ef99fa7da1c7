"""The facade for programs that are not async."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import telex


def test_handlers_are_called_and_finish_before_the_hub_closes() -> None:
    handled: list[object] = []
    hub = telex.blocking.Hub(close_timeout=10)
    hub.retain("a:*", messages=2)
    router = telex.Router("a")

    @router.on("*")
    async def slow(content: int) -> None:
        await asyncio.sleep(0)
        handled.append(content)

    @hub.on(str, run_in="loop")
    def text(content: str) -> None:
        handled.append(content)

    hub.include_router(router)
    with hub:
        for number in range(5):
            hub.topic("a:1").publish(number)
        hub.topic("a:1").publish("end")
        assert [m.content for m in hub.topic("a:1").history() if not isinstance(m, telex.Lost)] == [4, "end"]
    assert sorted(map(str, handled)) == ["0", "1", "2", "3", "4", "end", "end"]


def test_a_lifespan_that_fails_leaves_no_thread() -> None:
    @asynccontextmanager
    async def fails(hub: telex.Hub) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    hub = telex.blocking.Hub(lifespan=fails)
    before = threading.active_count()
    with pytest.raises(OSError, match="no database"):
        hub.__enter__()
    assert threading.active_count() == before


def test_use_before_opening_and_after_closing() -> None:
    hub = telex.blocking.Hub()
    with pytest.raises(telex.Closed, match="with hub"):
        hub.topic("a")
    with hub:
        topic = hub.topic("a")
        with pytest.raises(telex.Closed, match="opened once"):
            hub.__enter__()
    hub.close()
    assert hub.closed
    for use in (lambda: topic.publish(1), hub.topics, lambda: topic.subscribe().__enter__()):
        with pytest.raises(telex.Closed, match="it was closed"):
            use()


def test_many_at_once_and_what_waits() -> None:
    with telex.blocking.Hub() as hub, hub.topic("numbers").subscribe() as inbox:
        for number in range(10):
            hub.topic("numbers").publish(number)
        assert inbox.waiting == 10
        assert next(iter(inbox)).content == 0
        assert inbox.waiting == 9
        assert [m.content for m in inbox.receive_many(4)] == [1, 2, 3, 4]
        assert [m.content for m in inbox.receive_many()] == [5, 6, 7, 8, 9]
        assert inbox.ended is None
        with pytest.raises(telex.Timeout):
            inbox.receive_many(timeout=0.001)
        hub.remove("numbers")
        assert inbox.ended is None
        assert hub.topic("numbers").publish(10).seq == 1
        assert inbox.receive(timeout=5).content == 10


def test_closing_in_a_handler_is_refused() -> None:
    hub = telex.blocking.Hub()
    problems: list[Exception] = []

    @hub.on("a", run_in="loop")
    def handler(content: object) -> None:
        try:
            hub.close()
        except telex.WrongThread as error:
            problems.append(error)

    with hub:
        hub.topic("a").publish(1)
    assert len(problems) == 1


async def test_async_with_is_refused() -> None:
    with pytest.raises(telex.Misuse, match="enter it with `with`"):
        async with telex.blocking.Hub():
            raise AssertionError("it was entered")
