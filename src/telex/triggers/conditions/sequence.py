"""Conditions of what another one did before: `Then`, `Debounce`, `Throttle`, `Times`. Pure, as all conditions.

A condition becomes true at a moment at which it holds and did not hold at the one before, or at the first one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from telex.triggers.conditions.condition import Condition, Moment, Step, earlier, merged

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

    def measures(self, state: tuple[Any, float | None], moment: Moment) -> dict[str, Any]:
        """See `Condition`."""
        return self.of.measures(state[0], moment)

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

    def measures(self, state: Bout, moment: Moment) -> dict[str, Any]:
        """See `Condition`."""
        return self.of.measures(state[0], moment)

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

    def measures(self, state: tuple[Any, bool, int], moment: Moment) -> dict[str, Any]:
        """See `Condition`."""
        return self.of.measures(state[0], moment)

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
