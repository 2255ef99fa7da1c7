"""`ConditionEvaluator`: evaluates a condition over messages, changes and times. No clock and no I/O: the caller gives
each event with its time.

A condition fires when it becomes true: at the first moment, or at a moment at which it holds and did not hold before.
A condition with ``by=`` is one condition for each key, which begins with the first message of that key. A key is the
text of the result of ``by``, which firings contain, and which is the same in all processes that share an engine.
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
"""The default of the number of keys that a condition with ``by=`` remembers. Beyond it, a key without recent messages
is forgotten."""


LOOKS = 16
"""The number of keys that are examined to find one to forget. When all of them are in use, the oldest is forgotten."""


class Fired(NamedTuple):
    """A condition has become true: when, for which key, since when it had not been true (`inf` where that is not
    known), and the `Firing.value` of that."""

    instant: float
    key: str | None = None
    since: float = inf
    value: Any = None


class Life:
    """A condition for one key."""

    __slots__ = ("at", "fell", "holds", "since", "state", "touched")

    def __init__(self, state: Any, now: float) -> None:
        self.state: Any = state
        self.since: float = now  # or since it went to the end
        self.touched: float = now
        self.holds: bool = False
        self.fell: float = now  # since when it does not hold, if it does not
        self.at: float | None = None  # when it has to be looked at again


class ConditionEvaluator:
    """A condition, from ``start`` on, with the ``values`` of its variables. Times are in seconds; one that comes later
    than a later one counts as that.

    What a source's ``by`` raises is counted in `failed`, and the message passed over; `error` is the last one.
    """

    def __init__(self, condition: Condition, start: float, values: dict[str, Any], keys: int = KEYS) -> None:
        self.condition = condition
        self.values = values
        self.now: float = start
        self.failed: int = 0
        self.forgotten: int = 0  # keys of which something was known, to make room for others
        self.error: Exception | None = None
        self._keys = keys
        self._keyed = keyed(condition)
        self.lives: dict[str | None, Life] = {}
        self._order: deque[str | None] = deque()  # the keys, those that are here longest first
        self.alarms: list[tuple[float, int, str | None]] = []
        self._entries = count()
        self._forgets = not condition.variables  # one at rest may become true by them
        self.skims: Counted | None = condition if isinstance(condition, Counted) and condition.skims else None
        if not self._keyed:
            self.lives[None] = Life(condition.begin(start), start)

    @property
    def next(self) -> float | None:
        """The next time at which it has to be evaluated without another event, or None."""
        alarms, lives = self.alarms, self.lives
        while alarms:
            at, _, key = alarms[0]
            life = lives.get(key)
            if life is not None and life.at == at:
                return at
            heappop(alarms)  # it was put off, or its key forgotten
        return None

    @property
    def holds(self) -> bool:
        """True when the condition is true now; False when it is one for each key."""
        return not self._keyed and self.lives[None].holds

    @property
    def value(self) -> Any:
        """The `Firing.value` of it now; None when it is one for each key."""
        return None if self._keyed else self._value(self.lives[None], Moment(self.now, self.values))

    def __len__(self) -> int:
        """Of how many keys something is known."""
        return len(self.lives)

    def look(self, now: float) -> list[Fired]:
        """The first moment, or one at which something else than messages and variables may have changed."""
        fired = self.advance(now)
        moment = Moment(self.now, self.values)
        for key, life in list(self.lives.items()):
            self._step(key, life, moment, fired)
        return fired

    def advance(self, now: float) -> list[Fired]:
        """It is ``now``, and nothing has come meanwhile."""
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
        """A variable has another value."""
        fired = self.advance(now)
        before, self.values[variable] = self.values[variable], value
        if len(self.lives) > 1 and not self.condition.minds(variable, before, value):
            return fired  # to ask once costs less than to look at each
        moment = Moment(self.now, self.values)
        for key, life in list(self.lives.items()):
            self._step(key, life, moment, fired)
        return fired

    def feed(self, source: Source, messages: Sequence[Message[Any]]) -> list[Fired]:
        """Messages have come, in this order."""
        if self.skims is not None and not self._keyed:
            return self._skim(self.skims, messages)
        take = self._take if self.skims is None else self._take_skimming
        fired: list[Fired] = []
        waiting = iter(messages)
        while True:
            try:
                take(source, waiting, fired)
            except Exception as error:  # noqa: BLE001  # the program's function: logged, and the rest goes on
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
        """For a rate alone, by keys: it falls when it is looked at, and no time is waited for."""
        condition: Counted = self.skims  # type: ignore[assignment]  # `feed` has looked
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
                    times.append(now)  # all that `skim_one` does for one that is far from becoming true
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
            # Later ones of keys are not put into the heap: it is looked at too early, which does no harm.
            life.at = at
            heappush(self.alarms, (at, next(self._entries), key))
        elif at is None and life.at is not None and not self._keyed:
            life.at = None

    def _skim(self, condition: Counted, messages: Sequence[Message[Any]]) -> list[Fired]:
        life = self.lives[None]
        rises = condition.skim(life.state, messages, self.now)
        self.now = life.state.times[-1]  # of them all the latest
        life.holds = life.state.many
        return [Fired(instant, value=condition.on) for instant in rises]

    def _value(self, life: Life, moment: Moment) -> Any:
        found = self.condition.measures(life.state, moment)
        return next(iter(found.values()), None) if len(found) < 2 else found

    def _begin(self, key: str | None, now: float) -> Life:
        """A key is new: before it begins, two of those that are here longest are forgotten if they are at rest; and
        one that is not, when there is no other way."""
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
        """One that nothing came for since it was last looked at here: those for which something did go to the end."""
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
    """Return true when it is one condition for each key. Raises `BadOption` when only parts of it are."""
    kinds = {source.by is not None for source in condition.sources}
    if len(kinds) > 1:
        raise BadOption(
            "by", condition, "give by= to all rates and silences of a condition, or to none: it is one for each key"
        )
    return kinds == {True}
