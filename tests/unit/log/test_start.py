"""The start of a subscription: the first number to read, and the hole before it when that start is gone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex import Lost, Message, Position
from telex.errors import BadOption
from telex.log.log import Log, Retention
from telex.log.start import check_start, find

NOW = 1_000_000.0


def log_of(published: int, kept: int | None = None) -> Log:
    """A log whose message number ``n`` was published at second ``n`` of it."""
    log = Log("a", "epoch", Retention(messages=kept), 1)
    for number in range(1, published + 1):
        log.append(Message("a", "a", number, 1, NOW + number), NOW + number)
    return log


def at(second: float) -> datetime:
    return datetime.fromtimestamp(NOW + second, UTC)


@pytest.mark.parametrize(
    "start", ["new", "earliest", Position(3, "epoch"), datetime.now(UTC), timedelta(0), timedelta(days=1), 0, 1000]
)
def test_a_start_is_accepted_as_it_is(start: Any) -> None:
    assert check_start(start) == start


@pytest.mark.parametrize(
    ("start", "fix"),
    [
        (datetime(2026, 1, 1), "time zone"),  # noqa: DTZ001
        (timedelta(seconds=-1), "must not be negative"),
        (-1, "must not be negative"),
        (True, "give 'new', 'earliest'"),
        (1.5, "give 'new', 'earliest'"),
        (None, "give 'new', 'earliest'"),
        ("epoch:3", "Position.parse"),
        ("latest", "Position.parse"),
    ],
)
def test_another_start_is_refused_with_the_fix(start: object, fix: str) -> None:
    with pytest.raises(BadOption, match=fix) as raised:
        check_start(start)
    assert (raised.value.option, raised.value.value) == ("start", start)


@pytest.mark.parametrize(
    ("start", "first", "hole"),
    [
        ("new", 11, None),
        ("earliest", 6, None),
        (0, 11, None),
        (2, 9, None),
        (5, 6, None),
        (7, 6, Lost(2, 4, 5, "trimmed")),
        (99, 6, Lost(5, 1, 5, "trimmed")),
        (Position(10, "epoch"), 11, None),
        (Position(7, "epoch"), 8, None),
        (Position(5, "epoch"), 6, None),
        (Position(2, "epoch"), 6, Lost(3, 3, 5, "trimmed")),
        (Position(0, "epoch"), 6, Lost(5, 1, 5, "trimmed")),
        (Position(-3, "epoch"), 6, Lost(5, 1, 5, "trimmed")),
        (Position(11, "epoch"), 11, Lost(0, 11, 10, "ahead")),
        (Position(7, "other"), 6, Lost(5, 1, 5, "epoch")),
        (at(8), 8, None),
        (at(8.5), 9, None),
        (at(99), 11, None),
        (at(5.5), 6, None),
        (at(5), 6, Lost(1, 5, 5, "trimmed")),
        (at(1), 6, Lost(1, 5, 5, "trimmed")),
        (timedelta(seconds=2), 9, None),  # the last was published 1 second ago
        (timedelta(seconds=30), 6, Lost(1, 5, 5, "trimmed")),
    ],
    ids=str,
)
def test_a_start_in_a_log_that_keeps_the_last_5_of_10(start: Any, first: int, hole: Lost | None) -> None:
    assert find(log_of(10, kept=5), start, NOW + 11) == (first, hole)


@pytest.mark.parametrize("start", ["new", "earliest", 5, Position(0, "epoch"), at(0), timedelta(1)], ids=str)
def test_an_empty_log_begins_with_its_first_message(start: Any) -> None:
    assert find(log_of(0), start, NOW) == (1, None)


@given(published=st.integers(0, 9), kept=st.integers(0, 9), after=st.integers(0, 9))
def test_a_position_gets_every_later_message_or_its_loss(published: int, kept: int, after: int) -> None:
    log = log_of(published, kept)
    first, hole = find(log, Position(after, "epoch"), NOW)
    lost = 0 if hole is None else hole.count
    if after <= published:
        assert first - lost == after + 1
        assert lost == max(0, published - kept - after)
    else:
        assert (first, hole) == (published + 1, Lost(0, published + 1, published, "ahead"))


def test_the_time_of_a_message_finds_it_although_it_is_rounded() -> None:
    log = Log("a", "epoch", Retention(), 1)
    for number, moment in enumerate((NOW + 0.1234564, NOW + 0.1234576), 1):
        log.append(Message("a", "a", number, 1, moment), moment)
    second = log.messages[1]
    assert find(log, second.timestamp, NOW + 1) == (2, None)
