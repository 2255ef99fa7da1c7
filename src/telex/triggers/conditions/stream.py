"""Conditions of messages and of their absence: `Rate` and `Silence`. Pure, as all conditions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NoReturn

from telex.durations import Duration, seconds
from telex.errors import BadOption, Misuse
from telex.message import Message, time_of
from telex.names import check_pattern
from telex.triggers.conditions.compare import UP, Op
from telex.triggers.conditions.condition import By, Condition, Moment, Source, Step

MIN_TIMES = 8
"""The number of times that are kept before useless ones are removed."""
MAX_BOUND = 1_000_000
"""The largest number of messages that a rate is compared with: the times of so many are kept."""
APART = (
    "to compare two that change, keep what tells of both, such as their difference, in a variable of its own, or give "
    "hub.when a function and every="
)


class Rate:
    """The number of messages of a pattern within the last ``per`` seconds. Made by ``hub.rate``; compared with a
    number it is a condition. A message counts until, but not at, ``per`` seconds after its time."""

    __slots__ = ("per", "source")

    def __init__(self, pattern: str, per: Duration, by: By | None = None) -> None:
        self.source: Source = source_of(pattern, by)
        self.per: float = seconds(per, "per")
        if not self.per:
            raise BadOption("per", per, "it is longer than nothing")

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
            raise BadOption("bound", other, f"a rate is compared with a number; {APART}")
        if isinstance(other, (int, float)):
            raise BadOption(
                "rate", self, "a rate passes a number and is seldom equal to it: compare it with >=, >, <= or <"
            )
        return True if self is other else NotImplemented  # a variable says what is wrong with it

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> NoReturn:
        raise Misuse(f"use {self!r} as true or false", "compare it: hub.rate(...) >= 5")

    def __repr__(self) -> str:
        return f"rate({self.source.pattern!r}, per={self.per:g})"


class Recent:
    """The times of the last messages, as many as a comparison needs, oldest first; and whether there were many when it
    was last looked at."""

    __slots__ = ("many", "room", "times")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.many: bool = False
        self.room: int = MIN_TIMES  # when there are more, those that are of no use any more go


class Counted(Condition):
    """The comparison of a rate with a number.

    The rate becomes high with ``on`` messages within the window, and low with fewer than ``off``. The condition holds
    while the rate is high, or for ``<`` and ``<=`` while it is low. Only the times of that many messages are kept.
    """

    __slots__ = ("_off", "_on", "_up", "bound", "op", "rate", "slack")

    def __init__(self, rate: Rate, op: Op, bound: int, slack: float = 0.0) -> None:
        if isinstance(bound, bool) or not isinstance(bound, int) or not 0 < bound <= MAX_BOUND:
            raise BadOption("bound", bound, f"a rate is compared with a whole number from 1 to {MAX_BOUND}; {APART}")
        self.rate: Rate = rate
        self.op: Op = op
        self.bound: int = bound
        self.slack: float = slack
        self._up = op in UP
        number = bound + (op in (">", "<="))  # "more than 5" is "at least 6", and "at most 5" is "not at least 6"
        room = int(slack)  # of whole numbers, only those count that are missed by more than the slack
        self._on = number if self._up else number + room
        self._off = number - room if self._up else number
        if self._off < 1:
            raise BadOption("hysteresis", slack, f"it is smaller than the number that the rate has to reach, {number}")

    @property
    def sources(self) -> frozenset[Source]:
        """See `Condition`."""
        return frozenset((self.rate.source,))

    def begin(self, now: float) -> Recent:
        """See `Condition`."""
        return Recent()

    def step(self, state: Recent, moment: Moment) -> Step:
        """See `Condition`."""
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
        """See `Condition`. Times that are not kept are not counted: it is at least what it is compared with."""
        times, per = state.times, self.rate.per
        gone = bisect_right(times, moment.now, key=lambda time: time + per)
        return {self.rate.source.pattern: len(times) - gone}

    def _trim(self, state: Recent, now: float) -> None:
        """Discard times that are not needed any more: more than the comparison needs, or long out of the window."""
        times = state.times
        if state.many and times[-self._off] + self.rate.per <= now:
            state.many = False
        long_ago = now - 1.001 * self.rate.per  # certainly out of it, however sums are rounded
        del times[: max(bisect_left(times, long_ago), len(times) - self._on, 0)]
        state.room = max(MIN_TIMES, 2 * len(times))

    def rests(self, state: Recent, now: float) -> bool:
        """See `Condition`."""
        return not state.times or state.times[-1] + self.rate.per <= now

    # -- the same, quicker, for a condition that stands alone: all of a batch at once, and no time is asked for

    @property
    def skims(self) -> bool:
        """True when `skim` and `skim_one` may be called: when many messages make it true."""
        return self._up

    @property
    def on(self) -> int:
        """It holds from so many on."""
        return self._on

    def skim(self, state: Recent, messages: Sequence[Message[Any]], last: float) -> list[float]:
        """Do the work of `step` for each of these messages, and return the times at which it became true. They count
        in their order, each not before those that came before it, nor before ``last``: the size of batches makes no
        difference."""
        times, per, on, off = state.times, self.rate.per, self._on, self._off
        came = list(map(time_of, messages))
        if came[0] < last or came != sorted(came):
            came = list(accumulate(came, max, initial=last))[1:]
        if state.many and came[-1] < times[-off] + per:
            # Those that made it true are still within the window when the last of these comes.
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
        """Do the work of `step` for one message, and return true when it became true."""
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
        """See `Condition`."""
        return f"({self!r})"


class Silence(Condition):
    """No message of a pattern has come for ``longer_than`` seconds. Made by ``hub.silence``."""

    __slots__ = ("longer_than", "source")

    def __init__(self, pattern: str, longer_than: Duration, by: By | None = None) -> None:
        self.source: Source = source_of(pattern, by)
        self.longer_than: float = seconds(longer_than, "longer_than")
        if not self.longer_than:
            raise BadOption("longer_than", longer_than, "it is longer than nothing")

    @property
    def sources(self) -> frozenset[Source]:
        """See `Condition`."""
        return frozenset((self.source,))

    def begin(self, now: float) -> float:
        """See `Condition`."""
        return now

    def step(self, state: float, moment: Moment) -> Step:
        """See `Condition`."""
        if moment.source == self.source:
            state = moment.now
        due = state + self.longer_than
        return (state, True, None) if moment.now >= due else (state, False, due)

    def rests(self, state: float, now: float) -> bool:
        """See `Condition`: what is silent is not forgotten, or it would be new each time."""
        return False

    def _under(self, prefix: str) -> Condition:
        return Silence(f"{prefix}:{self.source.pattern}", self.longer_than, self.source.by)

    def __repr__(self) -> str:
        return f"silence({self.source.pattern!r}, longer_than={self.longer_than:g})"


def source_of(pattern: str, by: By | None) -> Source:
    """Return the checked source of messages. Raises `BadName`, `BadOption`."""
    if by is not None and not callable(by):
        raise BadOption("by", by, "it is a function of the message that gives a key: by=lambda m: m.content.user")
    return Source(check_pattern(pattern), by)
