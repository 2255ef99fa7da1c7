"""Each policy, by examples that documentation could give; the machines of test_accounts.py do the rest."""

from typing import Any

import pytest

from telex import Lost, Message
from telex.log.cursor import Cursor
from telex.log.log import Log, Retention
from telex.log.options import Options, Overflow
from telex.log.state import State


def log_of(count: int = 0) -> Log:
    log = Log("a", "epoch", Retention(), 1)
    publish(log, *["a"] * count)
    return log


def publish(log: Log, *contents: Any) -> None:
    for content in contents:
        log.append(Message(content, "a", log.end, 1, 0.0), 0.0)


def taken(cursor: Cursor) -> list[int | Lost]:
    """All that it gives: the numbers of messages, and holes."""
    items: list[int | Lost] = []
    while not isinstance(item := cursor.take(), State):
        items.append(item.seq if isinstance(item, Message) else item)
    return items


def accounts(cursor: Cursor) -> tuple[int, int, int, int]:
    return cursor.published, cursor.received, cursor.lost, cursor.waiting


@pytest.mark.parametrize(
    ("overflow", "given"),
    [
        ("drop_newest", [1, 2, 3, Lost(7, 4, 10)]),
        ("drop_oldest", [Lost(7, 1, 7), 8, 9, 10]),
        ("latest", [Lost(9, 1, 9), 10]),
        ("close", [1, 2, 3, Lost(7, 4, 10)]),
        ("catch_up", list(range(1, 11))),
    ],
)
def test_a_subscriber_that_takes_nothing_gets_the_messages_of_its_policy(
    overflow: Overflow, given: list[int | Lost]
) -> None:
    log = log_of()
    cursor = Cursor(log, Options(overflow, buffer=3, report_lost=True), 1)
    publish(log, *["a"] * 10)
    assert taken(cursor) == given
    assert (cursor.ended == "slow") == (overflow == "close")
    lost = sum(item.count for item in given if isinstance(item, Lost))
    assert accounts(cursor) == (10, 10 - lost, lost, 0)


@pytest.mark.parametrize("overflow", ["block", "fail"])
def test_publishers_ask_first(overflow: Overflow) -> None:
    log = log_of()
    cursor = Cursor(log, Options(overflow, buffer=2), 1)
    assert log.blocking_cursors == [cursor]
    publish(log, "a")
    assert not cursor.is_full(1)
    publish(log, "a")
    assert cursor.is_full(1)
    cursor.take()
    assert not cursor.is_full(1)
    cursor.end("closed")
    assert not cursor.is_full(1)
    assert log.blocking_cursors == []


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest", "close", "catch_up", "block", "fail"])
def test_the_backlog_does_not_count_and_is_not_dropped(overflow: Overflow) -> None:
    log = log_of(5)
    cursor = Cursor(log, Options(overflow, buffer=2), 1)
    publish(log, "a", "a")
    assert cursor.waiting == 7
    assert cursor.ended != "slow"
    if overflow in ("block", "fail"):
        assert cursor.is_full(1)
    else:
        publish(log, "a", "a")
    dropped = {"drop_oldest": [1, 2, 3, 4, 5, 8, 9], "catch_up": list(range(1, 10))}
    assert taken(cursor) == dropped.get(overflow, list(range(1, 8)))


@pytest.mark.parametrize("options", [Options("latest"), Options("latest", buffer_bytes=9)], ids=["count", "bytes"])
def test_latest_keeps_the_newest_of_what_was_there_before_too(options: Options) -> None:
    cursor = Cursor(log_of(5), options, 1)
    assert accounts(cursor) == (5, 0, 4, 1)
    assert taken(cursor) == [5]


def test_latest_by_key_keeps_the_newest_of_each() -> None:
    log = log_of()
    cursor = Cursor(log, Options("latest", buffer=2, key=lambda m: m.content, report_lost=True), 1)
    publish(log, "x", "y", "x", "x")
    assert cursor.waiting == 2
    publish(log, "z")  # a third key: the one that changed longest ago goes
    assert taken(cursor) == [Lost(3, 1, 3), 4, 5]


def test_a_message_larger_than_the_bytes_never_fits() -> None:
    log = log_of()
    newest = Cursor(log, Options("drop_newest", buffer_bytes=4), 1)
    close = Cursor(log, Options("close", buffer_bytes=4), 1)
    block = Cursor(log, Options("block", buffer_bytes=4), 1)
    assert block.is_full(5)
    assert not block.is_full(4)
    publish(log, "aaaaa", "aaaa")
    assert taken(newest) == [2]
    assert taken(close) == []
    assert close.ended == "slow"


def test_a_smaller_message_may_fit_behind_one_that_did_not() -> None:
    log = log_of()
    cursor = Cursor(log, Options("drop_newest", buffer_bytes=4, report_lost=True), 1)
    publish(log, "aaa", "aaa", "a", "")
    assert taken(cursor) == [1, Lost(1, 2, 2), 3, 4]


def test_drop_oldest_makes_room_in_bytes() -> None:
    log = log_of()
    cursor = Cursor(log, Options("drop_oldest", buffer_bytes=4, report_lost=True), 1)
    publish(log, "aa", "a", "a", "aaa")
    assert taken(cursor) == [Lost(2, 1, 2), 3, 4]
    publish(log, "a", "aaaaa")  # no room is enough, and what was there is gone with it
    assert taken(cursor) == [Lost(2, 5, 6)]
