"""Conditions on messages and on their absence: `Rate` and `Silence`. Pure, like all conditions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NoReturn

from telex.checks import whole
from telex.durations import Duration, seconds
from telex.errors import BadOption, Misuse
from telex.message import Message, time_of
from telex.names import check_pattern
from telex.triggers.conditions.compare import UP, Op
from telex.triggers.conditions.condition import By, Condition, Moment, Source, Step

MIN_TIMES = 8
"""The number of times that are kept before useless ones are removed."""
MAX_BOUND = 1_000_000
"""The largest number that a rate can be compared with: the times of that many messages are kept."""
APART = (
    "to compare two that change, keep what tells of both, such as their difference, in a variable of its own, or give "
    "hub.when a function and every="
)


class Rate:
    """The number of messages of a pattern within the last ``per`` seconds, made by ``hub.rate``. Comparing it with a
    number makes a condition. A message counts from its time until, but not including, ``per`` seconds later.
    """

    __slots__ = ("per", "source")

    def __init__(self, pattern: str, per: Duration, by: By | None = None) -> None:
        self.source: Source = source_of(pattern, by)
        self.per: float = seconds(per, "per")
        if not self.per:
            raise BadOption("per", per, "it must be longer than 0 s")

    def __ge__(self, bound: int) -> Counted:
        return Counted(self, ">=", bound)

    def __gt__(self, bound: int) -> Counted:
        return Counted(self, ">", bound)

    def __le__(self, bound: int) -> Counted:
        return Counted(self, "<=", bound)

    def __lt__(self, bound: int) -> Counted:
        return Counted(self, "<", bound)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Rate) and other is not self:
            raise BadOption("bound", other, f"a rate must be compared with a number; {APART}")
        if isinstance(other, (int, float)):
            raise BadOption(
                "rate", self, "a rate may pass a number without being equal to it: compare it with >=, >, <= or <"
            )
        return True if self is other else NotImplemented  # the variable's own comparison raises the error

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> NoReturn:
        raise Misuse(f"use {self!r} as true or false", "compare it: hub.rate(...) >= 5")

    def __repr__(self) -> str:
        return f"rate({self.source.pattern!r}, per={self.per:g})"


class Recent:
    """The times of the last messages, as many as a comparison needs, oldest first; and whether the rate was high at the
    last evaluation.
    """

    __slots__ = ("many", "room", "times")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.many: bool = False
        self.room: int = MIN_TIMES  # with more times than this, useless ones are removed


class Counted(Condition):
    """The comparison of a rate with a number.

    The rate becomes high when ``on`` messages are within the window, and low when fewer than ``off`` are. The condition
    holds while the rate is high; for ``<`` and ``<=`` it holds while the rate is low. Only the times of that many
    messages are kept.
    """

    __slots__ = ("_off", "_on", "_up", "bound", "op", "rate", "slack")

    def __init__(self, rate: Rate, op: Op, bound: int, slack: float = 0.0) -> None:
        fix = f"a rate must be compared with a whole number from 1 to {MAX_BOUND}; {APART}"
        whole(bound, "bound", fix, most=MAX_BOUND)
        self.rate: Rate = rate
        self.op: Op = op
        self.bound: int = bound
        self.slack: float = slack
        self._up = op in UP
        number = bound + (op in (">", "<="))  # "more than 5" is "at least 6", and "at most 5" is "not at least 6"
        room = int(slack)  # counts are whole numbers, so only the whole part of the hysteresis matters
        self._on = number if self._up else number + room
        self._off = number - room if self._up else number
        if self._off < 1:
            raise BadOption(
                "hysteresis", slack, f"it must be less than {number}, the number of messages that makes the rate high"
            )

    @property
    def sources(self) -> frozenset[Source]:
        return frozenset((self.rate.source,))

    def begin(self, now: float) -> Recent:
        return Recent()

    def step(self, state: Recent, moment: Moment) -> Step:
        now, per, times = moment.now, self.rate.per, state.times
        off = self._off
        if state.many and times[-off] + per <= now:
            state.many = False
        if moment.source == self.rate.source:
            times.append(now)
            if len(times) > state.room:
                self._trim(state, now)
            if len(times) >= self._on:
                state.many = state.many or times[-self._on] + per > now
        return state, state.many is self._up, times[-off] + per if state.many else None

    def measures(self, state: Recent, moment: Moment) -> dict[str, Any]:
        """Return the count by pattern. Only kept times are counted, so the count is at least the number of the
        comparison.
        """
        times, per = state.times, self.rate.per
        gone = bisect_right(times, moment.now, key=lambda time: time + per)
        return {self.rate.source.pattern: len(times) - gone}

    def _trim(self, state: Recent, now: float) -> None:
        """Remove times that are not needed: more than the comparison needs, or long out of the window."""
        times = state.times
        if state.many and times[-self._off] + self.rate.per <= now:
            state.many = False
        long_ago = now - 1.001 * self.rate.per  # certainly out of the window, with any rounding
        del times[: max(bisect_left(times, long_ago), len(times) - self._on, 0)]
        state.room = max(MIN_TIMES, 2 * len(times))

    def rests(self, state: Recent, now: float) -> bool:
        return not state.times or state.times[-1] + self.rate.per <= now

    # -- a faster evaluation of a rate that is the whole condition: a batch at once, without timers

    @property
    def skims(self) -> bool:
        """True when `skim` and `skim_one` may be used: the condition holds for many messages, not for few."""
        return self._up

    @property
    def on(self) -> int:
        """The number of messages that makes the rate high."""
        return self._on

    def skim(self, state: Recent, messages: Sequence[Message[Any]], last: float) -> list[float]:
        """Evaluate the messages of a batch, as `step` does for each, and return the times at which the condition became
        true. A message counts at its own time, but not before earlier messages or ``last``. So the result does not
        depend on the size of batches.
        """
        times, per, on, off = state.times, self.rate.per, self._on, self._off
        came = list(map(time_of, messages))
        if came[0] < last or came != sorted(came):
            came = list(accumulate(came, max, initial=last))[1:]
        if state.many and came[-1] < times[-off] + per:
            # The messages that made the rate high are still within the window at the last message.
            times += came[-on:]
            rises: list[float] = []
        elif not state.many and len(times) + len(came) < on:
            times += came
            rises = []
        else:
            rises = [now for now in came if self.skim_one(state, now)]
        if len(times) > state.room:
            self._trim(state, times[-1])
        return rises

    def skim_one(self, state: Recent, now: float) -> bool:
        """Evaluate one message at ``now``, as `step` does, and return true when the condition became true."""
        times, per = state.times, self.rate.per
        if state.many and times[-self._off] + per <= now:
            state.many = False
        times.append(now)
        if len(times) < self._on:
            if len(times) > state.room:
                self._trim(state, now)
            return False
        rises = not state.many and times[-self._on] + per > now
        state.many = state.many or rises
        if len(times) > state.room:
            self._trim(state, now)
        return rises

    def _slackened(self, hysteresis: float) -> Condition:
        return Counted(self.rate, self.op, self.bound, hysteresis)

    def _under(self, prefix: str) -> Condition:
        source = self.rate.source
        return Counted(Rate(f"{prefix}:{source.pattern}", self.rate.per, source.by), self.op, self.bound, self.slack)

    def __repr__(self) -> str:
        return f"{self.rate!r} {self.op} {self.bound}"

    @property
    def inner(self) -> str:
        return f"({self!r})"


class Silence(Condition):
    """The condition that no message of a pattern has come for ``longer_than`` seconds, made by ``hub.silence``."""

    __slots__ = ("longer_than", "source")

    def __init__(self, pattern: str, longer_than: Duration, by: By | None = None) -> None:
        self.source: Source = source_of(pattern, by)
        self.longer_than: float = seconds(longer_than, "longer_than")
        if not self.longer_than:
            raise BadOption("longer_than", longer_than, "it must be longer than 0 s")

    @property
    def sources(self) -> frozenset[Source]:
        return frozenset((self.source,))

    def begin(self, now: float) -> float:
        return now

    def step(self, state: float, moment: Moment) -> Step:
        if moment.source == self.source:
            state = moment.now
        due = state + self.longer_than
        return (state, True, None) if moment.now >= due else (state, False, due)

    def rests(self, state: float, now: float) -> bool:
        """Return false: a silent key that is forgotten would fire again as a new key."""
        return False

    def _under(self, prefix: str) -> Condition:
        return Silence(f"{prefix}:{self.source.pattern}", self.longer_than, self.source.by)

    def __repr__(self) -> str:
        return f"silence({self.source.pattern!r}, longer_than={self.longer_than:g})"


def source_of(pattern: str, by: By | None) -> Source:
    """Return a checked `Source`. Raises `BadName`, `BadOption`."""
    if by is not None and not callable(by):
        raise BadOption(
            "by", by, "it must be a function of the message that returns a key: by=lambda m: m.content.user"
        )
    return Source(check_pattern(pattern), by)
