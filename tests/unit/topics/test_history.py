"""Histories: snapshots and pages, holes and limits."""

from datetime import UTC, datetime, timedelta
from time import time
from typing import Any, cast

import pytest

import telex
from telex import Lost, Position
from telex.engines.contract.store import Extent, FoundStart, Holed, Store
from telex.topics.history import History, Holes, Pages, SinglePage, unexpired
from tests.support.pretend import PretendEngine, Server


@pytest.mark.parametrize("start", ["earliest", timedelta(hours=1), 100, datetime(2020, 1, 1, tzinfo=UTC)])
async def test_only_after_a_position_history_tells_what_is_gone(start: Any) -> None:
    async with telex.Hub(PretendEngine(Server())) as hub:
        topic = hub.topic("a")
        hub.retain("a", messages=2)
        begin = await topic.position()
        for number in range(5):
            await topic.publish(number)
        assert [message.content async for message in topic.history(start=start)] == [3, 4]
        lost, *rest = [message async for message in topic.history(start=begin)]
        assert isinstance(lost, telex.Lost)
        assert (lost.count, len(rest)) == (3, 2)


class Stored:
    """A store of the messages ``first`` up to but not including ``end``; some of them cannot be read."""

    def __init__(self, first: int, end: int, *damaged: int, page: int = 3) -> None:
        self.first, self.last, self.damaged, self.page = first, end, damaged, page
        self.asked: list[tuple[int, int]] = []
        self.limits: list[int] = []
        self.hole: Lost | None = None

    async def find(self, topic: str, start: Any, now: float) -> FoundStart:
        return FoundStart(self.first, self.hole, 0)

    def extent(self, topic: str) -> Extent:
        return Extent(self.first, self.last, self.last - 1, self.last - self.first)

    async def read(self, topic: str, first: int, end: int, limit: int) -> Any:
        self.asked.append((first, end))
        self.limits.append(limit)
        there = range(first, min(end, first + min(self.page, limit)))
        found: list[Any] = [Lost(1, seq, seq, "unreadable") if seq in self.damaged else message(seq) for seq in there]
        return Holed(found) if any(isinstance(item, Lost) for item in found) else found


def message(seq: int) -> telex.Message[int]:
    return telex.Message(seq, "t", seq, 1, 0.0)


def history(store: Stored, start: Any = "earliest", limit: int | None = None) -> History:
    pages: Any = Pages(cast("Store", store), "t", start, limit, lambda: 0.0)
    return History(pages)


async def numbers(history: History) -> list[Any]:
    return [item if isinstance(item, Lost) else item.seq async for item in history]


async def test_a_stored_history_is_read_page_by_page_up_to_its_end() -> None:
    store = Stored(2, 10)
    found = history(store)
    assert (await anext(found)).seq == 2
    assert store.asked == [(2, 10)], "a page is read when it is needed"
    store.last = 99  # published since
    assert await numbers(found) == [3, 4, 5, 6, 7, 8, 9]
    assert store.asked == [(2, 10), (5, 10), (8, 10)]


@pytest.mark.parametrize(
    ("limit", "expected"), [(0, []), (1, [2]), (3, [2, 3, 4]), (4, [2, 3, 4, 5]), (99, list(range(2, 10)))]
)
async def test_a_history_has_at_most_its_limit(limit: int, expected: list[int]) -> None:
    store = Stored(2, 10)
    assert await numbers(history(store, limit=limit)) == expected
    assert all(asked <= limit for asked in store.limits), "no message is read that is not needed"


async def test_an_empty_store_has_no_page() -> None:
    assert await numbers(history(Stored(5, 5))) == []


async def test_messages_that_go_while_they_are_read_end_the_history() -> None:
    store = Stored(2, 10, page=0)
    assert await numbers(history(store)) == []
    assert store.asked == [(2, 10)]


async def test_only_a_history_from_a_position_begins_with_its_hole() -> None:
    store = Stored(5, 7)
    store.hole = Lost(3, 2, 4, "trimmed")
    assert await numbers(history(store, Position(1, "epoch"))) == [store.hole, 5, 6]
    assert await numbers(history(store, 99)) == [5, 6]


async def test_from_a_position_a_damaged_message_is_a_lost() -> None:
    store = Stored(2, 10, 4, 5)
    lost = [Lost(1, seq, seq, "unreadable") for seq in (4, 5)]
    assert await numbers(history(store, Position(1, "epoch"))) == [2, 3, *lost, 6, 7, 8, 9]
    assert await numbers(history(store, Position(1, "epoch"), limit=3)) == [2, 3, *lost, 6], "a hole is no message"


async def test_from_another_start_a_damaged_message_raises_and_the_next_follows() -> None:
    found = history(Stored(2, 8, 3))
    assert (await anext(found)).seq == 2
    with pytest.raises(telex.EngineFailed, match="reading message 3 of 't'"):
        await anext(found)
    assert await numbers(found) == [4, 5, 6, 7]


def test_a_damaged_range_is_named_by_its_ends() -> None:
    holes = Holes("t", [Lost(3, 4, 6, "unreadable"), message(7)])
    with pytest.raises(telex.EngineFailed, match="reading messages 4 to 6 of 't'"):
        next(holes)
    assert next(holes).seq == 7
    with pytest.raises(StopIteration):
        next(holes)


async def test_a_snapshot_is_one_page_and_is_taken_when_it_is_read() -> None:
    kept = [message(1)]

    async def snapshot() -> list[telex.Message[int]]:
        return list(kept)

    found = History(SinglePage(snapshot))
    kept.append(message(2))
    assert (await anext(found)).seq == 1
    kept.append(message(3))
    assert await numbers(found) == [2]
    assert await numbers(found) == []


async def test_a_history_is_iterated_over_with_async_for() -> None:
    found: Any = history(Stored(1, 2))
    with pytest.raises(telex.Misuse, match="async for"):
        list(found)
    with pytest.raises(telex.Misuse, match="async for"):
        await found


@pytest.mark.parametrize("stored", [False, True])
async def test_a_history_leaves_out_messages_that_have_expired(stored: bool) -> None:
    ahead = [0.0]
    async with telex.Hub(PretendEngine(Server()) if stored else "memory://", clock=lambda: time() + ahead[0]) as hub:
        topic = hub.topic("a")
        for number in range(4):
            await topic.publish(number, ttl=None if number % 2 else "10s")
        assert [message.content async for message in topic.history()] == [0, 1, 2, 3]
        ahead[0] = 11.0
        assert [message.content async for message in topic.history()] == [1, 3]
        assert [message.content async for message in topic.history(limit=3)] == [1]


async def test_a_history_continues_after_a_page_that_has_expired() -> None:
    old, gap = telex.Message.new(1, headers={"telex-expires": "5"}), Lost(1, 7, 7, "unreadable")
    pages = iter([[old, old], [old, gap], [], [telex.Message.new(2)]])

    async def page() -> Any:
        found: Any = next(pages, None)
        return None if found is None else unexpired(found, lambda: 10.0, holed=gap in found)

    assert [item if item is gap else item.content async for item in History(page)] == [gap, 2]
