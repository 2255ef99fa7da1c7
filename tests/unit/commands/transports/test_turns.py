"""The calls that one turn of the event loop may make: bounded by number and by time."""

import pytest

from telex.commands.transports import turns
from telex.commands.transports.turns import MAX_TURN_SECONDS, TurnBudget
from telex.topics.publisher import FAIR


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(turns, "monotonic", lambda: now[0])
    return now


def test_a_new_budget_has_a_whole_turn(now: list[float]) -> None:
    budget = TurnBudget()
    assert (budget.spent, budget.nested, budget.scheduled) == (False, False, 0)


def spent_after_each(budget: TurnBudget, calls: int) -> list[bool]:
    """Count calls, and return whether the turn was spent after each of them."""
    spent = []
    for _ in range(calls):
        budget.count()
        spent.append(budget.spent)
    return spent


def test_a_turn_makes_a_bounded_number_of_calls(now: list[float]) -> None:
    budget = TurnBudget()
    for _ in range(2):
        budget.begin()
        assert spent_after_each(budget, FAIR + 1) == [False] * (FAIR - 1) + [True, True]


def test_a_turn_is_over_after_its_time(now: list[float]) -> None:
    budget = TurnBudget()
    budget.begin()
    now[0] += MAX_TURN_SECONDS * 0.9
    assert spent_after_each(budget, 1) == [False]
    now[0] += MAX_TURN_SECONDS * 0.2
    assert spent_after_each(budget, 1) == [True]
    budget.begin()
    assert not budget.spent
    assert spent_after_each(budget, 1) == [False]
