"""`TimerQueue`: which triggers of a scheduler are to be rung, and when. No clock, no I/O."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telex.triggers.trigger import Trigger

Item = tuple[float, int, "Trigger"]
SLOTS = 4.0
"""Into so many slots each second is divided."""
FEW = 64
"""So many items of no use are not worth looking for."""


class TimerQueue:
    """Triggers by the instant for which they were put here, each for one at a time.

    One heap of all would do, but taking from it costs more the more it has. So what is for later lies in slots, in no
    order but that the first is the earliest, and a slot is sorted when its time has come: that costs little, since
    most of it was put there in order.

    Invariant: all of `_run` and `_late` is earlier than all of `_slots`.
    """

    __slots__ = ("_count", "_dead", "_entries", "_late", "_reached", "_run", "_slots", "_starts")

    def __init__(self) -> None:
        self._slots: dict[int, list[Item]] = {}
        self._starts: list[int] = []  # a heap of the slots that there are
        self._reached = 0  # the last slot that was opened
        self._run: list[Item] = []  # what is left of it, the earliest at the end
        self._late: list[Item] = []  # a heap of what was put into a slot that was open already
        self._count = 0
        self._dead = 0  # of these, those that are of no use any more
        self._entries = count(1)

    def __len__(self) -> int:
        """How many items there are, also of no use any more."""
        return self._count

    def put(self, at: float, trigger: Trigger) -> None:
        """Have a trigger taken at ``at``, and at no other instant any more."""
        if trigger.entry:
            self.drop(trigger)
        if self._dead > FEW and self._dead > self._count // 2:
            self._sweep()
        trigger.entry = entry = next(self._entries)
        item = (at, entry, trigger)
        self._count += 1
        slot = int(at * SLOTS)
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

    def drop(self, trigger: Trigger) -> None:
        """Have a trigger not taken."""
        if not trigger.entry:
            return
        trigger.entry = 0
        self._dead += 1
        if self._dead == self._count:
            for items in (self._slots, self._starts, self._run, self._late):
                items.clear()
            self._count = self._dead = self._reached = 0

    def first(self) -> float:
        """No trigger is to be taken before this instant; inf when there is none."""
        near = min(self._run[-1][0] if self._run else inf, self._late[0][0] if self._late else inf)
        return near if near < inf or not self._starts else self._slots[self._starts[0]][0][0]

    def take(self, now: float) -> Trigger | None:
        """One whose instant has come, the earliest first; None when there is none any more."""
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
            if trigger.entry == entry:
                trigger.entry = 0
                return trigger
            self._dead -= 1  # it was put here anew, or has ended

    def _open(self, now: float) -> bool:
        """Go on to the next slot, if anything of it is due."""
        if not self._starts or self._slots[self._starts[0]][0][0] > now:
            return False
        self._reached = heappop(self._starts)
        self._run = self._slots.pop(self._reached)
        self._run.sort(reverse=True)
        return True

    def _sweep(self) -> None:
        """What is of no use goes."""
        self._run = [item for item in self._run if item[2].entry == item[1]]
        self._late = [item for item in self._late if item[2].entry == item[1]]
        heapify(self._late)
        slots = ((slot, [item for item in items if item[2].entry == item[1]]) for slot, items in self._slots.items())
        self._slots = {slot: sorted(items) for slot, items in slots if items}
        self._starts = sorted(self._slots)
        self._count -= self._dead
        self._dead = 0
