"""Conditions against their plain definitions, over whole histories: streams of messages, changes and times at random.

A history is a list of moments; at each grid point there is one without an event first, so that nothing can become true
or false in between. What a condition is at each moment is worked out here from all that came before it, with no state.
"""

import os
from collections.abc import Callable
from itertools import groupby
from math import inf
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.message import Message
from telex.triggers.conditions.compare import Compare, Op
from telex.triggers.conditions.condition import Condition, Debounce, Joined, Not, Source, Then, Throttle, Times
from telex.triggers.conditions.evaluator import ConditionEvaluator, Fired
from telex.triggers.conditions.stream import Counted, Rate, Silence

GRID, END = 0.5, 15.0


class At(NamedTuple):
    """A moment: when, and what came, if anything: a message of a topic with a key, or a change of a variable."""

    time: float
    topic: str = ""
    content: Any = None


# -- the plain definitions: what a condition is at each moment of a history that begins at `start`


Values = dict[str, int]
"""What the variables are before the first moment."""


def plain(condition: Condition, history: list[At], start: float, x: Values) -> list[bool]:
    match condition:
        case Compare():
            return compared(condition, history, x)
        case Counted():
            return counted(condition, history)
        case Silence():
            heard = [
                [start] + [m.time for m in history[: i + 1] if m.topic == condition.source.pattern]
                for i in range(len(history))
            ]
            return [history[i].time >= times[-1] + condition.longer_than for i, times in enumerate(heard)]
        case Not():
            return [not each for each in plain(condition.of, history, start, x)]
        case Joined() | Then():
            one, other = (plain(part, history, start, x) for part in condition.parts)
            if isinstance(condition, Then):
                return followed(one, other, condition.within, history)
            return [(a and b) if condition.both else (a or b) for a, b in zip(one, other, strict=True)]
        case Debounce():
            of = plain(condition.of, history, start, x)
            return [of[i] and history[i].time >= history[run(of, i)].time + condition.wait for i in range(len(of))]
        case Throttle():
            of = plain(condition.of, history, start, x)
            counts: list[int] = []
            for i in rises(of):
                if not counts or history[i].time >= history[counts[-1]].time + condition.period:
                    counts.append(i)
            return [of[i] and run(of, i) in counts for i in range(len(of))]
        case Times():
            of = plain(condition.of, history, start, x)
            counts = rises(of)[condition.count - 1 :: condition.count]
            return [of[i] and run(of, i) in counts for i in range(len(of))]
    raise AssertionError(condition)


def compared(condition: Compare, history: list[At], values: Values) -> list[bool]:
    found, held, x = [], False, values[condition.variable]
    for moment in history:
        x = moment.content if moment.topic == condition.variable else x
        bound, slack = condition.bound, condition.slack if held else 0
        held = {">=": x >= bound - slack, "<=": x <= bound + slack, "==": x == bound}[condition.op]
        found.append(held)
    return found


def counted(condition: Counted, history: list[At]) -> list[bool]:
    found, held = [], False
    for i, moment in enumerate(history):
        heard = [m for m in history[: i + 1] if m.topic == condition.rate.source.pattern]
        number = sum(m.time + condition.rate.per > moment.time for m in heard)
        slack = condition.slack if held else 0
        bound = condition.bound
        held = {
            ">=": number >= bound - slack,
            ">": number > bound - slack,
            "<": number < bound + slack,
            "<=": number <= bound + slack,
        }[condition.op]
        found.append(held)
    return found


def rises(levels: list[bool]) -> list[int]:
    return [i for i, level in enumerate(levels) if level and (i == 0 or not levels[i - 1])]


def fired(
    levels: list[bool], history: list[At], fold: ConditionEvaluator, start: float, key: str | None = None
) -> list[Fired]:
    """When it becomes true, and since when it had not been."""
    found = []
    for i in rises(levels):
        first = i
        while first > 0 and not levels[first - 1]:
            first -= 1
        since = history[first].time if first > 0 else start
        found.append(Fired(history[i].time, key, since if fold.skims is None else inf))
    return found


def run(levels: list[bool], i: int) -> int:
    """Since which moment it holds that holds at ``i``."""
    while i > 0 and levels[i - 1] and levels[i]:
        i -= 1
    return i


def followed(one: list[bool], other: list[bool], within: float, history: list[At]) -> list[bool]:
    firsts, seconds = rises(one), rises(other)
    counts = []
    for i in seconds:
        before = [j for j in firsts if j < i]
        if (
            before
            and not any(before[-1] < k < i for k in seconds)
            and history[i].time <= history[before[-1]].time + within
        ):
            counts.append(i)
    return [level and run(other, i) in counts for i, level in enumerate(other)]


# -- at random

durations = st.integers(1, 8).map(lambda n: n * GRID)
START: Values = {"x": 0, "y": 0}
By = Callable[[Message[Any]], object] | None


