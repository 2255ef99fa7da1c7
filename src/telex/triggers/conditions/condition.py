"""Conditions of triggers. Pure: time, values and messages are arguments.

A condition is an immutable description. Its memory is a state, made by `Condition.begin` and changed by
`Condition.step`. `step` takes the state and a `Moment`, and returns a `Step`: the new state, whether the condition
holds, and the next time at which this may change without a message. The owner of a state calls `step` for every message
and every change of a variable in the condition, in the order of their times, and at each returned time. The owner keeps
the returned state, since `step` may change the old state in place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, NoReturn

from telex.checks import whole
from telex.durations import Duration, seconds
from telex.errors import BadOption, Misuse
from telex.message import Message

By = Callable[[Message[Any]], object]


class Source(NamedTuple):
    """The messages of one pattern, as input of a condition. With ``by``, a function of the message, the condition is
    evaluated for each key separately.
    """

    pattern: str
    by: By | None = None


class Moment(NamedTuple):
    """A time at which a condition is evaluated, and the reason: a ``message`` of ``source`` has come, a variable in
    ``values`` has changed, or the time that the last `step` returned has come.
    """

    now: float
    values: Mapping[str, Any]
    source: Source | None = None
    message: Message[Any] | None = None


Step = tuple[Any, bool, float | None]
"""The result of `Condition.step`: the new state, true when the condition holds, and the next time at which this may
change without a message or a change of a variable; None when there is no such time.
"""


class Condition(ABC):
    """A condition for ``hub.when``: true at some times and false at others. Make it by comparing a `Variable` or a
    `Rate`, or by ``hub.silence``. Combine conditions by ``a & b``, ``a | b``, ``~a``, and the methods here.
    """

    __slots__ = ()

    _PARTS: ClassVar[tuple[str, ...]] = ()
    """The names of the attributes with `parts`; a class that has them is a dataclass."""

    @property
    def parts(self) -> tuple[Condition, ...]:
        """The conditions that this condition combines."""
        return tuple(getattr(self, name) for name in self._PARTS)

    @property
    def sources(self) -> frozenset[Source]:
        """The sources whose messages this condition evaluates."""
        return frozenset().union(*(part.sources for part in self.parts))

    @property
    def variables(self) -> frozenset[str]:
        """The names of the variables that this condition compares."""
        return frozenset().union(*(part.variables for part in self.parts))

    @abstractmethod
    def begin(self, now: float) -> Any:
        """Return the state at the start, ``now``."""

    @abstractmethod
    def step(self, state: Any, moment: Moment) -> Step:
        """Evaluate the condition at a moment, and return a `Step`."""

    @abstractmethod
    def rests(self, state: Any, now: float) -> bool:
        """Return true when the state is equivalent to a new one, so that it need not be kept."""

    def measures(self, state: Any, moment: Moment) -> dict[str, Any]:
        """Return the values of the variables by name, and the counts of the rates by pattern, after ``moment``. A
        combined state begins with the states of its parts.
        """
        found: dict[str, Any] = {}
        for number, part in enumerate(self.parts):
            found = merged(found, part.measures(state[number], moment))
        return found

    def minds(self, variable: str, before: Any, value: Any) -> bool:
        """Return true when this change of a variable may change the result, in any state."""
        return any(part.minds(variable, before, value) for part in self.parts)

    def rebuilt(self, leaf: Callable[[Condition], Condition]) -> Condition:
        """Return a copy in which ``leaf`` has replaced each condition without parts."""
        rebuilt = {name: getattr(self, name).rebuilt(leaf) for name in self._PARTS}
        return replace(self, **rebuilt) if rebuilt else leaf(self)  # type: ignore[type-var]  # a dataclass

    def slackened(self, hysteresis: float) -> Condition:
        """Return a copy whose bounds are moved by ``hysteresis`` once they are reached."""
        return self.rebuilt(lambda leaf: leaf._slackened(hysteresis))

    def under(self, prefix: str) -> Condition:
        """Return a copy whose patterns begin with ``prefix``. The variables stay those of the hub."""
        return self.rebuilt(lambda leaf: leaf._under(prefix))

    def _slackened(self, hysteresis: float) -> Condition:
        return self

    def _under(self, prefix: str) -> Condition:
        return self

    # -- combining

    def __and__(self, other: Condition) -> Condition:
        """Return the condition that both hold."""
        return Joined(self, checked(other), both=True)

    def __or__(self, other: Condition) -> Condition:
        """Return the condition that one of them holds, or both."""
        return Joined(self, checked(other), both=False)

    def __invert__(self) -> Condition:
        """Return the condition that this one does not hold."""
        return Not(self)

    def then(self, other: Condition, within: Duration) -> Then:
        """Return the condition that ``other`` becomes true after this condition became true, at most ``within`` later.
        It holds as long as ``other`` holds. Each time that this condition becomes true counts once.
        """
        return Then(self, checked(other), seconds(within, "within"))

    def debounce(self, wait: Duration) -> Debounce:
        """Return the condition that this one has held for ``wait`` without a break, and still holds."""
        return Debounce(self, seconds(wait, "wait"))

    def throttle(self, period: Duration) -> Throttle:
        """Return the condition that holds while this one holds, but ignores each time that this one becomes true within
        ``period`` after the last one that counted.
        """
        return Throttle(self, seconds(period, "period"))

    def times(self, count: int) -> Times:
        """Return the condition that holds while this one holds after it became true for the ``count``-th time, or a
        multiple.
        """
        whole(count, "count", "it must be at least 1, the number of times that the condition has to become true")
        return Times(self, count)

    @property
    def inner(self) -> str:
        """The text of this condition as a part of another one."""
        return repr(self)

    def __bool__(self) -> NoReturn:
        raise Misuse(
            f"use the condition {self!r} as true or false",
            "a condition has no value by itself: give it to hub.when(...), and combine conditions with &, | and ~ "
            "instead of and, or, not, with each comparison in parentheses",
        )


@dataclass(frozen=True, eq=False, slots=True)
class Joined(Condition):
    """Two conditions joined by ``&`` (``both``) or ``|``."""

    _PARTS = ("one", "other")

    one: Condition
    other: Condition
    both: bool = field(kw_only=True)

    def begin(self, now: float) -> Any:
        return self.one.begin(now), self.other.begin(now)

    def step(self, state: Any, moment: Moment) -> Step:
        one, holds, at = self.one.step(state[0], moment)
        other, also, then = self.other.step(state[1], moment)
        return (one, other), (holds and also) if self.both else (holds or also), earlier(at, then)

    def rests(self, state: Any, now: float) -> bool:
        return self.one.rests(state[0], now) and self.other.rests(state[1], now)

    def __repr__(self) -> str:
        return f"{self.one.inner} {'&' if self.both else '|'} {self.other.inner}"

    @property
    def inner(self) -> str:
        return f"({self!r})"


@dataclass(frozen=True, eq=False, slots=True)
class Not(Condition):
    """The negation of a condition."""

    _PARTS = ("of",)

    of: Condition

    def begin(self, now: float) -> Any:
        return self.of.begin(now)

    def step(self, state: Any, moment: Moment) -> Step:
        state, holds, at = self.of.step(state, moment)
        return state, not holds, at

    def measures(self, state: Any, moment: Moment) -> dict[str, Any]:
        return self.of.measures(state, moment)

    def rests(self, state: Any, now: float) -> bool:
        return self.of.rests(state, now)

    def __repr__(self) -> str:
        return f"~{self.of.inner}"


Sequel = tuple[Any, Any, bool, float | None, bool, bool]
"""The states of both conditions; true if the first one held; the last time that it became true, until that has counted;
true if the second one held; true if the time for which it holds counts.
"""
Bout = tuple[Any, bool, float | None, bool]
"""The state of the inner condition; true if it held; the last time that it became true and counted; true if the time
for which it holds now counts.
"""


@dataclass(frozen=True, eq=False, slots=True)
class Then(Condition):
    """``other`` becomes true after ``one`` became true. See `Condition.then`."""

    _PARTS = ("one", "other")

    one: Condition
    other: Condition
    within: float

    def begin(self, now: float) -> Sequel:
        return self.one.begin(now), self.other.begin(now), False, None, False, False

    def step(self, state: Sequel, moment: Moment) -> Step:
        one, other, held, rose, followed, counts = state
        one, holds, at = self.one.step(one, moment)
        other, follows, then = self.other.step(other, moment)
        if follows and not followed:
            counts = rose is not None and moment.now <= rose + self.within
            if counts:
                rose = None  # each time counts once
        counts = counts and follows
        if holds and not held:  # evaluated after `other`: a later event has to follow
            rose = moment.now
        return (one, other, holds, rose, follows, counts), counts, earlier(at, then)

    def rests(self, state: Sequel, now: float) -> bool:
        one, other, held, rose, followed, _ = state
        if held or followed or (rose is not None and now <= rose + self.within):
            return False
        return self.one.rests(one, now) and self.other.rests(other, now)

    def __repr__(self) -> str:
        return f"{_before_dot(self.one)}.then({self.other!r}, within={self.within:g})"


@dataclass(frozen=True, eq=False, slots=True)
class Debounce(Condition):
    """``of`` has held for ``wait`` seconds. See `Condition.debounce`."""

    _PARTS = ("of",)

    of: Condition
    wait: float

    def begin(self, now: float) -> tuple[Any, float | None]:
        return self.of.begin(now), None

    def step(self, state: tuple[Any, float | None], moment: Moment) -> Step:
        of, since = state
        of, holds, at = self.of.step(of, moment)
        if not holds:
            return (of, None), False, at
        if since is None:
            since = moment.now
        due = since + self.wait
        if moment.now >= due:
            return (of, since), True, at
        return (of, since), False, earlier(at, due)

    def rests(self, state: tuple[Any, float | None], now: float) -> bool:
        return state[1] is None and self.of.rests(state[0], now)

    def __repr__(self) -> str:
        return f"{_before_dot(self.of)}.debounce({self.wait:g})"


@dataclass(frozen=True, eq=False, slots=True)
class Throttle(Condition):
    """``of``, at most once in ``period`` seconds. See `Condition.throttle`."""

    _PARTS = ("of",)

    of: Condition
    period: float

    def begin(self, now: float) -> Bout:
        return self.of.begin(now), False, None, False

    def step(self, state: Bout, moment: Moment) -> Step:
        of, held, last, counts = state
        of, holds, at = self.of.step(of, moment)
        if holds and not held:
            counts = last is None or moment.now >= last + self.period
            if counts:
                last = moment.now
        counts = counts and holds
        return (of, holds, last, counts), counts, at

    def rests(self, state: Bout, now: float) -> bool:
        of, held, last, _ = state
        return not held and (last is None or now >= last + self.period) and self.of.rests(of, now)

    def __repr__(self) -> str:
        return f"{_before_dot(self.of)}.throttle({self.period:g})"


@dataclass(frozen=True, eq=False, slots=True)
class Times(Condition):
    """Each ``count``-th time that ``of`` becomes true. See `Condition.times`."""

    _PARTS = ("of",)

    of: Condition
    count: int

    def begin(self, now: float) -> tuple[Any, bool, int]:
        return self.of.begin(now), False, 0

    def step(self, state: tuple[Any, bool, int], moment: Moment) -> Step:
        of, held, number = state
        of, holds, at = self.of.step(of, moment)
        if holds and not held:
            number = number % self.count + 1
        return (of, holds, number), holds and number == self.count, at

    def rests(self, state: tuple[Any, bool, int], now: float) -> bool:
        of, held, number = state
        return not held and number in (0, self.count) and self.of.rests(of, now)

    def __repr__(self) -> str:
        return f"{_before_dot(self.of)}.times({self.count})"


def _before_dot(condition: Condition) -> str:
    text = condition.inner
    return f"({text})" if text.startswith("~") else text


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the measured values of two conditions. For two rates of one pattern, the larger count is returned."""
    both = one.keys() & other.keys()
    return one | other | {name: max(one[name], other[name]) for name in both if one[name] != other[name]}


def earlier(one: float | None, other: float | None) -> float | None:
    """Return the earlier of two times; None means never."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def checked(other: object) -> Condition:
    """Return the checked operand of a combination. Raises `BadOption`."""
    if not isinstance(other, Condition):
        raise BadOption("condition", other, "combine conditions with conditions: (count >= 10) & (count < 20)")
    return other
