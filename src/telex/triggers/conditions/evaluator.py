"""`ConditionEvaluator`: evaluates a condition for messages, changes and times. No clock and no I/O: the caller passes
each event with its time.

A condition fires when it becomes true: when it holds at the start, or holds at a moment after it did not hold. A
condition with ``by=`` is evaluated for each key separately, from the first message of the key on. The key is the text
of the result of ``by``, which firings contain, and which is the same in all processes that share an engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, NamedTuple

from telex.errors import BadOption
from telex.message import Message, time_of
from telex.triggers.conditions.condition import Condition, Moment, Source
from telex.triggers.conditions.stream import Counted

KEYS = 100_000
"""The default number of keys that a condition with ``by=`` keeps. With more keys, one without recent messages is
forgotten.
"""


LOOKS = 16
"""The number of keys that are examined to find one to forget. If all of them had messages recently, the oldest is
forgotten.
"""


class Fired(NamedTuple):
    """A condition has become true: the time, the key, the time since when it had not been true (`inf` if unknown), and
    the `Firing.value`.
    """

    instant: float
    key: str | None = None
    since: float = inf
    value: Any = None


class Life:
    """The state of a condition for one key."""

    __slots__ = ("at", "fell", "holds", "since", "state", "touched")

    def __init__(self, state: Any, now: float) -> None:
        self.state: Any = state
        self.since: float = now  # the time of the start, or of the last move to the end of the order
        self.touched: float = now
        self.holds: bool = False
        self.fell: float = now  # the time since when the condition does not hold
        self.at: float | None = None  # the next time at which the condition has to be evaluated


class ConditionEvaluator:
    """A running evaluation of a condition, from ``start`` on, with the initial ``values`` of its variables. Times are
    in seconds. An event whose time is before that of an earlier event counts at the later time.

    An exception of a source's ``by`` is counted in `failed`, and its message is skipped. `error` is the last exception.
    """

    def __init__(self, condition: Condition, start: float, values: dict[str, Any], keys: int = KEYS) -> None:
        self.condition = condition
        self.values = values
        self.now: float = start
        self.failed: int = 0
        self.forgotten: int = 0  # keys with a state that was forgotten to make room
        self.error: Exception | None = None
        self._keys = keys
        self._keyed = keyed(condition)
        self.lives: dict[str | None, Life] = {}
        self._order: deque[str | None] = deque()  # the keys, the oldest first
        self.alarms: list[tuple[float, int, str | None]] = []
        self._entries = count()
        self._forgets = not condition.variables  # a state at rest may become true by a variable
        self.skims: Counted | None = condition if isinstance(condition, Counted) and condition.skims else None
        if not self._keyed:
            self.lives[None] = Life(condition.begin(start), start)

    @property
    def next(self) -> float | None:
        """The next time at which the condition has to be evaluated without another event, or None."""
        alarms, lives = self.alarms, self.lives
        while alarms:
            at, _, key = alarms[0]
            life = lives.get(key)
            if life is not None and life.at == at:
                return at
            heappop(alarms)  # the time was put off, or the key forgotten
        return None

    @property
    def holds(self) -> bool:
        """True when the condition holds now; False for a condition with keys."""
        return not self._keyed and self.lives[None].holds

    @property
    def value(self) -> Any:
        """The current `Firing.value`; None for a condition with keys."""
        return None if self._keyed else self._value(self.lives[None], Moment(self.now, self.values))

    def __len__(self) -> int:
        """Return the number of keys that have a state."""
        return len(self.lives)

    def look(self, now: float) -> list[Fired]:
        """Evaluate the condition at ``now``: at the start, or when something else than a message or a variable has
        changed.
        """
        fired = self.advance(now)
        moment = Moment(self.now, self.values)
        for key, life in list(self.lives.items()):
            self._step(key, life, moment, fired)
        return fired

    def advance(self, now: float) -> list[Fired]:
        """Evaluate the condition at all times up to ``now`` at which it may change without an event."""
        fired: list[Fired] = []
        while (at := self.next) is not None and at <= now:
            key = heappop(self.alarms)[2]
            life = self.lives[key]
            life.at = None
            self.now = max(self.now, at)
            self._step(key, life, Moment(self.now, self.values), fired)
        self.now = max(self.now, now)
        return fired

    def change(self, variable: str, value: Any, now: float) -> list[Fired]:
        """Set the value of a variable, and evaluate the condition."""
        fired = self.advance(now)
        before, self.values[variable] = self.values[variable], value
        if len(self.lives) > 1 and not self.condition.minds(variable, before, value):
            return fired  # one check is cheaper than evaluating each key
        moment = Moment(self.now, self.values)
        for key, life in list(self.lives.items()):
            self._step(key, life, moment, fired)
        return fired

    def feed(self, source: Source, messages: Sequence[Message[Any]]) -> list[Fired]:
        """Evaluate the condition for messages of a source, in this order."""
        if self.skims is not None and not self._keyed:
            return self._skim(self.skims, messages)
        take = self._take if self.skims is None else self._take_skimming
        fired: list[Fired] = []
        waiting = iter(messages)
        while True:
            try:
                take(source, waiting, fired)
            # an exception of the program's function is logged, and the other messages are evaluated
            except Exception as error:  # noqa: BLE001
                self.failed += 1
                self.error = error
            else:
                return fired

    def _take(self, source: Source, messages: Iterator[Message[Any]], fired: list[Fired]) -> None:
        by, lives, alarms = source.by, self.lives, self.alarms
        for message in messages:
            now = max(time_of(message), self.now)
            if alarms and alarms[0][0] <= now:
                fired += self.advance(now)
            self.now = now
            key: Any = None if by is None else by(message)
            if by is not None and key.__class__ is not str:
                key = str(key)
            life = lives.get(key)
            if life is None:
                life = self._begin(key, now)
            life.touched = now
            self._step(key, life, Moment(now, self.values, source, message), fired)

    def _take_skimming(self, source: Source, messages: Iterator[Message[Any]], fired: list[Fired]) -> None:
        """Evaluate messages for a rate with keys that is the whole condition. It needs no timer: the rate of a key
        becomes low only when it is evaluated.
        """
        condition: Counted = self.skims  # type: ignore[assignment]  # `feed` has checked it
        by, get, now = source.by, self.lives.get, self.now
        few = condition.on - 1
        try:
            for message in messages:
                time = time_of(message)
                if time > now:
                    now = time
                key = by(message)  # type: ignore[misc]  # as there
                if key.__class__ is not str:
                    key = str(key)
                life = get(key)
                if life is None:
                    life = self._begin(key, now)
                life.touched = now
                state = life.state
                times = state.times
                known = len(times)
                if known < few and known < state.room and not state.many:
                    times.append(now)  # the same as `skim_one` for a rate that is far from becoming true
                elif condition.skim_one(state, now):
                    fired.append(Fired(now, key, inf, condition.on))
        finally:
            self.now = now

    def _step(self, key: str | None, life: Life, moment: Moment, fired: list[Fired]) -> None:
        if self.skims is not None:
            life.holds = life.state.many
        life.state, holds, at = self.condition.step(life.state, moment)
        if holds != life.holds:
            if holds:
                since = life.fell if self.skims is None else inf
                fired.append(Fired(moment.now, key, since, self._value(life, moment)))
            life.holds, life.fell = holds, moment.now
        if at is not None and (life.at is None or at < life.at or (at > life.at and not self._keyed)):
            # A later time of a key is not put into the heap: evaluating too early does no harm.
            life.at = at
            heappush(self.alarms, (at, next(self._entries), key))
        elif at is None and life.at is not None and not self._keyed:
            life.at = None

    def _skim(self, condition: Counted, messages: Sequence[Message[Any]]) -> list[Fired]:
        life = self.lives[None]
        rises = condition.skim(life.state, messages, self.now)
        self.now = life.state.times[-1]  # the latest of all
        life.holds = life.state.many
        return [Fired(instant, value=condition.on) for instant in rises]

    def _value(self, life: Life, moment: Moment) -> Any:
        found = self.condition.measures(life.state, moment)
        return next(iter(found.values()), None) if len(found) < 2 else found

    def _begin(self, key: str | None, now: float) -> Life:
        """Add a key. Before that, forget up to two of the oldest keys that are at rest, or else the oldest one."""
        lives, order = self.lives, self._order
        for _ in range(2 * self._forgets):
            if not order or lives[order[0]].holds or not self.condition.rests(lives[order[0]].state, now):
                break
            del lives[order.popleft()]
        if len(lives) >= self._keys:
            self._forget_one()
        if len(self.alarms) > 2 * len(lives) + 64:
            entries = self._entries
            self.alarms[:] = [(life.at, next(entries), key) for key, life in lives.items() if life.at is not None]
            self.alarms.sort()
        lives[key] = life = Life(self.condition.begin(now), now)
        order.append(key)
        return life

    def _forget_one(self) -> None:
        """Forget one key without messages since the last check; keys with messages move to the end of the order."""
        lives, order = self.lives, self._order
        for _ in range(LOOKS):
            life = lives[order[0]]
            if life.touched == life.since:
                break
            life.since = life.touched
            order.rotate(-1)
        del lives[order.popleft()]
        self.forgotten += 1


def keyed(condition: Condition) -> bool:
    """Return true when a condition is evaluated for each key. Raises `BadOption` when only some of its parts have
    keys.
    """
    kinds = {source.by is not None for source in condition.sources}
    if len(kinds) > 1:
        raise BadOption("by", condition, "give by= to all rates and silences of a condition, or to none")
    return kinds == {True}