def leaves(by: By) -> Any:
    topics, bounds, slacks = st.sampled_from("ab"), st.integers(1, 3), st.integers(0, 2)
    ops: list[Op] = [">=", ">=", ">", "<", "<="]
    rates: Any = st.tuples(topics, durations, st.sampled_from(ops), bounds, slacks).map(
        lambda t: Counted(Rate(t[0], t[1], by), t[2], t[3], t[4] if t[4] < t[3] else 0)
    )
    silences: Any = st.builds(lambda topic, wait: Silence(topic, wait, by), topics, durations)
    compares: Any = st.builds(
        lambda name, op, bound, slack: Compare(name, op, bound, slack if op != "==" else 0),
        st.sampled_from("xy"),
        st.sampled_from([">=", "<=", "=="]),
        st.integers(0, 2),
        slacks,
    )
    return st.one_of(rates, silences) if by is not None else st.one_of(rates, silences, compares, compares)


def combined(of: Any) -> dict[str, Any]:
    return {
        "both": st.builds(Joined, of, of, both=st.just(True)),
        "either": st.builds(Joined, of, of, both=st.just(False)),
        "not": st.builds(Not, of),
        "then": st.builds(Then, of, of, durations),
        "debounce": st.builds(Debounce, of, durations),
        "throttle": st.builds(Throttle, of, durations),
        "times": st.builds(Times, of, st.integers(1, 3)),
    }


def conditions(kind: str, by: By = None) -> Any:
    """Of one combinator over leaves, or leaves alone, or all of them in one another."""
    if kind == "leaf":
        return leaves(by)
    if kind == "any":
        mixed: Any = st.one_of(
            leaves(by), st.builds(lambda op, n: Compare("x", op, n), st.sampled_from([">=", "=="]), st.integers(0, 2))
        )
        return st.recursive(mixed, lambda of: st.one_of(*combined(of).values()), max_leaves=4)
    return combined(leaves(by))[kind]


EXAMPLES = int(os.environ.get("TELEX_EXAMPLES", "30"))
KINDS = ("leaf", *combined(st.none()), "any")
came = st.one_of(
    st.tuples(st.sampled_from("ab"), st.sampled_from("klmn")),
    st.tuples(st.sampled_from("xy"), st.integers(0, 3)),
)
events: Any = st.lists(st.tuples(st.integers(0, int(END / GRID) - 1), came), min_size=5, max_size=40).map(
    lambda found: [At(n * GRID, topic, content) for n, (topic, content) in sorted(found, key=lambda each: each[0])]
)


def history_of(events: list[At], start: float) -> list[At]:
    """Grid points, each before what comes at its time."""
    points = [At(n * GRID) for n in range(int(END / GRID)) if n * GRID >= start]
    return sorted([*points, *events], key=lambda each: (each.time, each.topic != ""))


def fold_over(fold: ConditionEvaluator, events: list[At], by: By) -> list[Fired]:
    fired = fold.look(0.0)
    for (topic, time), together in groupby(events, key=lambda each: (each.topic, each.time * (each.topic in "xy"))):
        if topic in "xy":
            for change in together:
                fired += fold.change(topic, change.content, time)
        elif Source(topic, by) in fold.condition.sources:
            messages: list[Message[Any]] = [Message(each.content, topic, 1, 1, each.time) for each in together]
            fired += fold.feed(Source(topic, by), messages)
    fired += fold.advance(END - GRID)
    return [each._replace(value=None) for each in fired]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), events=events)
@settings(max_examples=EXAMPLES)
def test_a_condition_is_what_its_definition_says(kind: str, data: st.DataObject, events: list[At]) -> None:
    condition: Condition = data.draw(conditions(kind))
    history = history_of(events, 0.0)
    levels = plain(condition, history, 0.0, START)
    fold = ConditionEvaluator(condition, 0.0, dict(START))
    assert fold_over(fold, events, None) == fired(levels, history, fold, 0.0)
    if fold.skims is None:
        assert fold.holds == levels[-1]


def by_content(message: Message[Any]) -> object:
    return message.content


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), events=events)
@settings(max_examples=EXAMPLES)
def test_with_keys_it_is_one_for_each(kind: str, data: st.DataObject, events: list[At]) -> None:
    condition: Condition = data.draw(conditions(kind, by_content))
    sources = {source.pattern for source in condition.sources}
    if not sources:
        return
    fold = ConditionEvaluator(condition, 0.0, dict(START))
    wanted: list[Fired] = []
    for key in "klmn":
        heard = [i for i, each in enumerate(events) if each.topic in sources and each.content == key]
        if not heard:
            continue
        first, start = heard[0], events[heard[0]].time
        values = START | {each.topic: each.content for each in events[:first] if each.topic in "xy"}
        own = [each for each in events[first:] if each.topic in "xy" or (each.topic in sources and each.content == key)]
        # It begins with its first message, and there is no moment before that.
        history = [own[0], *(each for each in history_of(own[1:], start) if each.topic or each.time > start)]
        levels = plain(condition, history, start, values)
        wanted += fired(levels, history, fold, start, key)
    found = fold_over(fold, events, by_content)
    found, wanted = sorted(found, key=str), sorted(wanted, key=str)
    assert [each[:2] for each in found] == [each[:2] for each in wanted]
    for one, other in zip(found, wanted, strict=True):  # a key that was forgotten at rest began again since
        assert other.since <= one.since <= one.instant or one.since == inf
