"""Comparisons of a variable with a value."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import telex
from telex.testing.clock import VirtualClock
from telex.triggers.conditions.compare import Compare, Op
from telex.triggers.conditions.condition import Moment


def test_a_value_that_cannot_be_compared_is_passed_over_by_all_keys(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    value: telex.Variable[Any] = hub.variable("value", 0, object)
    hub.when((hub.rate("m", per="1h", by=lambda m: m.content) >= 1) & (value >= 5), topic="t", rising=True)

    async def main() -> None:
        async with hub, hub.topic("t").subscribe() as inbox:
            for key in "abc":
                await hub.topic("m").publish(key)
            for number in (1, "many", 6):
                await asyncio.sleep(1)
                await value.set(number)
            assert sorted(message.content.key for message in inbox.receive_many_nowait()) == ["a", "b", "c"]
            assert [trigger.failed for trigger in hub.triggers()] == [1]

    clock.run(main())


def held(condition: Compare, *values: Any) -> list[bool]:
    state, found = condition.begin(0.0), list[bool]()
    for value in values:
        state, holds, at = condition.step(state, Moment(0.0, {"x": value}))
        found.append(holds)
        assert at is None, "a comparison changes with its variable only"
    return found


@pytest.mark.parametrize(
    ("op", "holds"),
    [
        (">=", [False, True, True]),
        (">", [False, False, True]),
        ("<=", [True, True, False]),
        ("<", [True, False, False]),
        ("==", [False, True, False]),
        ("!=", [True, False, True]),
    ],
)
def test_a_comparison_holds_on_its_side_of_the_bound(op: Op, holds: list[bool]) -> None:
    assert held(Compare("x", op, 5), 4, 5, 6) == holds
    assert repr(Compare("x", op, 5)) == f"x {op} 5"


@pytest.mark.parametrize(
    ("op", "values", "holds"),
    [
        (">", [30, 31, 26, 25, 30, 31], [False, True, True, False, False, True]),
        (">=", [30, 25, 24.9, 29, 30], [True, True, False, False, True]),
        ("<", [10, 9, 14.9, 15, 9], [False, True, True, False, True]),
        ("<=", [10, 15, 15.1, 11, 10], [True, True, False, False, True]),
    ],
)
def test_a_reached_bound_is_moved_by_the_hysteresis(op: Op, values: list[float], holds: list[bool]) -> None:
    condition = Compare("x", op, 10 if op.startswith("<") else 30).slackened(5)
    assert isinstance(condition, Compare)
    assert held(condition, *values) == holds


@pytest.mark.parametrize("op", ["==", "!="])
def test_an_equality_has_no_hysteresis(op: Op) -> None:
    condition = Compare("x", op, "text")
    assert condition.slackened(5) is condition


@pytest.mark.parametrize("bound", ["text", True, None, [1]])
def test_hysteresis_needs_a_number(bound: object) -> None:
    with pytest.raises(telex.BadOption, match="comparison of numbers") as raised:
        Compare("x", ">=", bound).slackened(5)
    assert raised.value.option == "hysteresis"


def test_a_change_matters_when_it_passes_a_bound() -> None:
    condition = Compare("x", ">=", 10).slackened(5)
    assert condition.minds("x", 9, 10)
    assert condition.minds("x", 5, 4), "the bound that ends it"
    assert not condition.minds("x", 6, 9)
    assert not condition.minds("x", 10, 99)
    assert not condition.minds("y", 9, 10)
    assert condition.minds("x", 9, "text"), "the comparison itself tells of the error"


def test_a_state_is_kept_only_between_two_bounds() -> None:
    plain, slack = Compare("x", ">=", 10), Compare("x", ">=", 10).slackened(5)
    assert [plain.rests(state, 0.0) for state in (False, True)] == [True, True]
    assert [slack.rests(state, 0.0) for state in (False, True)] == [True, False]


def test_a_comparison_names_its_variable_and_measures_it() -> None:
    condition = Compare("x", ">=", 10)
    assert condition.variables == {"x"}
    assert not condition.sources
    assert condition.measures(True, Moment(0.0, {"x": 12, "y": 3})) == {"x": 12}
    assert condition.under("shop") is condition, "a variable is the hub's"


@settings(max_examples=50)
@given(st.sampled_from([">=", ">", "<=", "<"]), st.integers(-5, 5), st.integers(0, 4), st.lists(st.integers(-10, 10)))
def test_a_change_that_does_not_matter_changes_nothing(op: Op, bound: int, slack: int, values: list[int]) -> None:
    condition = Compare("x", op, bound, slack)
    for before, value in pairwise(values):
        for state in (False, True):
            first = condition.step(state, Moment(0.0, {"x": before}))
            if not condition.minds("x", before, value):
                assert condition.step(first[0], Moment(0.0, {"x": value}))[1] == first[1]
