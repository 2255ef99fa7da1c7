"""The bounds of a file's engine, as far as one depends on another."""

import pytest

from telex.engines.sqlite.address import parse
from telex.engines.sqlite.bounds import BOUNDS, FileBounds


def test_a_url_has_the_default_bounds() -> None:
    assert parse("sqlite:///x.db").bounds == BOUNDS == FileBounds()


def test_a_message_outlives_the_longest_pause_of_the_watcher() -> None:
    # Else a process that is told by nobody misses messages that are deleted between two of its looks.
    assert BOUNDS.young_seconds > BOUNDS.watch_seconds
    assert BOUNDS.young_seconds > BOUNDS.rewatch_seconds


def test_pauses_between_reads_grow_and_end_the_wait_within_a_transaction_s_time() -> None:
    assert list(BOUNDS.read_pauses) == sorted(BOUNDS.read_pauses)
    assert 1 < sum(BOUNDS.read_pauses) < BOUNDS.transaction_seconds


def test_one_claim_reaches_the_end_of_a_full_floor() -> None:
    assert BOUNDS.page_messages * BOUNDS.pages >= BOUNDS.floor_messages


def test_bounds_are_not_changed_while_an_engine_uses_them() -> None:
    with pytest.raises(AttributeError):
        BOUNDS.pages = 1  # type: ignore[misc]  # the mistake
