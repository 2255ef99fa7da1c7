"""`Ledger`: what one consumer group has taken of a log of this process, and what became of it.

No asyncio, no clock, no I/O: time is an argument, in seconds since 1970. The rules are those of `telex.engines.groups`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import msgspec

from telex.cursor import EMPTY, ENDED, Cursor
from telex.engines.groups import Claimed, DeadLetter, Delivery, GroupInfo, Settlement
from telex.holdings import Options
from telex.overflow import NEVER

if TYPE_CHECKING:
    from telex.log import Log
    from telex.message import Message

WAITS, LEASED, DEAD = 0, 1, 2


class Entry(msgspec.Struct, eq=False):
    """A message that the group has looked at and not settled."""

    position: int
    message: Message[Any]
    attempt: int = 0
    token: int = 0
    state: int = WAITS
    due: float | None = None
    """When it may be claimed again: the end of its delay or of its lease. None: not before an earlier one of its key is
    settled."""
    reason: str = ""
    died: float = 0.0


class Ledger:
    """One group.

    Invariant: of the entries of one key that are not dead, at most one is leased, and it was the oldest then.
    """

    def __init__(self, group: str, pattern: str, log: Log, first: int) -> None:
        self.group: str = group
        self.pattern: str = pattern
        self.paused: bool = False
        self._cursor = Cursor(log, Options(buffer=NEVER), first)
        self._entries: dict[int, Entry] = {}
        self._keys: dict[str, list[int]] = {}  # positions that are not settled, oldest first
        self._due: list[tuple[float, int]] = []  # a heap; what is not an entry's `due` any more is of no account
        self._count = 0
        self._token = 0
        self._dead = 0

    def claim(self, limit: int, lease: float, owner: str, now: float) -> Claimed:
        """Lease messages to a member."""
        found: list[Entry] = []
        if not self.paused:
            self._claim_again(found, limit, now)
            self._claim_fresh(found, limit)
        deliveries = []
        for entry in found:
            self._token += 1
            entry.attempt += 1
            entry.token, entry.state = self._token, LEASED
            self._set_due(entry, now + lease)
            deliveries.append(Delivery(entry.message, entry.position, entry.attempt, entry.token, now + lease))
        return Claimed(deliveries, None if self.paused else self._next_due(), self.lag)

    def _claim_again(self, found: list[Entry], limit: int, now: float) -> None:
        again: list[Entry] = []
        while self._due and self._due[0][0] <= now:
            due, position = heappop(self._due)
            entry = self._entries.get(position)
            if entry is not None and entry.due == due and entry.state != DEAD:
                again.append(entry)
        again.sort(key=lambda entry: entry.position)
        for entry in again:
            if len(found) < limit and self._is_free(entry, now):
                entry.due = None
                found.append(entry)
            elif entry.due is not None:
                if self._is_free(entry, now):
                    heappush(self._due, (entry.due, entry.position))
                else:
                    entry.state, entry.due = WAITS, None
                    self._wake_key(entry.message._key, now)

    def _claim_fresh(self, found: list[Entry], limit: int) -> None:
        cursor = self._cursor
        while len(found) < limit:
            state = cursor.load()
            if state is EMPTY or state is ENDED:
                return
            message = cursor.pop()
            self._count += 1
            entry = self._entries[self._count] = Entry(self._count, message)
            key = message._key
            if key is not None:
                self._keys.setdefault(key, []).append(entry.position)
                if self._keys[key][0] != entry.position:
                    continue  # it waits for an earlier one
            found.append(entry)

    def _is_free(self, entry: Entry, now: float) -> bool:
        """Whether nothing of its key comes before it or is worked on."""
        key = entry.message._key
        if key is None:
            return True
        if self._keys[key][0] != entry.position:
            return False
        for position in self._keys[key][1:]:
            other = self._entries[position]
            if other.state == LEASED and other.due is not None and other.due > now:
                return False
        return True

    def _set_due(self, entry: Entry, due: float) -> None:
        entry.due = due
        heappush(self._due, (due, entry.position))

    def _next_due(self) -> float | None:
        while self._due:
            due, position = self._due[0]
            entry = self._entries.get(position)
            if entry is not None and entry.due == due and entry.state != DEAD:
                return due
            heappop(self._due)
        return None

    def settle(self, settlements: Iterable[Settlement], now: float) -> list[bool]:
        """Settle deliveries; for each, whether it won."""
        return [self._settle(settlement, now) for settlement in settlements]

    def _settle(self, settlement: Settlement, now: float) -> bool:
        entry = self._entries.get(settlement.position)
        if entry is None or entry.state != LEASED or entry.token != settlement.token:
            return False
        if settlement.action == "extend":
            self._set_due(entry, now + settlement.seconds)
        elif settlement.action == "nack":
            entry.state, entry.reason = WAITS, settlement.reason
            self._set_due(entry, now + settlement.seconds)
            self._wake_key(entry.message._key, now)  # an earlier one may have come back meanwhile
        elif settlement.action == "ack":
            del self._entries[entry.position]
            self._free_key(entry, now)
        else:
            entry.state, entry.due, entry.reason, entry.died = DEAD, None, settlement.reason, now
            self._dead += 1
            self._free_key(entry, now)
        return True

    def _free_key(self, entry: Entry, now: float) -> None:
        """It is settled or dead: the next of its key may go on."""
        key = entry.message._key
        if key is None:
            return
        positions = self._keys[key]
        positions.remove(entry.position)
        if not positions:
            del self._keys[key]
        self._wake_key(key, now)

    def _wake_key(self, key: str | None, now: float) -> None:
        """The oldest of a key need not wait any more, if it does."""
        positions = None if key is None else self._keys.get(key)
        if positions:
            first = self._entries[positions[0]]
            if first.state == WAITS and first.due is None:
                self._set_due(first, now)

    def revive(self, position: int, now: float) -> bool:
        """Deliver a dead letter again, as if for the first time."""
        entry = self._entries.get(position)
        if entry is None or entry.state != DEAD:
            return False
        entry.state, entry.attempt, entry.reason = WAITS, 0, ""
        self._dead -= 1
        key = entry.message._key
        if key is not None:
            insort(self._keys.setdefault(key, []), position)
        self._set_due(entry, now)
        return True

    def drop(self, position: int) -> bool:
        """Forget a dead letter."""
        entry = self._entries.get(position)
        if entry is None or entry.state != DEAD:
            return False
        del self._entries[position]
        self._dead -= 1
        return True

    def close(self) -> None:
        """The group is forgotten, with all that it holds."""
        self._cursor.end("closed")
        self._cursor.stop()

    # -- accounts

    @property
    def lag(self) -> int:
        """Messages that are published and not settled, without dead ones."""
        return self._cursor.waiting + len(self._entries) - self._dead

    def info(self) -> GroupInfo:
        """The group at this moment."""
        states = [entry.state for entry in self._entries.values()]
        return GroupInfo(
            self.group,
            self.pattern,
            self._cursor.waiting + states.count(WAITS) + states.count(LEASED),
            states.count(LEASED),
            states.count(WAITS),
            states.count(DEAD),
            self.paused,
        )

    def dead(self) -> list[DeadLetter]:
        """Dead letters, the oldest first."""
        return [
            DeadLetter(self.group, self.pattern, e.position, e.message, e.attempt, e.reason, e.died)
            for e in self._entries.values()
            if e.state == DEAD
        ]
