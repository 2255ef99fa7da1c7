"""`Lines`: the calls of one process that wait for their limit, in a line for each key.

No asyncio, no clock, no I/O. Keys take turns (round robin), so that a long line does not delay the other keys. A line
is blocked while its key may not begin a call. The calls in blocked lines are bounded: when there are too many, the
longest line gives up its tail (longest queue drop, as in stochastic fairness queueing).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
MAX_PASSED = 8
"""The number of calls of higher levels that may begin before the first waiting call of a level."""


class KeyLine(Generic[T]):
    """The waiting calls of one key, by level. The highest level begins first."""

    __slots__ = ("blocked", "levels", "passed", "size")

    def __init__(self) -> None:
        self.levels: dict[int, deque[T]] = {}
        self.passed: dict[int, int] = {}
        self.size: int = 0
        self.blocked: bool = False

    def append(self, item: T, level: int) -> None:
        """Add a call at the end of its level."""
        if level not in self.levels:
            self.levels[level], self.passed[level] = deque(), 0
        self.levels[level].append(item)
        self.size += 1

    def popleft(self) -> T:
        """Remove the first call of the highest level, or of a level that was passed over `MAX_PASSED` times."""
        waiting = sorted((level for level, items in self.levels.items() if items), reverse=True)
        # the lowest first: it has waited for the others
        chosen = next((level for level in reversed(waiting) if self.passed[level] >= MAX_PASSED), waiting[0])
        for level in waiting:
            self.passed[level] = 0 if level == chosen else self.passed[level] + 1
        self.size -= 1
        return self.levels[chosen].popleft()

    def pop(self) -> T:
        """Remove the last call of the lowest level."""
        level = min(level for level, items in self.levels.items() if items)
        self.size -= 1
        return self.levels[level].pop()

    def remove(self, item: T) -> bool:
        """Remove a call. Return false when it is not there."""
        for items in self.levels.values():
            if item in items:
                items.remove(item)
                self.size -= 1
                return True
        return False

    def __iter__(self) -> Iterator[T]:
        for items in self.levels.values():
            yield from items


class Lines(Generic[T]):
    """The lines of all keys. ``size`` is the number of waiting calls, ``blocked`` the number of those in blocked lines.

    Invariant: a key that is not blocked is in the order of turns once.
    """

    def __init__(self) -> None:
        self._lines: dict[str, KeyLine[T]] = {}
        self._turns: deque[str] = deque()
        self.blocked: int = 0
        self.size: int = 0

    def add(self, key: str, item: T, level: int = 0) -> None:
        """Add a call to the line of its key."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = KeyLine()
            self._turns.append(key)
        line.append(item, level)
        self.size += 1
        self.blocked += line.blocked

    def length(self, key: str) -> int:
        """Return the number of calls that wait for a key."""
        line = self._lines.get(key)
        return 0 if line is None else line.size

    def next_key(self) -> str | None:
        """Return the key whose turn is next, and block its line until `unblock`; None when every line is blocked."""
        while self._turns:
            key = self._turns.popleft()
            line = self._lines.get(key)
            if line is not None and not line.blocked and self._block(key, line):
                return key
        return None

    def _block(self, key: str, line: KeyLine[T]) -> bool:
        if not line.size:
            del self._lines[key]
            return False
        line.blocked = True
        self.blocked += line.size
        return True

    def unblock(self, key: str) -> None:
        """Let a key have turns again."""
        line = self._lines.get(key)
        if line is None or not line.blocked:
            return
        line.blocked = False
        self.blocked -= line.size
        if line.size:
            self._turns.append(key)
        else:
            del self._lines[key]

    def take(self, key: str) -> T | None:
        """Remove and return the first call of a key, or None."""
        line = self._lines.get(key)
        return None if line is None or not line.size else self._removed(line, line.popleft())

    def _removed(self, line: KeyLine[T], item: T) -> T:
        self.size -= 1
        self.blocked -= line.blocked
        return item

    def remove(self, key: str, item: T) -> bool:
        """Remove a call. Return false when it does not wait."""
        line = self._lines.get(key)
        if line is None or not line.remove(item):
            return False
        self._removed(line, item)
        return True

    def longest(self) -> str:
        """Return the key of the longest blocked line. Raises `ValueError` when there is none."""
        return max((key for key, line in self._lines.items() if line.blocked), key=self.length)

    def give_up(self, key: str) -> T:
        """Remove and return the last call of a line. Raises `ValueError` for an empty line."""
        line = self._lines[key]
        return self._removed(line, line.pop())

    def clear(self) -> list[T]:
        """Remove and return all calls."""
        items = list(self)
        self._lines.clear()
        self._turns.clear()
        self.blocked = self.size = 0
        return items

    def __iter__(self) -> Iterator[T]:
        for line in self._lines.values():
            yield from line
