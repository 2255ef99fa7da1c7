"""Batches: a reader waits for the next one, continues with another cursor, and is alone."""

import asyncio
from typing import Any

import pytest

import telex
from telex.log.cursor import Cursor
from telex.log.log import Log, Retention
from telex.log.options import Options
from telex.log.state import State
from telex.topics.batches import Batches
from tests.support.loops import idle


def log_of(*contents: object) -> Log:
    log = Log("a", "epoch", Retention(), 1)
    publish(log, *contents)
    return log


def publish(log: Log, *contents: object) -> None:
    for content in contents:
        log.append(telex.Message(content, "a", log.end, 1, 0.0), 0.0)


async def ends(cursor: Cursor, state: State) -> Cursor:
    assert state is State.ENDED
    raise StopAsyncIteration


def contents(batch: tuple[Any, ...]) -> list[object]:
    return [message.content for message in batch]


async def test_a_batch_has_all_that_waits_up_to_its_limit() -> None:
    log = log_of(1, 2, 3, 4, 5)
    cursor = Cursor(log, Options(), 1)
    batches: Batches[Any] = Batches(cursor, 3, ends, "a")
    assert [contents(await anext(batches)) for _ in range(2)] == [[1, 2, 3], [4, 5]]
    publish(log, 6)
    assert contents(await anext(batches)) == [6]
    cursor.end("closed")
    assert [batch async for batch in batches] == []


async def test_the_cursor_that_waiting_returns_is_read_next() -> None:
    first, second = Cursor(log_of(1), Options(), 1), Cursor(log_of(2), Options(), 1)
    first.end("removed")

    waits: list[Cursor] = []

    async def goes_on(cursor: Cursor, state: State) -> Cursor:
        assert state is State.ENDED
        waits.append(cursor)
        return second

    batches: Batches[Any] = Batches(first, 9, goes_on, "a")
    assert [contents(await anext(batches)) for _ in range(2)] == [[1], [2]]
    publish(second.log, 3)
    assert contents(await anext(batches)) == [3]
    assert waits == [first], "it is read from then on"


class Shell:
    """The observer of a log that wakes nobody."""

    def __init__(self) -> None:
        self.waiters: dict[Any, None] = {}
        self.blocked: dict[Any, None] = {}

    def now(self) -> float:
        return 0.0

    def notify(self) -> None: ...

    def room_made(self) -> None: ...


async def test_a_reader_waits_until_something_comes() -> None:
    async with telex.Hub() as hub, hub.topic("a").subscribe() as inbox:
        reading = asyncio.ensure_future(anext(inbox.batches(10)))
        await idle()
        assert not reading.done()
        await hub.topic("a").publish(1)
        await hub.topic("a").publish(2)
        assert contents(await reading) == [1, 2]


async def test_a_reader_that_is_cancelled_waits_no_more() -> None:
    log = log_of()
    log.observer = Shell()
    batches: Batches[Any] = Batches(Cursor(log, Options(), 1), 3, ends, "a")
    reading = asyncio.ensure_future(anext(batches))
    await idle()
    assert len(log.observer.waiters) == 1
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not log.observer.waiters
    publish(log, 1)
    assert contents(await anext(batches)) == [1]


async def test_two_tasks_may_not_read_the_same_batches() -> None:
    async with telex.Hub() as hub, hub.topic("a").subscribe() as inbox:
        batches = inbox.batches(10)
        reading = asyncio.ensure_future(anext(batches))
        await idle()
        with pytest.raises(telex.Misuse, match="another task iterates them"):
            await anext(batches)
        await hub.topic("a").publish(1)
        assert contents(await reading) == [1]
