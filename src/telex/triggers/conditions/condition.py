"""Conditions of triggers. Pure: time, values and messages are arguments.

A condition is a description. Its memory is a state, made by `Condition.begin` and passed to `Condition.step`, which is
(state, moment) -> (state, whether it holds, when that may change by itself). The owner of a state calls `step` with
every message and every change that the condition is about, in the order of their times, and at each returned time. The
owner keeps the returned state, since `step` may change the old one in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from telex.durations import Duration, seconds
from telex.errors import BadOption, Misuse
from telex.message import Message

By = Callable[[Message[Any]], object]


class Source(NamedTuple):
    """Messages that a condition is about: those of a pattern, apart for each key that ``by`` gives."""

    pattern: str
    by: By | None = None


class Moment(NamedTuple):
    """When a condition is looked at, and why: a ``message`` of ``source`` has come, or one of the ``values`` of
    variables has changed, or its time has."""

    now: float
    values: Mapping[str, Any]
    source: Source | None = None
    message: Message[Any] | None = None


Step = tuple[Any, bool, float | None]
"""The state after a moment, whether the condition holds from then on, and when that may change without a message or a
change: later than the moment, or None."""


class Condition:
    """True at some times and not at others. Made by comparing a `Variable` or a `Rate`, or by ``hub.silence``, and from
    others: ``a & b``, ``a | b``, ``~a``, and the methods here. Give it to ``hub.when``.
    """

    __slots__ = ()

    @property
    def parts(self) -> tuple[Condition, ...]:
        """The conditions that it is made of."""
        return ()

    @property
    def sources(self) -> frozenset[Source]:
        """The messages that it is about."""
        return frozenset().union(*(part.sources for part in self.parts))

    @property
    def variables(self) -> frozenset[str]:
        """The names of the variables that it is about."""
        return frozenset().union(*(part.variables for part in self.parts))

    def begin(self, now: float) -> Any:
        """Return the first state."""
        raise NotImplementedError

    def step(self, state: Any, moment: Moment) -> Step:
        """Return the state after a moment."""
        raise NotImplementedError

    def rests(self, state: Any, now: float) -> bool:
        """Return true when the state is equivalent to a new one."""
        raise NotImplementedError

    def measures(self, state: Any, moment: Moment) -> dict[str, Any]:
        """The values of its variables by name, and what its rates have counted by pattern, after it was stepped to
        ``moment``. A state begins with the states of the parts."""
        found: dict[str, Any] = {}
        for number, part in enumerate(self.parts):
            found = merged(found, part.measures(state[number], moment))
        return found

    def minds(self, variable: str, before: Any, value: Any) -> bool:
        """Return true when the change of a variable's value may change the condition, in any state."""
        return any(part.minds(variable, before, value) for part in self.parts)

    def rebuilt(self, leaf: Callable[[Condition], Condition]) -> Condition:
        """The same, of parts for which ``leaf`` is called where they have no parts themselves."""
        return leaf(self)

    def slackened(self, hysteresis: float) -> Condition:
        """The same with bounds that, once they are reached, are moved by ``hysteresis``."""
        return self.rebuilt(lambda leaf: leaf._slackened(hysteresis))

    def under(self, prefix: str) -> Condition:
        """The same, about topics whose names begin with ``prefix``. Variables are those of the hub."""
        return self.rebuilt(lambda leaf: leaf._under(prefix))

    def _slackened(self, hysteresis: float) -> Condition:
        return self

    def _under(self, prefix: str) -> Condition:
        return self

    # -- combining

    def __and__(self, other: Condition) -> Condition:
        """Both hold."""
        return Joined(self, checked(other), both=True)

    def __or__(self, other: Condition) -> Condition:
        """One of them holds."""
        return Joined(self, checked(other), both=False)

    def __invert__(self) -> Condition:
        """It does not hold."""
        return Not(self)

    def then(self, other: Condition, within: Duration) -> Then:
        """``other`` becomes true later than this one became true, at most ``within`` later; it holds as long as
        ``other`` then does. What became true counts once.
        """
        return Then(self, checked(other), seconds(within, "within"))

    def debounce(self, wait: Duration) -> Debounce:
        """It has held for ``wait`` without a break, and still does."""
        return Debounce(self, seconds(wait, "wait"))

    def throttle(self, period: Duration) -> Throttle:
        """It holds, and had become true when at least ``period`` had passed since the last time that counted."""
        return Throttle(self, seconds(period, "period"))

    def times(self, count: int) -> Times:
        """It holds, and has become true for the ``count``-th time, or twice that, and so on."""
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise BadOption("count", count, "it is how often it has to become true, at least 1")
        return Times(self, count)

    @property
    def inner(self) -> str:
        """Its text within another condition."""
        return repr(self)

    def __bool__(self) -> NoReturn:
        raise Misuse(
            f"use the condition {self!r} as true or false",
            "it is true at some times and not at others: give it to hub.when(...), and combine with &, | and ~ "
            "instead of and, or, not, with each comparison in parentheses",
        )


