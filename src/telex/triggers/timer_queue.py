"""`TimerQueue`: triggers in the order in which they are due. No clock, no I/O."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Generic, Protocol, TypeVar

SLOTS_PER_SECOND = 4.0
"""The number of slots per second."""
MAX_DEAD_ITEMS = 64
"""The number of dropped items that may stay in the queue, even when it has few other items."""


class Queued(Protocol):
    """An object in a `TimerQueue`."""

    queue_entry: int
    """The number of its item in the queue, 0 for none. Items with other numbers are dead."""


Q = TypeVar("Q", bound=Queued)


class TimerQueue(Generic[Q]):
    """Triggers by their next instant; each trigger has one.

    One large heap would be slow. So later items lie in slots of a quarter of a second. The first item of a slot is its
    earliest, the others are in no order; a slot is sorted when its first item is due. Sorting costs little, since most
    items were put there in order.

    Invariant: every item of `_run` and `_late` is earlier than every item of `_slots`.
    """

    __slots__ = ("_count", "_dead", "_entries", "_late", "_reached", "_run", "_slots", "_starts")

    def __init__(self) -> None:
        self._slots: dict[int, list[tuple[float, int, Q]]] = {}
        self._starts: list[int] = []  # a heap of the numbers of the slots
        self._reached = 0  # the last slot that was opened
        self._run: list[tuple[float, int, Q]] = []  # the rest of the open slot, the earliest item at the end
        self._late: list[tuple[float, int, Q]] = []  # a heap of items that were put into a slot after it was opened
        self._count = 0
        self._dead = 0  # the number of dead items
        self._entries = count(1)

    def __len__(self) -> int:
        """Return the number of items, dead ones included."""
        return self._count

    def put(self, at: float, trigger: Q) -> None:
        """Set the instant of a trigger to ``at``."""
        if trigger.queue_entry:
            self.drop(trigger)
        if self._dead > MAX_DEAD_ITEMS and self._dead > self._count // 2:
            self._sweep()
        trigger.queue_entry = entry = next(self._entries)
        item = (at, entry, trigger)
        self._count += 1
        slot = int(at * SLOTS_PER_SECOND)
        if slot <= self._reached:
            heappush(self._late, item)
            return
        found = self._slots.get(slot)
        if found is None:
            self._slots[slot] = [item]
            heappush(self._starts, slot)
            return
        if at < found[0][0]:
            found[0], item = item, found[0]
        found.append(item)

    def drop(self, trigger: Q) -> None:
        """Remove a trigger. Its item stays, as a dead item."""
        if not trigger.queue_entry:
            return
        trigger.queue_entry = 0
        self._dead += 1
        if self._dead == self._count:
            for items in (self._slots, self._starts, self._run, self._late):
                items.clear()
            self._count = self._dead = self._reached = 0

    def first(self) -> float:
        """Return an instant before which no trigger is due; inf for an empty queue."""
        near = min(self._run[-1][0] if self._run else inf, self._late[0][0] if self._late else inf)
        return near if near < inf or not self._starts else self._slots[self._starts[0]][0][0]

    def take(self, now: float) -> Q | None:
        """Remove and return the earliest trigger that is due at ``now``, or None."""
        while True:
            run, late = self._run, self._late
            if late and (not run or late[0] < run[-1]):
                if late[0][0] > now:
                    return None
                _, entry, trigger = heappop(late)
            elif run:
                if run[-1][0] > now:
                    return None
                _, entry, trigger = run.pop()
            elif self._open(now):
                continue
            else:
                return None
            self._count -= 1
            if trigger.queue_entry == entry:
                trigger.queue_entry = 0
                return trigger
            self._dead -= 1

    def _open(self, now: float) -> bool:
        """Open the next slot if its first item is due. Return true when it was opened."""
        if not self._starts or self._slots[self._starts[0]][0][0] > now:
            return False
        self._reached = heappop(self._starts)
        self._run = self._slots.pop(self._reached)
        self._run.sort(reverse=True)
        return True

    def _sweep(self) -> None:
        """Remove the dead items."""
        self._run = [item for item in self._run if item[2].queue_entry == item[1]]
        self._late = [item for item in self._late if item[2].queue_entry == item[1]]
        heapify(self._late)
        slots = (
            (slot, [item for item in items if item[2].queue_entry == item[1]]) for slot, items in self._slots.items()
        )
        self._slots = {slot: sorted(items) for slot, items in slots if items}
        self._starts = sorted(self._slots)
        self._count -= self._dead
        self._dead = 0
