"""`LeveledQueue`: the waiting commands of one name, ordered by priority without starvation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from telex.commands.plan import LEVELS, Priority

T = TypeVar("T")
MAX_PASSED = 8
"""The number of commands with a higher priority that may begin before the first waiting command of a level."""


class LeveledQueue(Generic[T]):
    """A queue for each priority. `popleft` takes from the highest level that has items; a level that was passed over
    `MAX_PASSED` times in a row comes next.
    """

    def __init__(self) -> None:
        self._levels: dict[Priority, deque[T]] = {level: deque() for level in LEVELS}
        self.size: int = 0
        """The number of items: an attribute, which costs less than ``len``."""
        self._normal = self._levels["normal"]
        self._passed = dict.fromkeys(LEVELS, 0)

    def append(self, item: T, level: Priority = "normal") -> None:
        """Add an item at the end of its level."""
        self._levels[level].append(item)
        self.size += 1

    def remove(self, item: T, level: Priority) -> None:
        """Remove an item. Raises `ValueError` when it is not there."""
        self._levels[level].remove(item)
        self.size -= 1

    def next(self) -> tuple[Priority, bool]:
        """Return the level of the next item, and true when it was passed over often enough to come before higher ones.
        Raises `IndexError` when the queue is empty.
        """
        waiting = [level for level in LEVELS if self._levels[level]]
        if not waiting:
            raise IndexError("the queue is empty")
        # the lowest first: it has waited for the others
        passed = next((level for level in reversed(waiting) if self._passed[level] >= MAX_PASSED), None)
        return (waiting[0], False) if passed is None else (passed, True)

    def popleft(self) -> T:
        """Remove and return the next item. Raises `IndexError` when the queue is empty."""
        if len(self._normal) == self.size:  # nearly always: no other priority waits
            item = self._normal.popleft()
            self.size -= 1
            self._passed["normal"] = 0
            return item
        chosen, _ = self.next()
        for level in LEVELS:
            if self._levels[level]:
                self._passed[level] = 0 if level == chosen else self._passed[level] + 1
        self.size -= 1
        return self._levels[chosen].popleft()

    def count(self, level: Priority) -> int:
        """Return the number of items of a level."""
        return len(self._levels[level])

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[T]:
        for level in LEVELS:
            yield from self._levels[level]