class Joined(Condition):
    """Two conditions: ``both`` hold, or one of them is enough."""

    __slots__ = ("both", "one", "other")

    def __init__(self, one: Condition, other: Condition, *, both: bool) -> None:
        self.one: Condition = one
        self.other: Condition = other
        self.both: bool = both

    @property
    def parts(self) -> tuple[Condition, ...]:
        """See `Condition`."""
        return self.one, self.other

    def begin(self, now: float) -> Any:
        """See `Condition`."""
        return self.one.begin(now), self.other.begin(now)

    def step(self, state: Any, moment: Moment) -> Step:
        """See `Condition`."""
        one, holds, at = self.one.step(state[0], moment)
        other, also, then = self.other.step(state[1], moment)
        return (one, other), (holds and also) if self.both else (holds or also), earlier(at, then)

    def rests(self, state: Any, now: float) -> bool:
        """See `Condition`."""
        return self.one.rests(state[0], now) and self.other.rests(state[1], now)

    def rebuilt(self, leaf: Callable[[Condition], Condition]) -> Condition:
        """See `Condition`."""
        return Joined(self.one.rebuilt(leaf), self.other.rebuilt(leaf), both=self.both)

    def __repr__(self) -> str:
        return f"{self.one.inner} {'&' if self.both else '|'} {self.other.inner}"

    @property
    def inner(self) -> str:
        """See `Condition`."""
        return f"({self!r})"


class Not(Condition):
    """The opposite."""

    __slots__ = ("of",)

    def __init__(self, of: Condition) -> None:
        self.of: Condition = of

    @property
    def parts(self) -> tuple[Condition, ...]:
        """See `Condition`."""
        return (self.of,)

    def begin(self, now: float) -> Any:
        """See `Condition`."""
        return self.of.begin(now)

    def step(self, state: Any, moment: Moment) -> Step:
        """See `Condition`."""
        state, holds, at = self.of.step(state, moment)
        return state, not holds, at

    def measures(self, state: Any, moment: Moment) -> dict[str, Any]:
        """See `Condition`."""
        return self.of.measures(state, moment)

    def rests(self, state: Any, now: float) -> bool:
        """See `Condition`."""
        return self.of.rests(state, now)

    def rebuilt(self, leaf: Callable[[Condition], Condition]) -> Condition:
        """See `Condition`."""
        return Not(self.of.rebuilt(leaf))

    def __repr__(self) -> str:
        return f"~{self.of.inner}"


Bout = tuple[Any, bool, float | None, bool]
"""The state of what it is made of, whether that held, when it last became true in a way that counts, and whether the
time it holds since counts."""


class Then(Condition):
    """``other`` becomes true after ``one`` did. See `Condition.then`."""

    __slots__ = ("one", "other", "within")

    def __init__(self, one: Condition, other: Condition, within: float) -> None:
        self.one: Condition = one
        self.other: Condition = other
        self.within: float = within

    @property
    def parts(self) -> tuple[Condition, ...]:
        """See `Condition`."""
        return self.one, self.other

    def begin(self, now: float) -> tuple[Any, bool, float | None, Any, bool, bool]:
        """See `Condition`."""
        return self.one.begin(now), False, None, self.other.begin(now), False, False

    def step(self, state: tuple[Any, bool, float | None, Any, bool, bool], moment: Moment) -> Step:
        """See `Condition`."""
        one, held, rose, other, followed, counts = state
        one, holds, at = self.one.step(one, moment)
        other, follows, then = self.other.step(other, moment)
        if follows and not followed:
            counts = rose is not None and moment.now <= rose + self.within
            if counts:
                rose = None  # it counts once
        counts = counts and follows
        if holds and not held:  # after `other` was looked at: what follows comes later
            rose = moment.now
        return (one, holds, rose, other, follows, counts), counts, earlier(at, then)

    def measures(self, state: tuple[Any, bool, float | None, Any, bool, bool], moment: Moment) -> dict[str, Any]:
        """See `Condition`."""
        return merged(self.one.measures(state[0], moment), self.other.measures(state[3], moment))

    def rests(self, state: tuple[Any, bool, float | None, Any, bool, bool], now: float) -> bool:
        """See `Condition`."""
        one, held, rose, other, followed, _ = state
        if held or followed or (rose is not None and now <= rose + self.within):
            return False
        return self.one.rests(one, now) and self.other.rests(other, now)

    def rebuilt(self, leaf: Callable[[Condition], Condition]) -> Condition:
        """See `Condition`."""
        return Then(self.one.rebuilt(leaf), self.other.rebuilt(leaf), self.within)

    def __repr__(self) -> str:
        return f"{_before_dot(self.one)}.then({self.other!r}, within={self.within:g})"


