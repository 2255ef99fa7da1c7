"""Groups as rows, and their lag, which is counted without reading all messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec

from telex.engines.sqlite.bounds import FileBounds
from telex.names import Pattern, is_pattern

_COLUMNS = "SELECT id, name, pattern, floor, paused, passed, held, split, rests, redo FROM telex_groups"
_FIND = f"{_COLUMNS} WHERE name = ? AND pattern = ?"
_ALL = f"{_COLUMNS} ORDER BY name, pattern"
_NAMES = """SELECT t.name FROM telex_messages m CROSS JOIN telex_topics t ON t.id = m.topic
    WHERE m.pos >= ? AND m.pos < ? AND t.name GLOB ?"""
_PLACE = "SELECT pos FROM telex_messages WHERE topic = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT 1"
"""Finds the place of the first message from a number on: a damaged file may lack some."""


class Group(msgspec.Struct):
    """A row of telex_groups."""

    id: int
    name: str
    pattern: str
    floor: int
    paused: int
    passed: int
    held: int
    split: int
    rests: int
    redo: int
    """After a seek: messages from the floor up to but not including this place may have rows in telex_claims."""

    @property
    def exact(self) -> bool:
        """True when the group takes from one topic, not from a pattern."""
        return not is_pattern(self.pattern)


def find(connection: sqlite3.Connection, name: str, pattern: str) -> Group | None:
    """Return a group, or None."""
    row = connection.execute(_FIND, (name, pattern)).fetchone()
    return None if row is None else Group(*row)


def redone(connection: sqlite3.Connection, group: Group) -> set[int]:
    """Return the places from the floor on whose messages were leased, or are dead, since before the last seek."""
    sql = "SELECT pos FROM telex_claims WHERE grp = ? AND pos >= ? AND pos < ?"
    return {pos for (pos,) in connection.execute(sql, (group.id, group.floor, group.redo))}


def set_rests(connection: sqlite3.Connection, group: Group, rests: bool) -> None:
    """Set whether the group rests: then topics keep no unclaimed messages for it. In a write transaction."""
    connection.execute("UPDATE telex_groups SET rests = ? WHERE id = ?", (rests, group.id))


def every(connection: sqlite3.Connection) -> list[Group]:
    """Return all groups, sorted by name and pattern."""
    return [Group(*row) for row in connection.execute(_ALL)]


def number_at(connection: sqlite3.Connection, topic: int, low: int, end: int, pos: int) -> int:
    """Return the first number of a topic, from ``low`` to ``end``, whose place is at or after ``pos``. Numbers and
    places grow together.
    """
    limit = end
    last = connection.execute(_PLACE, (topic, end - 1, limit)).fetchone() if low < end else None
    if last is not None and last[0] < pos:
        return end
    while low < end:
        middle = (low + end) // 2
        place = connection.execute(_PLACE, (topic, middle, limit)).fetchone()
        if place is None or place[0] >= pos:
            end = middle
        else:
            low = middle + 1
    return low


class GroupView:
    """The cached data of one thread about groups. All of it can be computed again from the file.

    Messages of the current transaction are not counted: `pos` and the ends of topics are those at its start.
    """

    def __init__(self, bounds: FileBounds) -> None:
        self.bounds: FileBounds = bounds
        self.pos: int = 1
        """The place of the next message."""
        self.bare: dict[int, int] = {}
        """By group: the place below which the group has no unclaimed message."""
        self._removals = -1
        # by group: the number of its messages before a place, as `Group.passed` counts
        self._sums: dict[int, tuple[int, int]] = {}
        self._places: dict[int, tuple[int, int, int]] = {}  # by group: topic, and the number at a place
        self._fits: dict[str, tuple[Callable[[str], bool], str]] = {}

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Read the current places, at the start of a transaction."""
        pos, removals = connection.execute("SELECT pos, removals FROM telex_state").fetchone()
        if removals != self._removals or pos < self.pos:
            self._sums, self._places, self.bare = {}, {}, {}
        self.pos, self._removals = pos, removals

    def fits(self, pattern: str) -> Callable[[str], bool]:
        """Return a function that tells whether a topic matches the pattern; its answers are cached."""
        return self._known(pattern)[0]

    def glob(self, pattern: str) -> str:
        """Return a GLOB expression for SQLite that is true for all topics that match, and for few others."""
        return self._known(pattern)[1]

    def _known(self, pattern: str) -> tuple[Callable[[str], bool], str]:
        known = self._fits.get(pattern)
        if known is None:
            matches, names = Pattern(pattern).matches, dict[str, bool]()

            def fits(name: str) -> bool:
                found = names.get(name)
                if found is None:
                    names[name] = found = matches(name)
                return found

            tokens = [
                "*" if token in ("*", ">") else "".join(f"[{c}]" if c in "*?[" else c for c in token)
                for token in pattern.split(":")
            ]
            self._fits[pattern] = known = fits, ":".join(tokens)
        return known

    def begins(self, connection: sqlite3.Connection, group: Group) -> dict[int, int]:
        """Return the first numbers of a group in its topics, where they do not follow from its floor."""
        sql = "SELECT topic, seq FROM telex_begins WHERE grp = ?"
        return dict(connection.execute(sql, (group.id,)).fetchall())

    def place(self, connection: sqlite3.Connection, group: Group, floor: int) -> tuple[int, int, int] | None:
        """Return, for a group on one topic: the topic, the first unclaimed number, and the topic's end."""
        sql = "SELECT id, end, swept FROM telex_topics WHERE name = ?"
        row = connection.execute(sql, (group.pattern,)).fetchone()
        if row is None:
            return None
        topic, end, swept = row
        known = self._places.get(group.id)
        if known is not None and known[:2] == (topic, floor):
            return topic, max(known[2], swept), end  # while the group rested, messages may have been deleted
        seq = number_at(connection, topic, swept, end, floor)
        self._places[group.id] = (topic, floor, seq)
        return topic, seq, end

    def lag(self, connection: sqlite3.Connection, group: Group) -> int:
        """Return the number of messages that are published and not settled, without dead letters."""
        ahead = self._ahead(connection, group)
        if group.floor < group.redo:
            ahead = max(0, ahead - len(redone(connection, group)))
        return group.held + ahead

    def _ahead(self, connection: sqlite3.Connection, group: Group) -> int:
        if group.floor >= self.pos:
            self._sums[group.id] = group.floor, group.passed
            return 0
        if group.exact:
            place = self.place(connection, group, group.floor)
            return 0 if place is None else place[2] - place[1]
        if self.bare.get(group.id, 0) >= self.pos:
            return 0
        start, sum = group.floor, group.passed
        known = self._sums.get(group.id)
        if known is not None and known[0] >= start:
            start, sum = known
        if start >= group.split and self.pos - start <= self.bounds.near_messages:
            fits = self.fits(group.pattern)
            names = connection.execute(_NAMES, (start, self.pos, self.glob(group.pattern)))
            sum += [fits(name) for (name,) in names].count(True)
        else:
            sum = group.passed + self._count(connection, group)
        self._sums[group.id] = self.pos, sum
        return sum - group.passed

    def _count(self, connection: sqlite3.Connection, group: Group) -> int:
        fits, begins = self.fits(group.pattern), self.begins(connection, group)
        sql = "SELECT id, end, swept, name FROM telex_topics WHERE name GLOB ?"
        return sum(
            end - max(number_at(connection, id, swept, end, group.floor), begins.get(id, 0))
            for id, end, swept, name in connection.execute(sql, (self.glob(group.pattern),)).fetchall()
            if fits(name)
        )
