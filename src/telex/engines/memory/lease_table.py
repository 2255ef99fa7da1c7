"""`LeaseTable`: the leases and settlements of one consumer group on a log of this process.

No asyncio, no clock, no I/O: time is an argument, in seconds since 1970. The rules are those of
`telex.engines.contract.groups`. The cost of a message grows with the logarithm of the number of unsettled messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

import msgspec

from telex.engines.contract.groups import DEAD_LETTER_ACTIONS, DeadLetter, Delivery, GroupInfo, Settlement
from telex.log.cursor import Cursor
from telex.log.log import NEVER
from telex.log.options import Options
from telex.log.state import State

if TYPE_CHECKING:
    from telex.log.log import Log
    from telex.message import Message

WAITS, READY, LEASED = 0, 1, 2
LOOK = 4096
"""The largest number of messages that one claim skips because they wait for an earlier message of their key."""


class Claimed(msgspec.Struct, frozen=True):
    """The result of a claim."""

    deliveries: Sequence[Delivery]
    next_due: float | None
    """The next time when a delay or a lease ends; None when none is running."""
    lag: int
    """The number of messages that are published and not settled, including leased ones."""


class LeaseEntry(msgspec.Struct, eq=False):
    """A message that the group has read from the log, and that is neither settled nor dead."""

    position: int
    message: Message[Any]
    attempt: int = 0
    token: int = 0
    """The fencing token of the last claim, also after its lease has ended; 0 before a claim."""
    state: int = WAITS
    due: float | None = None
    """The end of its delay or lease. None when it is ready, or waits for an earlier message of its key."""
    reason: str = ""
    died: float = 0.0


class Line:
    """The unsettled messages of one key, in order."""

    __slots__ = ("leased", "positions")

    def __init__(self) -> None:
        self.positions: list[int] = []  # a heap; positions that are settled or dead are discarded
        self.leased: LeaseEntry | None = None


class LeaseTable:
    """The leases of one group.

    Invariant: at most one entry of a key is leased, and an entry that is claimed is the first of its key. Invariant: an
    entry that waits is in `later`, or becomes ready when another entry of its key's `Line` is settled.
    """

    def __init__(self, group: str, pattern: str, log: Log, first: int) -> None:
        self.group: str = group
        self.pattern: str = pattern
        self.paused: bool = False
        self._cursor = Cursor(log, Options(buffer=NEVER), first)
        self._cursor.lasting = self._cursor.takes_expired = True
        self.entries: dict[int, LeaseEntry] = {}
        self._dead: dict[int, LeaseEntry] = {}
        self.lines: dict[str, Line] = {}
        # Heaps of positions. A position is checked when it is taken, and discarded if its entry is not ready.
        self._again: list[int] = []
        self._first: list[int] = []  # positions of no attempt yet: released, revived, or those whose key was leased
        # a heap; an item is discarded unless `LeaseEntry.due` is the same
        self.later: list[tuple[float, tuple[int, ...]]] = []
        self.later_size: int = 0
        self._count = 0
        self._token = 0
        self._stirred = False
        # Of messages that were leased or dead at the last seek, and are after its start: not leased again.
        self._skipped: dict[int, Message[Any]] = {}

    # -- claiming

    def claim(self, limit: int, lease: float, owner: str, now: float) -> Claimed:
        """Lease messages to a member, and return the deliveries."""
        if self.paused:
            return Claimed((), None, self.lag)
        while (following := self._cursor.move_on()) is not None:
            self._renew(following)
        self._pass(now)
        found: list[LeaseEntry] = []
        if self._again:
            self._take(self._again, found, limit, first=False)
        if self._first and len(found) < limit:
            self._take(self._first, found, limit, first=True)
        looked = len(found) == limit or self._take_new(found, limit)
        deliveries = self._lease(found, now + lease)
        return Claimed(deliveries, self._next_due() if looked else now, self.lag)

    def _pass(self, now: float) -> None:
        """Make entries ready whose delay or lease has ended by ``now``."""
        later = self.later
        while later and later[0][0] <= now:
            due, positions = heappop(later)
            self.later_size -= len(positions)
            for position in positions:
                entry = self.entries.get(position)
                if entry is not None and entry.due == due:
                    entry.due, entry.state = None, WAITS
                    self._offer(entry)

    def _offer(self, entry: LeaseEntry) -> None:
        """Make an entry ready that is not leased or delayed, or let it wait for its key."""
        key = entry.message.key
        if key is None:
            self._make_ready(entry)
            return
        line = self.lines[key]
        if line.leased is entry:
            line.leased = None
        self._go_on(key, line)

    def _go_on(self, key: str, line: Line) -> None:
        """Make the first entry of a key ready, if it is not leased or delayed."""
        head = self._head(line)
        if head is None:
            del self.lines[key]
        elif line.leased is None and head.state == WAITS and head.due is None:
            self._make_ready(head)

    def _head(self, line: Line) -> LeaseEntry | None:
        positions = line.positions
        while positions:
            entry = self.entries.get(positions[0])
            if entry is not None:
                return entry
            heappop(positions)
        return None

    def _make_ready(self, entry: LeaseEntry) -> None:
        entry.state = READY
        self._stirred = True
        heappush(self._again if entry.attempt else self._first, entry.position)

    def _take(self, heap: list[int], found: list[LeaseEntry], limit: int, *, first: bool) -> None:
        while heap and len(found) < limit:
            entry = self.entries.get(heappop(heap))
            if entry is None or entry.state != READY or first is bool(entry.attempt):
                continue
            key = entry.message.key
            if key is not None:
                line = self.lines[key]
                if line.leased is not None or self._head(line) is not entry:
                    entry.state = WAITS  # an earlier entry was revived, or the lease of a later one renewed
                    continue
                line.leased = entry
            entry.state = LEASED
            found.append(entry)

    def _take_new(self, found: list[LeaseEntry], limit: int) -> bool:
        """Read new messages from the log until ``limit`` are found. Return true when none is left, or enough were
        found.
        """
        cursor, entries, passed = self._cursor, self.entries, 0
        while len(found) < limit:
            if passed >= LOOK:
                return False
            room = limit - len(found)
            messages: Any = cursor.take_many(room)  # the cursor of a group reports no hole
            if isinstance(messages, State):
                return True
            for message in self._not_skipped(messages) if self._skipped else messages:
                self._count = position = self._count + 1
                entries[position] = entry = LeaseEntry(position, message)
                key = message.key
                if key is None or self._opens(key, entry):
                    entry.state = LEASED
                    found.append(entry)
                else:
                    passed += 1
        return True

    def _opens(self, key: str, entry: LeaseEntry) -> bool:
        """Add a new entry to the line of its key. Return true when it is the first one."""
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line()
            line.leased = entry
        heappush(line.positions, entry.position)
        return line.leased is entry

    def _lease(self, found: list[LeaseEntry], end: float) -> list[Delivery]:
        deliveries, token = [], self._token
        for entry in found:
            token += 1
            entry.attempt += 1
            entry.token, entry.due = token, end
            deliveries.append(Delivery(entry.message, entry.position, entry.attempt, token))
        self._token = token
        if found:
            self._schedule(end, tuple([entry.position for entry in found]))
        return deliveries

    def _schedule(self, due: float, positions: tuple[int, ...]) -> None:
        heappush(self.later, (due, positions))
        self.later_size += len(positions)
        if self.later_size > 2 * len(self.entries) + LOOK:
            # Most items are outdated: the heap is rebuilt.
            self.later = [(e.due, (e.position,)) for e in self.entries.values() if e.due is not None]
            self.later_size = len(self.later)
            heapify(self.later)

    def _next_due(self) -> float | None:
        later = self.later
        while later:
            due, positions = later[0]
            for position in positions:
                entry = self.entries.get(position)
                if entry is not None and entry.due == due:
                    return due
            heappop(later)
            self.later_size -= len(positions)
        return None

    # -- settling

    def settle(self, settlements: Sequence[Settlement], now: float) -> list[bool]:
        """Settle deliveries, or a dead letter. Return for each whether its settlement won."""
        self._pass(now)
        if settlements and settlements[0].action in DEAD_LETTER_ACTIONS:
            (letter,) = settlements
            return [self._revive(letter.position) if letter.action == "retry" else self._drop(letter.position)]
        return [self._settle(settlement, now) for settlement in settlements]

    def _settle(self, settlement: Settlement, now: float) -> bool:
        entry = self.entries.get(settlement.position)
        if entry is None or entry.token != settlement.token:
            return False
        action = settlement.action
        if action == "extend":
            return self._extend(entry, now + settlement.seconds)
        entry.token, entry.due = 0, None
        if action in {"nack", "release"}:
            entry.state, entry.reason = WAITS, settlement.reason
            entry.attempt -= action == "release"
            if settlement.seconds > 0:
                self._stirred = True  # waiting consumers have to wait less
                entry.due = now + settlement.seconds
                self._schedule(entry.due, (entry.position,))
        else:
            del self.entries[entry.position]
            if action == "reject":
                entry.reason, entry.died = settlement.reason, now
                self._dead[entry.position] = entry
            if entry.message.key is None:
                return True
        if entry.message.key is not None or entry.due is None:
            self._offer(entry)
        return True

    def _extend(self, entry: LeaseEntry, end: float) -> bool:
        key = entry.message.key
        if key is not None:
            line = self.lines[key]
            if line.leased not in (None, entry):
                return False  # its lease had ended, and an earlier entry of its key is leased
            line.leased = entry
        entry.state, entry.due = LEASED, end
        self._schedule(end, (entry.position,))
        return True

    def stirred(self) -> bool:
        """Return true when, since the last call, a message became ready, or will be ready earlier than a claim has
        returned.
        """
        stirred, self._stirred = self._stirred, False
        return stirred

    # -- seeking

    def seek(self, first: int) -> None:
        """Continue with number ``first`` of the log. Leased messages and dead letters stay."""
        log, old = self.log, self._cursor
        self._cursor = Cursor(log, Options(buffer=NEVER), first)
        self._cursor.lasting = self._cursor.takes_expired = True
        _stop(old)
        self.entries = {position: entry for position, entry in self.entries.items() if entry.state == LEASED}
        self.lines = {}
        for position, entry in self.entries.items():
            if entry.message.key is not None:
                self.lines[entry.message.key] = line = Line()
                line.positions, line.leased = [position], entry
        self._again, self._first = [], []
        kept = {id(entry.message) for entry in (*self.entries.values(), *self._dead.values())}
        self._skipped = {id(message): message for message in log.slice(first, log.end) if id(message) in kept}

    def _not_skipped(self, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        return [message for message in messages if self._skipped.pop(id(message), None) is not message]

    # -- dead letters

    def _revive(self, position: int) -> bool:
        """Deliver a dead letter again, with attempt 1. Return false when there is none."""
        entry = self._dead.pop(position, None)
        if entry is None:
            return False
        entry.state, entry.attempt, entry.reason = WAITS, 0, ""
        self.entries[position] = entry
        key = entry.message.key
        if key is not None:
            heappush(self.lines.setdefault(key, Line()).positions, position)
        self._offer(entry)
        return True

    def _drop(self, position: int) -> bool:
        """Delete a dead letter. Return false when there is none."""
        return self._dead.pop(position, None) is not None

    def dead(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        found = sorted(self._dead.values(), key=lambda entry: (entry.died, entry.position))
        return [DeadLetter(self.group, self.pattern, e.position, e.message, e.attempt, e.reason, e.died) for e in found]

    # -- life

    @property
    def log(self) -> Log:
        """The log that it takes from."""
        return self._cursor.log

    def _renew(self, cursor: Cursor) -> None:
        """Continue with ``cursor`` in the next epoch: the topic was removed with its unsettled messages. Dead letters
        stay.
        """
        self._cursor = cursor
        self._skipped.clear()
        self.entries.clear()
        self.lines.clear()

    def close(self) -> None:
        """Remove the group's cursor from the log: the group was deleted."""
        _stop(self._cursor)

    # -- counts

    @property
    def lag(self) -> int:
        """The number of messages that are published and not settled, without dead letters."""
        return self._cursor.waiting + len(self.entries) - len(self._skipped)

    def info(self) -> GroupInfo:
        """Return the counts of the group, as of the last claim or settlement."""
        leased = sum(entry.state == LEASED for entry in self.entries.values())
        delayed = len(self.entries) - leased
        return GroupInfo(self.group, self.pattern, self.lag, leased, delayed, len(self._dead), self.paused)


def _stop(cursor: Cursor) -> None:
    cursor.end("closed")
    cursor.stop()