class Debounce(Condition):
    """``of`` has held for ``wait`` seconds. See `Condition.debounce`."""

    __slots__ = ("of", "wait")

    def __init__(self, of: Condition, wait: float) -> None:
        self.of: Condition = of
        self.wait: float = wait

    @property
    def parts(self) -> tuple[Condition, ...]:
        """See `Condition`."""
        return (self.of,)

    def begin(self, now: float) -> tuple[Any, float | None]:
        """See `Condition`."""
        return self.of.begin(now), None

    def step(self, state: tuple[Any, float | None], moment: Moment) -> Step:
        """See `Condition`."""
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
        """See `Condition`."""
        return state[1] is None and self.of.rests(state[0], now)

    def rebuilt(self, leaf: Callable[[Condition], Condition]) -> Condition:
        """See `Condition`."""
        return Debounce(self.of.rebuilt(leaf), self.wait)

    def __repr__(self) -> str:
        return f"{_before_dot(self.of)}.debounce({self.wait:g})"


class Throttle(Condition):
    """``of``, not more often than once in ``period`` seconds. See `Condition.throttle`."""

    __slots__ = ("of", "period")

    def __init__(self, of: Condition, period: float) -> None:
        self.of: Condition = of
        self.period: float = period

    @property
    def parts(self) -> tuple[Condition, ...]:
        """See `Condition`."""
        return (self.of,)

    def begin(self, now: float) -> Bout:
        """See `Condition`."""
        return self.of.begin(now), False, None, False

    def step(self, state: Bout, moment: Moment) -> Step:
        """See `Condition`."""
        of, held, last, counts = state
        of, holds, at = self.of.step(of, moment)
        if holds and not held:
            counts = last is None or moment.now >= last + self.period
            if counts:
                last = moment.now
        counts = counts and holds
        return (of, holds, last, counts), counts, at

    def rests(self, state: Bout, now: float) -> bool:
        """See `Condition`."""
        of, held, last, _ = state
        return not held and (last is None or now >= last + self.period) and self.of.rests(of, now)

    def rebuilt(self, leaf: Callable[[Condition], Condition]) -> Condition:
        """See `Condition`."""
        return Throttle(self.of.rebuilt(leaf), self.period)

    def __repr__(self) -> str:
        return f"{_before_dot(self.of)}.throttle({self.period:g})"


class Times(Condition):
    """Each ``count``-th time that ``of`` becomes true. See `Condition.times`."""

    __slots__ = ("count", "of")

    def __init__(self, of: Condition, count: int) -> None:
        self.of: Condition = of
        self.count: int = count

    @property
    def parts(self) -> tuple[Condition, ...]:
        """See `Condition`."""
        return (self.of,)

    def begin(self, now: float) -> tuple[Any, bool, int]:
        """See `Condition`."""
        return self.of.begin(now), False, 0

    def step(self, state: tuple[Any, bool, int], moment: Moment) -> Step:
        """See `Condition`."""
        of, held, number = state
        of, holds, at = self.of.step(of, moment)
        if holds and not held:
            number = number % self.count + 1
        return (of, holds, number), holds and number == self.count, at

    def rests(self, state: tuple[Any, bool, int], now: float) -> bool:
        """See `Condition`."""
        of, held, number = state
        return not held and number in (0, self.count) and self.of.rests(of, now)

    def rebuilt(self, leaf: Callable[[Condition], Condition]) -> Condition:
        """See `Condition`."""
        return Times(self.of.rebuilt(leaf), self.count)

    def __repr__(self) -> str:
        return f"{_before_dot(self.of)}.times({self.count})"


def _before_dot(condition: Condition) -> str:
    text = condition.inner
    return f"({text})" if text.startswith("~") else text


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the measured values of two conditions. Of two rates on one pattern it has the larger one."""
    both = one.keys() & other.keys()
    return one | other | {name: max(one[name], other[name]) for name in both if one[name] != other[name]}


def earlier(one: float | None, other: float | None) -> float | None:
    """The earlier of two times, where None is never."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def checked(other: object) -> Condition:
    """Return the checked operand of a combination. Raises `BadOption`."""
    if not isinstance(other, Condition):
        raise BadOption("condition", other, "combine conditions with conditions: (count >= 10) & (count < 20)")
    return other
