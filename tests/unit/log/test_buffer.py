"""The messages in the hands of one cursor, beside a naive list of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex import Message
from telex.log.buffer import NOTHING, Buffer, KeyedRuns, UnloadedRange, through


def message(number: int) -> Message[Any]:
    return Message("a" * (number % 4), "a", number, 1, 0.0)


def run_of(start: int, count: int) -> tuple[Message[Any], ...]:
    return tuple(message(number) for number in range(start, start + count))


def numbers(run: Any) -> list[int]:
    return [each.seq for each in run]


class Model:
    """The numbers in hand: those of the run that is taken, and of each held run."""

    def __init__(self, backlog: int) -> None:
        self.current: list[int] = []
        self.held: list[list[int]] = [list(range(1, backlog + 1))] if backlog else []
        self.live = backlog + 1
        self.end = backlog + 1
        self.taken = 0
        self.last = 0

    def drop(self, count: int) -> tuple[int, int | None]:
        first = None
        for run in (self.current, *self.held):
            while run and run[0] >= self.live and count:
                dropped = run.pop(0)
                if run is self.current and first is None:
                    first = dropped
                count -= 1
        self.held = [run for run in self.held if run]
        return count, first

    def in_hand(self) -> list[int]:
        return self.current + [number for run in self.held for number in run]


STEPS = st.lists(
    st.tuples(st.sampled_from(["hold", "skip", "load", "next", "many", "put back", "drop"]), st.integers(1, 5)),
    max_size=30,
)


def go(buffer: Buffer, model: Model, step: str, count: int) -> None:
    if step == "hold":
        buffer.hold(model.end, run_of(model.end, count))
        model.held.append(list(range(model.end, model.end + count)))
        model.end += count
    elif step == "skip":
        model.end += count
    elif step == "load":
        if not model.current and model.held:
            model.current = model.held.pop(0)
            assert buffer.load_held() == model.current[0]
            assert numbers(buffer.run) == model.current
    elif step == "next":
        found = [each.seq for _, each in zip(range(count), buffer.current, strict=False)]
        take(model, found, count)
    elif step == "many":
        take(model, numbers(buffer.take_many(count)), count)
    elif step == "put back":
        if model.current:
            model.held.insert(0, model.current)
            model.current = []
        buffer.put_back()
    else:
        assert buffer.drop(count) == model.drop(count)


def take(model: Model, found: list[int], count: int) -> None:
    assert found == model.current[:count]
    del model.current[:count]
    model.taken += len(found)
    model.last = found[-1] if found else model.last


@settings(max_examples=50)
@given(backlog=st.integers(0, 4), steps=STEPS)
def test_the_accounts_are_those_of_a_list(backlog: int, steps: list[tuple[str, int]]) -> None:
    buffer, model = Buffer(1, keyed=False, bytes_counted=True), Model(backlog)
    buffer.live = model.live
    if backlog:
        buffer.hold(1, run_of(1, backlog))
    for step, count in steps:
        go(buffer, model, step, count)
        in_hand = model.in_hand()
        assert (buffer.left, buffer.held) == (len(model.current), len(in_hand))
        assert buffer.place == (in_hand[0] if in_hand else None)
        assert buffer.last == model.last
        assert buffer.taken - buffer.left == model.taken
        assert buffer.held_bytes == sum(message(number).size for number in in_hand if number >= model.live)


def test_bytes_are_not_measured_where_they_bound_nothing() -> None:
    buffer = Buffer(1, keyed=False, bytes_counted=False)
    buffer.hold(1, run_of(1, 3))
    assert (buffer.count, buffer.bytes) == (3, 0)


def test_a_drop_in_a_loop_ends_at_the_next_message_that_is_left() -> None:
    buffer = Buffer(1, keyed=False, bytes_counted=False)
    buffer.load(1, run_of(1, 5))
    loop = iter(buffer.current)
    assert next(loop).seq == 1
    assert buffer.drop(2) == (0, 2)
    assert next(loop).seq == 4
    assert (buffer.last, buffer.taken, buffer.left) == (4, 3, 1)


def test_a_run_that_was_put_back_is_taken_once() -> None:
    buffer = Buffer(1, keyed=False, bytes_counted=False)
    buffer.load(1, run_of(1, 2))
    buffer.put_back()
    assert buffer.take_many(9) == ()
    assert (buffer.left, buffer.held) == (0, 2)
    assert buffer.load_held() == 1
    assert numbers(buffer.take_many(9)) == [1, 2]


def test_messages_passed_on_as_a_whole_count_as_taken() -> None:
    buffer = Buffer(3, keyed=False, bytes_counted=False)
    buffer.pass_on(8)
    assert (buffer.taken, buffer.last, buffer.next, buffer.left) == (5, 7, 8, 0)


def test_a_run_taken_as_a_whole_is_the_same_tuple() -> None:
    buffer, run = Buffer(1, keyed=False, bytes_counted=False), run_of(1, 4)
    buffer.load(1, run)
    assert buffer.take_many(9) is run
    assert buffer.take_many(9) == ()


# -- ranges that the engine keeps


@settings(max_examples=50)
@given(length=st.integers(1, 8), reaches=st.integers(1, 10), found=st.sets(st.integers(5, 16)))
def test_a_supply_fills_the_front_of_an_unloaded_range(length: int, reaches: int, found: set[int]) -> None:
    buffer = Buffer(5, keyed=False, bytes_counted=False)
    buffer.hold(5, UnloadedRange(length))
    buffer.hold(5 + length, run_of(5 + length, 2))
    end = 5 + min(reaches, length)
    here = [number for number in sorted(found) if number < end]
    assert buffer.supply(5, 5 + reaches, map(message, sorted(found))) == end - 5 - len(here)
    assert buffer.count == len(here) + (5 + length - end) + 2
    filled: list[int] = []
    while buffer.runs and not isinstance(buffer.runs[0][1], UnloadedRange) and buffer.runs[0][0] < end:
        start = buffer.load_held()
        assert start == buffer.run[0].seq
        filled += numbers(buffer.take_many(99))
    assert filled == here
    if end < 5 + length:
        assert buffer.runs
        start, rest = buffer.runs[0]
        assert (start, len(rest), type(rest)) == (end, 5 + length - end, UnloadedRange)


def test_an_unloaded_range_has_a_length_and_no_items() -> None:
    unloaded = UnloadedRange(7)
    assert len(unloaded) == 7
    assert list(unloaded) == []


# -- the newest of each key


def test_the_newest_of_a_key_takes_the_place_of_the_older_message() -> None:
    buffer = Buffer(1, keyed=True, bytes_counted=True)
    assert not buffer.hold_by_key("x", 1, message(1))
    assert not buffer.hold_by_key("y", 2, message(2))
    assert buffer.hold_by_key("x", 3, message(3))
    assert (buffer.count, buffer.held_bytes) == (2, message(2).size + message(3).size)
    assert buffer.place == 2
    assert buffer.drop(1) == (0, None)
    assert buffer.load_held() == 3
    assert numbers(buffer.take_many(9)) == [3]


def test_a_keyed_run_that_was_popped_is_put_back_first() -> None:
    runs = KeyedRuns()
    assert runs.put("x", 1, message(1)) is None
    assert runs.put("y", 2, message(2)) is None
    assert runs.put("x", 3, message(3)) == message(1)
    popped = runs.popleft()
    assert (popped[0], len(runs)) == (2, 1)
    runs.appendleft(popped)
    assert (runs[0], len(runs)) == (popped, 2)
    assert [runs.popleft()[0], runs.popleft()[0]] == [2, 3]


@pytest.mark.parametrize("start", [0, 2])
def test_an_iterator_tells_how_much_is_left_and_takes_a_place(start: int) -> None:
    rest = through((1, 2, 3))
    rest.__setstate__(start)
    assert rest.__length_hint__() == 3 - start
    assert list(rest) == [1, 2, 3][start:]
    assert NOTHING.__length_hint__() == 0
    NOTHING.__setstate__(0)
    assert list(NOTHING) == []
