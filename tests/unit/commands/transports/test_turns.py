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


def test_a_new_budget_offers_nothing_until_a_turn_begins(now: list[float]) -> None:
    budget = TurnBudget()
    assert not budget.offers()
    budget.begin()
    assert budget.offers()
    assert (budget.nested, budget.scheduled) == (False, 0)


def test_a_turn_makes_a_bounded_number_of_calls(now: list[float]) -> None:
    budget = TurnBudget()
    for _ in range(2):
        budget.begin()
        assert [budget.offers() for _ in range(FAIR + 1)] == [True] * (FAIR - 1) + [False, False]


def test_a_turn_is_over_after_its_time(now: list[float]) -> None:
    budget = TurnBudget()
    budget.begin()
    now[0] += MAX_TURN_SECONDS * 0.9
    assert budget.offers()
    now[0] += MAX_TURN_SECONDS * 0.2
    assert not budget.offers()
    budget.begin()
    assert budget.began == now[0]
    assert budget.offers()
