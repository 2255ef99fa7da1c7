"""The place of one subscriber in a log: taking, holes, ends and accounts. Policies are in test_overflow.py."""

import pytest

from telex import Lost, Message
from telex.log.cursor import Cursor
from telex.log.log import Log, Retention, Tuning
from telex.log.options import Options, Overflow
from telex.log.state import State
from tests.unit.log.test_overflow import accounts, log_of, publish, taken


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest", "latest", "block", "close", "catch_up"])
def test_an_ended_cursor_gives_what_it_has_and_counts_no_more(overflow: Overflow) -> None:
    log = log_of()
    cursor = Cursor(log, Options(overflow, buffer=10), 1)
    publish(log, "a", "a", "a")
    cursor.end("removed")
    before = accounts(cursor)
    publish(log, *["a"] * 5000)
    assert accounts(cursor) == before
    assert taken(cursor) == ([3] if overflow == "latest" else [1, 2, 3])
    assert cursor.load() is State.ENDED
    assert cursor.ended == "removed"
    assert cursor not in log.cursors


def test_readers_of_the_same_range_get_the_same_tuple() -> None:
    log = log_of()
    one, other = Cursor(log, Options(), 1), Cursor(log, Options(), 1)
    publish(log, "a", "a", "a")
    assert one.load() is other.load() is State.READY
    assert one.take_many(10) is other.take_many(10)


def far(count: int, last: int) -> Log:
    """The log of this process for a topic of ``count`` messages, of which it has the ``last``."""
    log = Log("a", "epoch", Retention(messages=last), 1, remote=True, tuning=Tuning(slack=1))
    publish(log, *["a"] * count)
    return log


def test_a_hole_before_the_start_is_reported_first_and_counted() -> None:
    cursor = Cursor(log_of(5), Options(), 4, Lost(3, 1, 3, "trimmed"))
    assert accounts(cursor) == (5, 0, 3, 2)
    assert taken(cursor) == [Lost(3, 1, 3, "trimmed"), 4, 5]
    assert accounts(cursor) == (5, 2, 3, 0)


def test_a_reported_hole_is_told_once_and_only_when_found() -> None:
    cursor = Cursor(log_of(1), Options(), 1, Lost(0, 1, 0, "ahead"))
    assert cursor.load() is State.HOLE
    assert cursor.load() is State.HOLE
    assert cursor.tell() == Lost(0, 1, 0, "ahead")
    assert cursor.load() is State.READY
    with pytest.raises(AssertionError, match="only after load"):
        cursor.tell()


def test_many_are_taken_up_to_the_limit_and_never_with_a_hole() -> None:
    log = log_of()
    cursor = Cursor(log, Options("drop_oldest", buffer=4, report_lost=True), 1)
    publish(log, *["a"] * 6)
    assert cursor.take_many(9) == (Lost(2, 1, 2),)
    assert numbers(cursor.take_many(3)) == [3, 4, 5]
    assert numbers(cursor.take_many(3)) == [6]
    assert cursor.take_many(3) is State.EMPTY
    cursor.end("closed")
    assert cursor.take_many(3) is State.ENDED


@pytest.mark.parametrize("overflow", ["block", "latest"])
def test_policies_that_load_one_message_at_a_time_fill_a_batch(overflow: Overflow) -> None:
    log = log_of()
    cursor = Cursor(log, Options(overflow, key=(lambda m: m.content) if overflow == "latest" else None), 1)
    publish(log, "a", "b", "c", "d")
    assert numbers(cursor.take_many(3)) == [1, 2, 3]
    assert numbers(cursor.take_many(3)) == [4]


def numbers(run: object) -> list[int]:
    assert isinstance(run, tuple)
    return [message.seq for message in run]


def test_the_numbers_that_do_not_come_to_this_process_are_lost() -> None:
    log = log_of(2)
    cursor = Cursor(log, Options(report_lost=True), 1)
    log.jump(4, "unreadable")
    publish(log, "a")
    assert taken(cursor) == [1, 2, Lost(4, 3, 6, "unreadable"), 7]
    assert accounts(cursor) == (7, 3, 4, 0)


