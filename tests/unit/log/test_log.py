from collections.abc import Iterable

import pytest

from telex import Message
from telex.log.cursor import Cursor
from telex.log.log import Log, Retention
from telex.log.options import Options, Overflow
from telex.log.start import find
from tests.unit.log.test_overflow import publish, taken

NOW = 1_000_000.0


def log_of(retention: Retention, contents: Iterable[str] = (), now: float = NOW) -> Log:
    log = Log("a", "epoch", retention, 1)
    fill(log, contents, now)
    return log


def fill(log: Log, contents: Iterable[str], now: float = NOW) -> None:
    for content in contents:
        log.append(Message(content, "a", log.end, 1, now), now)


def kept(log: Log, now: float = NOW) -> list[int]:
    return [message.seq for message in log.history(now)]


@pytest.mark.parametrize("published", [0, 1, 4, 5, 6, 7, 600, 5000])
def test_the_last_messages_exactly(published: int) -> None:
    log = log_of(Retention(messages=5), "a" * published)
    assert kept(log) == list(range(max(1, published - 4), published + 1))


def test_the_default_is_the_last_thousand() -> None:
    log = log_of(Retention(), "a" * 1000)
    assert kept(log) == list(range(1, 1001))
    fill(log, "a")
    assert kept(log) == list(range(2, 1002))


def test_none_at_all() -> None:
    log = log_of(Retention(messages=0), "a" * 10)
    assert kept(log) == []
    assert log.keep(NOW) == log.end == 11


def test_younger_than_an_age_exactly() -> None:
    log = Log("a", "epoch", Retention(messages=None, age=10.0), 1)
    for second in range(5):
        fill(log, "a", NOW + second)
    assert kept(log, NOW + 9.9) == [1, 2, 3, 4, 5]
    assert kept(log, NOW + 10) == [2, 3, 4, 5]
    assert kept(log, NOW + 13.5) == [5]
    assert kept(log, NOW + 14) == []


def test_expired_messages_do_not_come_back_when_a_clock_goes_back() -> None:
    log = log_of(Retention(messages=None, age=10.0), "aaa")
    assert kept(log, NOW + 10) == []
    assert kept(log, NOW) == []


@pytest.mark.parametrize(
    ("bound", "sizes", "numbers"),
    [
        (10, [5, 5], [1, 2]),
        (10, [5, 6], [2]),
        (10, [1, 5, 5], [2, 3]),
        (10, [10], [1]),
        (10, [11], []),
        (10, [1, 11, 1], [3]),
        (10, [11, 0, 0], [2, 3]),
        (0, [0, 0], [1, 2]),
        (0, [0, 1], []),
        (0, [0, 1, 0], [3]),
    ],
)
def test_the_last_that_fit_in_bytes_exactly(bound: int, sizes: list[int], numbers: list[int]) -> None:
    contents = ["a" * size for size in sizes]
    assert kept(log_of(Retention(messages=None, bytes=bound), contents)) == numbers
    # It makes no difference whether anybody looks in between.
    log = Log("a", "epoch", Retention(messages=None, bytes=bound), 1)
    for content in contents:
        fill(log, [content])
        log.keep(NOW)
    assert kept(log) == numbers


def test_bytes_are_those_of_content_as_it_is_sent() -> None:
    log = Log("a", "epoch", Retention(messages=None, bytes=10), 1)
    for number in range(4):
        message = Message({"n": number}, "a", log.end, 1, NOW)  # {"n":0}: seven bytes
        log.append(message, NOW)
    assert kept(log) == [4]


def test_all_that_are_given_hold_together() -> None:
    log = Log("a", "epoch", Retention(messages=3, age=10.0, bytes=4), 1)
    fill(log, ["a", "a", "a", "a"])
    assert kept(log) == [2, 3, 4]
    fill(log, ["aaa"], NOW + 5)
    assert kept(log, NOW + 5) == [4, 5]
    assert kept(log, NOW + 10) == [5]


def test_expired_messages_do_not_come_back_when_more_are_kept() -> None:
    log = log_of(Retention(messages=2), "a" * 10)
    log.retain(Retention(messages=5))
    assert kept(log) == [9, 10]
    fill(log, "a" * 4)
    assert kept(log) == [10, 11, 12, 13, 14]


