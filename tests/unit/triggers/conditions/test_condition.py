"""Combined conditions, and how they are shown."""

import asyncio
from typing import Any

import pytest

import telex
from telex.testing.clock import VirtualClock
from telex.topics.subscription import enter
from telex.triggers.conditions.condition import Condition, Moment, Source, Step, earlier, merged
from tests.unit.triggers.parts import waiting


def test_combining(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    a, b = hub.variable("a", 0), hub.variable("b", 0)
    hub.when(((a == 1) | (b == 2)) & ~(b == 1), topic="combined", rising=True)
    hub.when((a == 1).then(b == 1, within="3s"), topic="sequence", rising=True)
    hub.when((a == 1).debounce(3), topic="steady", rising=True)
    hub.when((a == 1).throttle(10), topic="seldom", rising=True)
    hub.when((a == 1).times(3), topic="third", rising=True)
    names = ("combined", "sequence", "steady", "seldom", "third")

    async def main() -> dict[str, list[float]]:
        inboxes = {name: hub.topic(name).subscribe() for name in names}
        async with hub:
            for inbox in inboxes.values():
                enter(inbox)
            for variable, value in (
                (a, 1),
                (b, 1),
                (a, 0),
                (a, 1),
                (b, 0),
                (a, 0),
                (b, 2),
                (a, 1),
                (b, 1),
                (a, 0),
                (b, 0),
                (a, 1),
            ):
                await asyncio.sleep(1)
                await variable.set(value)
            await asyncio.sleep(10)
            return {name: waiting(inbox) for name, inbox in inboxes.items()}

    assert clock.run(main()) == {
        "combined": [1, 5, 7, 12],
        "sequence": [2, 9],
        "steady": [15],
        "seldom": [1, 12],
        "third": [8],
    }


def test_conditions_are_shown_as_they_are_written() -> None:
    hub = telex.Hub()
    a, b, rate = hub.variable("a", 0), hub.variable("b", 0), hub.rate("m:*", per="1m")
    for condition, text in (
        (
            (a >= 1) & ~(b < 2) | (rate >= 3).debounce(5),
            "((a >= 1) & ~(b < 2)) | (rate('m:*', per=60) >= 3).debounce(5)",
        ),
        ((~(a >= 1)).throttle("1h"), "(~(a >= 1)).throttle(3600)"),
        (
            ((a >= 1) | (b == 2)).then(hub.silence("x", longer_than=3), within=4).times(3),
            "((a >= 1) | (b == 2)).then(silence('x', longer_than=3), within=4).times(3)",
        ),
    ):
        assert repr(condition) == text


def test_a_condition_without_its_steps_cannot_be_made() -> None:
    class Unfinished(Condition):
        def begin(self, now: float) -> None:
            return None

    with pytest.raises(TypeError, match=r"rests.*step"):
        Unfinished()  # type: ignore[abstract]


# -- the pure machines, step by step; test_model.py has whole histories


class Told(Condition):
    """Holds as the moments tell, and may change by itself at a time."""

    def __init__(self, name: str = "x", at: float | None = None) -> None:
        self.name = name
        self.at = at

    @property
    def variables(self) -> frozenset[str]:
        return frozenset((self.name,))

    @property
    def sources(self) -> frozenset[Source]:
        return frozenset((Source(self.name),))

    def begin(self, now: float) -> bool:
        return False

    def step(self, state: bool, moment: Moment) -> Step:
        return moment.values[self.name], bool(moment.values[self.name]), self.at

    def rests(self, state: bool, now: float) -> bool:
        return not state

    def measures(self, state: bool, moment: Moment) -> dict[str, Any]:
        return {self.name: moment.values[self.name]}

    def minds(self, variable: str, before: Any, value: Any) -> bool:
        return variable == self.name and before != value

    def _under(self, prefix: str) -> Condition:
        return Told(f"{prefix}:{self.name}", self.at)

    def _slackened(self, hysteresis: float) -> Condition:
        return Told(f"{self.name}/{hysteresis:g}", self.at)

    def __repr__(self) -> str:
        return self.name


X, Y = Told("x"), Told("y")
Seen = list[tuple[bool, float | None]]


def run(condition: Condition, *moments: tuple[float, int, int]) -> Seen:
    """Whether it holds, and the next time, at each moment: its time and the values of x and y."""
    state, found = condition.begin(0.0), Seen()
    for now, x, y in moments:
        state, holds, at = condition.step(state, Moment(now, {"x": x, "y": y}))
        found.append((holds, at))
    return found


def held(condition: Condition, *moments: tuple[float, int, int]) -> list[int]:
    return [int(holds) for holds, _ in run(condition, *moments)]


ALL = [(0.0, 0, 0), (1.0, 0, 1), (2.0, 1, 0), (3.0, 1, 1)]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (X & Y, [0, 0, 0, 1]),
        (X | Y, [0, 1, 1, 1]),
        (~X, [1, 1, 0, 0]),
        (~(X & Y), [1, 1, 1, 0]),
        (~X | Y, [1, 1, 0, 1]),
    ],
    ids=repr,
)
def test_conditions_are_combined_as_in_logic(condition: Condition, expected: list[int]) -> None:
    assert held(condition, *ALL) == expected


def test_the_next_time_is_the_earlier_one_of_the_parts() -> None:
    early, late, never = Told("x", 5.0), Told("y", 9.0), Told("y")
    for one, other, at in ((early, late, 5.0), (late, early, 5.0), (early, never, 5.0), (never, late, 9.0)):
        assert run(one & other, (0.0, 1, 1)) == [(True, at)]
    assert run(never | X, (0.0, 1, 1)) == [(True, None)]