def test_a_loop_sees_a_jump_although_its_run_is_not_taken() -> None:
    log = log_of(3)
    cursor = Cursor(log, Options(), 1)
    cursor.load()
    limit = cursor.limit
    assert next(cursor.buffer.current).seq == 1
    log.jump(2)
    publish(log, "a")
    assert log.end > limit, "the loop looks again"
    assert taken(cursor) == [2, 3, 6]
    assert cursor.lost == 2


def test_messages_that_only_the_engine_has_are_read_when_their_turn_comes() -> None:
    log = far(10, last=4)
    cursor = Cursor(log, Options("catch_up", report_lost=True), 3)
    assert cursor.load() is State.UNLOADED
    assert cursor.unloaded == (3, 7)
    assert cursor.waiting == 8
    cursor.supply(4, 7, [], "trimmed")  # another range: it was read before this one began
    assert cursor.unloaded == (3, 7)
    cursor.supply(3, 6, [Message("a", "a", number, 1, 0.0) for number in (4, 5)], "unreadable")
    assert cursor.unloaded is None
    assert cursor.take() == Lost(1, 3, 3, "unreadable")
    assert numbers(cursor.take_many(9)) == [4, 5]
    assert cursor.take() is State.UNLOADED
    assert cursor.unloaded == (6, 7)
    cursor.supply(6, 7, [])
    assert taken(cursor) == [Lost(1, 6, 6, "trimmed"), 7, 8, 9, 10]
    assert accounts(cursor) == (8, 6, 2, 0)


def test_the_position_is_that_of_the_last_message_taken() -> None:
    log = log_of(4)
    cursor = Cursor(log, Options("drop_oldest", buffer=2), 1)
    assert cursor.last == 0
    cursor.take()
    assert cursor.last == 1
    publish(log, *["a"] * 5)
    assert cursor.lost > 0
    assert cursor.last == 1, "a reader that resumes here learns of the loss"


def test_the_first_end_stays() -> None:
    log = log_of(1)
    cursor = Cursor(log, Options(), 1)
    cursor.end("removed")
    cursor.end("closed", slow=True)
    assert cursor.ended == "removed"
    assert taken(cursor) == [1]


def test_a_subscriber_ended_as_slow_still_counts_its_losses_until_it_leaves() -> None:
    log = log_of(2)
    cursor = Cursor(log, Options("block", buffer=2), 1)
    cursor.end("closed", slow=True)
    assert log.blocking_cursors == []
    publish(log, "a", "a")
    assert cursor.ended == "slow"
    assert accounts(cursor) == (4, 0, 2, 2)
    cursor.stop()
    publish(log, "a")
    assert accounts(cursor) == (4, 0, 2, 2)


def test_a_closed_cursor_gives_nothing_and_counts_its_rest_as_waiting() -> None:
    log = log_of(3)
    cursor = Cursor(log, Options(), 1)
    cursor.take()
    cursor.close()
    assert cursor.take() is State.ENDED
    assert accounts(cursor) == (3, 1, 0, 2)
    assert (cursor.closed, cursor.ended) == (True, "closed")
    assert not log.cursors


def test_room_is_told_to_the_publishers_that_wait_for_it() -> None:
    class Observer:
        def __init__(self) -> None:
            self.waiters: dict[object, None] = {}
            self.blocked: dict[object, None] = {}
            self.rooms = 0

        def now(self) -> float:
            return 0.0

        def notify(self) -> None: ...

        def room_made(self) -> None:
            self.rooms += 1

    log = log_of()
    log.observer = observer = Observer()
    cursor, free = Cursor(log, Options("block", buffer=2), 1), Cursor(log, Options(), 1)
    publish(log, "a", "a")
    taken(free)
    assert observer.rooms == 0
    cursor.take()
    assert observer.rooms == 1
    cursor.close()
    assert observer.rooms == 2
