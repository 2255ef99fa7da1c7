"""The states of a cursor, as a reader sees them."""

from telex.log.cursor import Cursor
from telex.log.log import NEVER
from telex.log.options import Options
from telex.log.state import EMPTY, ENDED, HOLE, READY, REMOVED, UNLOADED, State
from tests.unit.log.test_overflow import log_of, publish


def test_each_state_says_something_else_about_the_next_message() -> None:
    assert {EMPTY, ENDED, HOLE, READY, UNLOADED} == set(State)
    assert len({state.value for state in State}) == len(State)


def test_a_cursor_of_a_removed_topic_is_empty_first_and_ended_then() -> None:
    log = log_of()
    cursor = Cursor(log, Options(buffer=NEVER), 1)
    assert cursor.load() is EMPTY
    publish(log, "a")
    assert cursor.load() is READY
    cursor.end(REMOVED)
    assert cursor.load() is READY
    cursor.take()
    assert cursor.load() is ENDED