def test_a_sequence_counts_each_begin_once_and_within_its_time() -> None:
    then = X.then(Y, within=5)
    assert held(then, (0, 1, 0), (5, 0, 1), (6, 0, 1), (7, 0, 0), (8, 0, 1)) == [0, 1, 1, 0, 0]
    assert held(then, (0, 1, 0), (5.1, 0, 1)) == [0, 0]
    assert held(then, (0, 1, 1), (1, 0, 0), (2, 0, 1)) == [0, 0, 1], "at one moment neither follows the other"
    assert held(then, (0, 0, 1), (1, 1, 1), (2, 1, 0), (3, 1, 1)) == [0, 0, 0, 1]


def test_a_debounce_waits_without_a_break() -> None:
    assert run(X.debounce(3), (0, 1, 0), (2, 1, 0), (3, 1, 0), (4, 0, 0), (5, 1, 0), (7.9, 1, 0), (8, 1, 0)) == [
        *((False, 3), (False, 3), (True, None), (False, None)),
        *((False, 8), (False, 8), (True, None)),
    ]
    assert run(X.debounce(0), (0, 1, 0)) == [(True, None)]


def test_a_throttle_passes_over_what_comes_too_soon() -> None:
    moments = [(0, 1, 0), (1, 0, 0), (2, 1, 0), (9.9, 1, 0), (9.95, 0, 0), (10, 1, 0), (11, 1, 0)]
    assert held(X.throttle(10), *moments) == [1, 0, 0, 0, 0, 1, 1]


def test_every_third_time_counts() -> None:
    moments = [(float(number), number % 2, 0) for number in range(14)]
    rises = held(X.times(3), *moments)
    assert [number for number, holds in enumerate(rises) if holds] == [5, 11]
    assert held(X.times(1), *moments) == [number % 2 for number in range(14)]


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "3"])
def test_a_number_of_times_is_at_least_1(count: Any) -> None:
    with pytest.raises(telex.BadOption, match="at least 1"):
        X.times(count)


@pytest.mark.parametrize("other", [True, 5, None, "y >= 1"])
def test_a_condition_is_combined_with_conditions_only(other: Any) -> None:
    for combine in (lambda: X & other, lambda: X | other, lambda: X.then(other, within=1)):
        with pytest.raises(telex.BadOption, match="combine conditions with conditions"):
            combine()


def test_a_condition_is_neither_true_nor_false() -> None:
    with pytest.raises(telex.Misuse, match="each comparison in parentheses"):
        bool(X & Y)


WHOLE = [X & Y, X | ~Y, X.then(Y, within=5), (X & Y).debounce(2), (X | Y).throttle(2), X.times(2) & Y]


@pytest.mark.parametrize("condition", WHOLE, ids=repr)
def test_a_combination_has_the_inputs_of_its_parts(condition: Condition) -> None:
    assert condition.variables == {"x", "y"}
    assert condition.sources == {Source("x"), Source("y")}
    assert condition.minds("x", 0, 1)
    assert condition.minds("y", 0, 1)
    assert not condition.minds("y", 1, 1)
    assert not condition.minds("z", 0, 1)
    moment = Moment(1.0, {"x": 1, "y": 1})
    state, _, _ = condition.step(condition.begin(0.0), moment)
    assert condition.measures(state, moment) == {"x": 1, "y": 1}


@pytest.mark.parametrize("condition", WHOLE, ids=repr)
def test_a_copy_changes_the_leaves_and_nothing_else(condition: Condition) -> None:
    assert repr(condition.under("p")) == repr(condition).replace("x", "p:x").replace("y", "p:y")
    assert repr(condition.slackened(2)) == repr(condition).replace("x", "x/2").replace("y", "y/2")


@pytest.mark.parametrize(
    ("condition", "moments", "rests"),
    [
        (X & Y, [(0, 0, 0)], True),
        (X & Y, [(0, 0, 1)], False),
        (X.then(Y, within=5), [(0, 1, 0), (1, 0, 0)], False),
        (X.then(Y, within=5), [(0, 1, 0), (1, 0, 0), (5.1, 0, 0)], True),
        (X.debounce(5), [(0, 1, 0)], False),
        (X.debounce(5), [(0, 1, 0), (1, 0, 0)], True),
        (X.throttle(5), [(0, 1, 0), (1, 0, 0)], False),
        (X.throttle(5), [(0, 1, 0), (5, 0, 0)], True),
        (X.times(2), [(0, 1, 0), (1, 0, 0)], False),
        (X.times(2), [(0, 1, 0), (1, 0, 0), (2, 1, 0), (3, 0, 0)], True),
    ],
)
def test_a_state_rests_when_it_is_as_a_new_one(
    condition: Condition, moments: list[tuple[float, int, int]], rests: bool
) -> None:
    state, now = condition.begin(0.0), 0.0
    assert condition.rests(state, now)
    for now, x, y in moments:
        state, _, _ = condition.step(state, Moment(now, {"x": x, "y": y}))
    assert condition.rests(state, now) is rests


@pytest.mark.parametrize(
    ("one", "other", "first"), [(None, None, None), (1, None, 1), (None, 2, 2), (2, 1, 1), (1, 2, 1)]
)
def test_never_is_later_than_any_time(one: float | None, other: float | None, first: float | None) -> None:
    assert earlier(one, other) == first


def test_of_two_counts_of_one_pattern_the_larger_is_measured() -> None:
    assert merged({"a": 1, "b": 5}, {"a": 2, "b": 3, "c": 4}) == {"a": 2, "b": 5, "c": 4}
