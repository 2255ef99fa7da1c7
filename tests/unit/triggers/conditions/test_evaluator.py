"""The memory of keys, and its duration."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.message import Message
from telex.triggers.conditions.compare import Compare
from telex.triggers.conditions.condition import Condition, Moment, Source, Step
from telex.triggers.conditions.evaluator import ConditionEvaluator, Fired
from telex.triggers.conditions.stream import Counted, Rate, Silence


def by_content(message: Message[Any]) -> object:
    return message.content


A, B = Counted(Rate("a", 1, by_content), ">=", 1), Counted(Rate("b", 1, by_content), ">=", 1)


def feed(fold: ConditionEvaluator, *events: tuple[float, str, str]) -> list[tuple[float, str | None]]:
    fired = fold.look(0.0)
    for time, topic, key in events:
        message: Message[Any] = Message(key, topic, 1, 1, time)
        fired += fold.feed(Source(topic, by_content), [message])
    return [(instant, key) for instant, key, *_ in fired if key == "k"]


OTHERS = [(time, "a", f"other {time}") for time in (5.0, 6.0, 7.0, 8.0)]


@pytest.mark.parametrize(
    ("condition", "then", "fired"),
    [
        (A.throttle(100), (10.0, "a", "k"), [(0.0, "k")]),
        (A.throttle(10), (10.0, "a", "k"), [(0.0, "k"), (10.0, "k")]),
        (A.times(2), (10.0, "a", "k"), [(10.0, "k")]),
        (A.then(B, within=100), (10.0, "b", "k"), [(10.0, "k")]),
        (A.then(B, within=9), (10.0, "b", "k"), []),
        (A.then(Silence("b", 20, by_content), within=100), (30.0, "b", "x"), [(20.0, "k")]),
    ],
    ids=repr,
)
def test_a_key_is_not_forgotten_while_it_matters(
    condition: Condition, then: tuple[float, str, str], fired: list[tuple[float, str]]
) -> None:
    assert feed(ConditionEvaluator(condition, 0.0, {}), (0.0, "a", "k"), *OTHERS, then) == fired


@pytest.mark.parametrize("condition", [A, A.throttle(3), A.then(B, within=3), A.debounce(0.5), A | B], ids=repr)
def test_a_key_is_forgotten_when_it_does_not(condition: Condition) -> None:
    fold = ConditionEvaluator(condition, 0.0, {})
    feed(fold, *((float(time), "a", f"key {time}") for time in range(1000)))
    assert len(fold) < 10
    assert len(fold.alarms) < 100
    assert fold.forgotten == 0


def test_a_key_that_matters_is_forgotten_for_want_of_room() -> None:
    fold = ConditionEvaluator(A.throttle(1000), 0.0, {}, keys=10)
    feed(fold, *((float(time), "a", f"key {time}") for time in range(100)))
    assert (len(fold), fold.forgotten) == (10, 90)


def test_a_key_in_use_is_not_the_one_that_is_forgotten() -> None:
    fold = ConditionEvaluator(A.throttle(1000), 0.0, {}, keys=10)
    for time in range(100):
        feed(fold, (float(time), "a", "k"), (float(time), "a", f"key {time}"))
    assert len(fold) == 10
    assert feed(fold, (101.0, "a", "k")) == [], "it is known still that it fired"


@pytest.mark.parametrize("condition", [Counted(Rate("a", 9, by_content), ">=", 2), A.times(2)], ids=repr)
def test_a_key_is_its_text(condition: Condition) -> None:
    fold = ConditionEvaluator(condition, 0.0, {})
    fired = []
    contents: list[object] = [None, 1, "None", "1", []]
    for time, content in enumerate(contents):
        message: Message[Any] = Message(content, "a", 1, 1, 3.0 * time)
        fired += fold.feed(Source("a", by_content), [message])
    assert [(instant, key) for instant, key, *_ in fired] == [(6.0, "None"), (9.0, "1")]


def test_a_message_that_follows_counts_once() -> None:
    fold = ConditionEvaluator(A.then(B, within=100), 0.0, {})
    fired = feed(
        fold, (0.0, "a", "k"), (2.0, "b", "k"), (4.0, "b", "k"), (6.0, "a", "k"), (6.5, "a", "k"), (8.0, "b", "k")
    )
    assert fired == [(2.0, "k"), (8.0, "k")]


def test_times_do_not_go_back() -> None:
    fold = ConditionEvaluator(A.throttle(5), 0.0, {})
    assert feed(fold, (10.0, "a", "k"), (3.0, "a", "k"), (12.0, "a", "k")) == [(10.0, "k")]
    assert fold.now == 12.0


def test_a_key_at_rest_is_not_forgotten_when_a_variable_may_wake_it() -> None:
    fold = ConditionEvaluator(A | Compare("x", ">=", 1), 0.0, {"x": 0})
    assert feed(fold, (0.0, "a", "k"), *OTHERS) == [(0.0, "k")]
    assert Fired(9.0, "k", 1.0, {"a": 0, "x": 1}) in fold.change("x", 1, 9.0)


@pytest.mark.slow
@given(st.lists(st.integers(0, 9), max_size=20), st.integers(0, 3), st.booleans())
def test_a_change_that_passes_no_bound_is_not_looked_at_for_each_key(
    values: list[int], slack: int, also_high: bool
) -> None:
    steps = []

    class Looked(Compare):
        def step(self, state: bool, moment: Moment) -> Step:
            steps.append(moment.now)
            return super().step(state, moment)

    x: Condition = Looked("x", ">=", 4, slack)
    condition = Silence("a", 5, by_content) & (x | Compare("x", "==", 1) if also_high else x)
    folds = (
        ConditionEvaluator(condition, 0.0, {"x": 0}),
        [ConditionEvaluator(condition, 0.0, {"x": 0}) for _ in range(10)],
    )
    for number in range(10):
        message: Message[Any] = Message(number, "a", 1, 1, 0.0)
        for fold in (folds[0], folds[1][number]):
            fold.feed(Source("a", by_content), [message])
    before = 0
    for now, value in enumerate(values):
        steps.clear()
        one = folds[0].change("x", value, float(now))
        looks = len(steps)
        steps.clear()
        each = [fired for fold in folds[1] for fired in fold.change("x", value, float(now))]
        assert sorted(one) == sorted(each)
        if now != 5 and {before, value} <= {5, 6, 7, 8, 9}:
            assert looks == 0 < len(steps)
        before = value


def test_a_rate_that_was_looked_at_does_not_rise_again() -> None:
    fold = ConditionEvaluator(A, 0.0, {})
    assert feed(fold, (0.0, "a", "k")) == [(0.0, "k")]
    assert fold.look(0.5) == []


times = st.lists(st.integers(0, 200), min_size=1, max_size=120).map(lambda found: [n / 4 for n in sorted(found)])


@pytest.mark.slow
@given(
    times,
    st.lists(st.integers(1, 40), min_size=120, max_size=120),
    st.integers(1, 12),
    st.integers(0, 11),
    st.booleans(),
)
def test_a_rate_alone(times: list[float], sizes: list[int], bound: int, slack: int, by_key: bool) -> None:
    """Whole batches, against the numbers in the window."""
    on, off, per = bound, bound - min(slack, bound - 1), 5.0
    by = by_content if by_key else None
    wanted, many = [], False
    for number, now in enumerate(times):
        before = sum(time + per > now for time in times[:number])
        many = many and before >= off
        if not many and before + 1 >= on:
            many = True
            wanted.append(Fired(now, "k" if by_key else None, value=on))
    fold = ConditionEvaluator(Counted(Rate("a", per, by), ">=", bound, bound - off), 0.0, {})
    messages: list[Message[Any]] = [Message("k", "a", 1, 1, time) for time in times]
    found: list[Fired] = []
    while messages:
        size = sizes.pop()
        found += fold.feed(Source("a", by), messages[:size])
        messages = messages[size:]
    assert found == wanted


@pytest.mark.slow
@given(st.data(), st.booleans(), st.integers(1, 6), st.integers(0, 5))
def test_how_messages_are_cut_into_batches_does_not_matter(
    data: st.DataObject, by_key: bool, bound: int, slack: int
) -> None:
    """Also of messages that are stored in another order than that of their times."""
    times = [n / 4 for n in data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=40))]
    cuts = data.draw(st.sets(st.integers(1, len(times))))
    by = by_content if by_key else None
    found = []
    for ends in (sorted({*cuts, len(times)}), range(1, len(times) + 1)):
        fold = ConditionEvaluator(Counted(Rate("a", 5.0, by), ">=", bound, min(slack, bound - 1)), 0.0, {})
        messages: list[Message[Any]] = [Message("k", "a", 1, 1, time) for time in times]
        fired = [
            each for start, end in pairwise([0, *ends]) for each in fold.feed(Source("a", by), messages[start:end])
        ]
        found.append((fired, fold.now))
    assert found[0] == found[1]
    assert found[0][1] == max(times)


def test_only_times_that_matter_are_kept() -> None:
    for by in (by_content, None):
        fold = ConditionEvaluator(Counted(Rate("a", 1, by), ">=", 1_000_000), 0.0, {})
        for n in range(1000):
            fold.feed(Source("a", by), [Message("k", "a", 1, 1, n / 10 + part / 1000) for part in range(10)])
        (life,) = fold.lives.values()
        assert 100 <= len(life.state.times) <= 250


def test_a_key_in_use_is_kept_where_rates_are_skimmed() -> None:
    fold = ConditionEvaluator(Counted(Rate("a", 1000, by_content), ">=", 90), 0.0, {}, keys=10)
    fired = []
    for moment in range(100):
        fired += feed(fold, (float(moment), "a", "k"), (float(moment), "a", f"key {moment}"))
    assert len(fold) == 10
    assert fired == [(89.0, "k")]