def test_less_is_kept_from_the_moment_that_is_said() -> None:
    log = log_of(Retention(), "a" * 10)
    log.retain(Retention(messages=3))
    assert kept(log) == [8, 9, 10]


@pytest.mark.parametrize(
    "retention",
    [Retention(messages=10), Retention(messages=None, bytes=10), Retention(messages=None, age=1.0), Retention()],
    ids=["messages", "bytes", "age", "default"],
)
def test_messages_that_are_not_kept_are_trimmed(retention: Retention) -> None:
    log = Log("a", "epoch", retention, 1)
    longest = 0
    for number in range(20_000):
        fill(log, "a", NOW + number / 100)
        longest = max(longest, len(log.messages))
    assert longest <= 2100


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest", "latest", "close"])
def test_waiting_messages_are_kept_whatever_the_retention(overflow: str) -> None:
    log = Log("a", "epoch", Retention(messages=0), 1)
    cursor = Cursor(log, Options(overflow, buffer=10), *find(log, "new", NOW))  # type: ignore[arg-type]
    fill(log, "a" * 5000)
    waiting = cursor.waiting
    assert waiting == (1 if overflow == "latest" else 10)
    given = []
    while cursor.waiting:
        item = cursor.take()
        assert isinstance(item, Message)
        given.append(item.seq)
    wanted = {"drop_oldest": range(4991, 5001), "latest": [5000]}.get(overflow, range(1, 11))
    assert given == list(wanted)
    assert len(log.messages) <= 600


def test_catch_up_is_bounded_by_retention_alone() -> None:
    log = Log("a", "epoch", Retention(messages=100), 1)
    cursor = Cursor(log, Options("catch_up", buffer=1), *find(log, "new", NOW))
    fill(log, "a" * 100)
    assert (cursor.waiting, cursor.lost) == (100, 0)
    fill(log, "a" * 50)
    assert (cursor.waiting, cursor.lost) == (100, 50)
    item = cursor.take()
    assert isinstance(item, Message)
    assert item.seq == 51


def test_a_thousand_that_take_nothing_hold_a_thousand_references_to_the_same_messages() -> None:
    log = Log("a", "epoch", Retention(messages=0), 1)
    cursors = [Cursor(log, Options("drop_newest", buffer=10), 1) for _ in range(1000)]
    fill(log, "a" * 10_000)
    runs = {id(run) for cursor in cursors for _, run in (cursor.buffer.runs or [])}  # type: ignore[union-attr]
    assert len(runs) == 1


def test_headers_count_as_content_does() -> None:
    def message(log: Log, content: str, header: str) -> Message[str]:
        return Message(content, "a", log.end, 1, NOW, {"h": header} if header else None)

    log = Log("a", "epoch", Retention(messages=None, bytes=10), 1)
    for content, header in (("xxxx", ""), ("x", "é"), ("", "xxxxx"), ("x", "")):
        log.append(message(log, content, header), NOW)
    # 4 bytes, 1 + 1 + 2, 1 + 5, 1: the last two fit, and the one before does not.
    assert [m.size for m in log.history(NOW)] == [6, 1]


@pytest.mark.parametrize("overflow", ["latest", "drop_oldest", "drop_newest", "block", "catch_up"])
@pytest.mark.parametrize("buffer_bytes", [None, 10_000])
def test_waiting_messages_outlive_a_log_that_keeps_nothing(overflow: Overflow, buffer_bytes: int | None) -> None:
    log = Log("a", "epoch", Retention(messages=0), 1)
    options = Options(overflow, buffer=3000, buffer_bytes=buffer_bytes if overflow != "catch_up" else None)
    cursor = Cursor(log, options, 1)
    publish(log, *range(2000))
    kept = {"latest": [2000], "catch_up": []}.get(overflow, list(range(1, 2001)))
    if (overflow, buffer_bytes) != ("drop_oldest", None):  # whose last messages wait in the log
        assert log.base > 1000, "it has let go of most"
    assert [number for number in taken(cursor) if isinstance(number, int)][: len(kept)] == kept
