"""Retention: the rules of the file, the range of messages that readers see, and deleting the others.

Readers see exactly the messages that the rules keep at the moment of reading. Messages are deleted later, a few hundred
rows at a time, after other processes have read them and groups have settled them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from telex.engines.sqlite.bounds import BOUNDS, FileBounds
from telex.log.log import Retention
from telex.names import Pattern

DEFAULT = Retention()
CHUNK = 500
"""The most rows that are deleted in one transaction."""


class RetentionRules:
    """The retention rules of the file, cached for one connection."""

    def __init__(self) -> None:
        self.version: int = -1
        self.ages: bool = False  # True when messages expire by age
        self._rules: list[tuple[Pattern, Retention]] = []  # the rule that applies comes first
        self._known: dict[str, Retention] = {}

    def refresh(self, connection: sqlite3.Connection, version: int) -> None:
        """Read the rules again if ``version``, which is `telex_state.rules`, has changed."""
        if version == self.version:
            return
        self.set(
            connection.execute("SELECT pattern, messages, age, bytes FROM telex_rules ORDER BY ord DESC").fetchall(),
            version,
        )

    def set(self, found: list[tuple[Any, ...]], version: int) -> None:
        """Set the rules from rows; the rule that applies comes first."""
        self._rules = [(Pattern(row[0]), Retention(*row[1:])) for row in found]
        self.ages = any(rule.age is not None for _, rule in self._rules)
        self._known = {}
        self.version = version

    def of(self, topic: str) -> Retention:
        """Return the retention of a topic."""
        rule = self._known.get(topic)
        if rule is None:
            rule = next((rule for pattern, rule in self._rules if pattern.matches(topic)), DEFAULT)
            self._known[topic] = rule
        return rule


class VisibleRange(msgspec.Struct, frozen=True):
    """The messages of a topic that a reader sees in one transaction."""

    id: int
    name: str
    epoch: str
    uid: int
    first: int
    end: int
    trimmed: float | None
    """The time of publishing of the last message that is no longer visible, or None."""
    gone: int
    """The total of message ``first - 1``."""


def look(connection: sqlite3.Connection, name: str, rules: RetentionRules, now: float) -> VisibleRange | None:
    """Return the range of a topic that readers see at ``now``, or None when there is no such topic."""
    row = connection.execute(
        "SELECT id, epoch, uid, end, first, trimmed, gone, total FROM telex_topics WHERE name = ?", (name,)
    ).fetchone()
    if row is None:
        return None
    id, epoch, uid, end, stored, trimmed, gone, total = row
    if not all(type(number) is int for number in (end, stored, gone, total)):
        raise ValueError(f"the row of topic {name!r} is damaged")
    first = _first(connection, id, stored, end, total, gone, rules.of(name), now)
    if first > stored:
        sql = "SELECT time, total FROM telex_messages WHERE topic = ? AND seq = ?"
        trimmed, gone = connection.execute(sql, (id, first - 1)).fetchone() or (trimmed, gone)
    return VisibleRange(id, name, epoch, int(uid), first, end, trimmed, gone)


def _first(
    connection: sqlite3.Connection, id: int, stored: int, end: int, total: int, gone: int, rule: Retention, now: float
) -> int:
    first = stored
    if rule.messages is not None:
        first = max(first, end - rule.messages)
    if rule.age is not None:
        oldest = now - rule.age
        first = search(connection, id, first, end, lambda time, _: time > oldest)
    if rule.bytes is not None and total - gone > rule.bytes:
        # The bytes after this message fit, so it is the last one that goes.
        room = total - rule.bytes
        first = max(first, min(end, search(connection, id, stored, end, lambda _, total: total >= room) + 1))
    return first


_MEASURES = "SELECT time, total FROM telex_messages WHERE topic = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT 1"


def search(connection: sqlite3.Connection, topic: int, first: int, end: int, fits: Callable[[float, int], bool]) -> int:
    """Return the first number from ``first`` on whose time and total fit, or ``end``. All messages after a fitting one
    fit too.
    """
    low, high = first, end
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(_MEASURES, (topic, middle, end)).fetchone()
        if found is None or fits(*found):  # a damaged file may lack messages
            high = middle
        else:
            low = middle + 1
    return low


def floor_of(connection: sqlite3.Connection, topic: str) -> int | None:
    """Return the lowest floor of the groups of a topic, or None when no group keeps unclaimed messages."""
    floors = [
        floor
        for pattern, floor in connection.execute("SELECT pattern, floor FROM telex_groups WHERE NOT rests")
        if Pattern(pattern).matches(topic)
    ]
    return min(floors, default=None)


_HELD = """EXISTS (SELECT 1 FROM telex_groups g CROSS JOIN telex_claims c ON c.grp = g.id
    WHERE c.pos = telex_messages.pos)"""


class SweepResult(msgspec.Struct, frozen=True):
    """The result of `sweep`: the first visible and the first stored message of a topic, and the number of deleted
    messages.
    """

    first: int
    swept: int
    deleted: int


def sweep(
    connection: sqlite3.Connection, name: str, rules: RetentionRules, now: float, young: float
) -> SweepResult | None:
    """Delete at most `CHUNK` messages of a topic that are not kept and older than ``young`` seconds. Return None when
    there is no such topic.

    In a write transaction.
    """
    kept = look(connection, name, rules, now)
    if kept is None:
        return None
    (swept,) = connection.execute("SELECT swept FROM telex_topics WHERE id = ?", (kept.id,)).fetchone()
    limit = min(kept.first, swept + CHUNK)
    floor = floor_of(connection, name)
    # Numbers and times grow together, nearly: the messages before the first one that has to stay are deleted.
    stays = connection.execute(
        """SELECT seq FROM telex_messages WHERE topic = ? AND seq >= ? AND seq < ? AND (time > ? OR pos >= ?)
        ORDER BY seq LIMIT 1""",
        (kept.id, swept, limit, now - young, 2**62 if floor is None else floor),
    ).fetchone()
    limit = max(swept, limit if stays is None else stays[0])
    connection.execute(
        "UPDATE telex_topics SET first = ?, trimmed = ?, gone = ?, swept = ? WHERE id = ?",
        (kept.first, kept.trimmed, kept.gone, limit, kept.id),
    )
    if limit > swept:
        connection.execute(
            f"DELETE FROM telex_messages WHERE topic = ? AND seq >= ? AND seq < ? AND NOT {_HELD}",
            (kept.id, swept, limit),
        )
    return SweepResult(kept.first, limit, limit - swept)


def sweep_orphans(connection: sqlite3.Connection) -> bool:
    """Delete at most `CHUNK` messages of removed topics. Return true when there are more. In a write transaction."""
    orphan = connection.execute("SELECT topic FROM telex_orphans LIMIT 1").fetchone()
    if orphan is None:
        return False
    found = connection.execute("SELECT pos FROM telex_messages WHERE topic = ? LIMIT ?", (*orphan, CHUNK)).fetchall()
    connection.executemany("DELETE FROM telex_claims WHERE pos = ? AND grp IN (SELECT id FROM telex_groups)", found)
    connection.executemany("DELETE FROM telex_messages WHERE pos = ?", found)
    if len(found) < CHUNK:
        connection.execute("DELETE FROM telex_ids WHERE topic = ?", orphan)
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'telex_adopted'").fetchone():
            connection.execute("DELETE FROM telex_adopted WHERE topic = ?", orphan)
        connection.execute("DELETE FROM telex_orphans WHERE topic = ?", orphan)
    return connection.execute("SELECT 1 FROM telex_orphans LIMIT 1").fetchone() is not None


def release(connection: sqlite3.Connection, pos: int) -> None:
    """Delete message ``pos`` if no group holds it any more, and its topic kept it only for groups. In a write
    transaction, after the claim was deleted.
    """
    connection.execute(
        f"""DELETE FROM telex_messages WHERE pos = ? AND NOT {_HELD}
        AND seq < coalesce((SELECT swept FROM telex_topics WHERE id = telex_messages.topic), 0)""",
        (pos,),
    )


class Sweeper:
    """The topics that have messages to delete, for the writing thread."""

    def __init__(self, bounds: FileBounds = BOUNDS) -> None:
        self._bounds = bounds
        self._due: dict[str, float] = {}  # by topic: the time of the next sweep
        self._orphans = True
        self._next_age = 0.0
        self._rests = 0.0

    def notice(self, topic: str, first: int, end: int, swept: int, rule: Retention) -> None:
        """Note that a topic has grown, or that it was found at the start, and plan its next sweep."""
        if topic not in self._due:
            slack = self._bounds.sweep_messages
            limit = first if rule.messages is None else max(first, end - rule.messages)
            if limit - swept >= slack or (rule.bytes is not None and end - swept >= slack):
                self._due[topic] = 0.0

    def orphaned(self) -> None:
        """Note that a topic was removed, so that its messages have to be deleted."""
        self._orphans = True

    def rest(self, now: float) -> None:
        """Wait before the next sweep: a transaction failed."""
        self._rests = now + self._bounds.young_seconds

    def wait(self, now: float, ages: bool) -> float | None:
        """Return the seconds until `step` has something to do; None: not before a topic grows."""
        if self._orphans:
            return max(0.0, self._rests - now)
        moments = list(self._due.values())
        if ages:
            moments.append(self._next_age)
        return max(0.0, min(moments) - now, self._rests - now) if moments else None

    def is_due(self, now: float, ages: bool) -> bool:
        """Return true when `step` has something to do."""
        return (self._orphans or bool(self._due) or ages) and self.wait(now, ages) == 0.0

    def step(self, connection: sqlite3.Connection, rules: RetentionRules, now: float) -> tuple[str, SweepResult] | None:
        """Delete a chunk of messages. Return the topic and the result. In a write transaction."""
        if self._orphans:
            self._orphans = False  # before the sweep: a removal that is noted meanwhile needs another one
            try:
                more = sweep_orphans(connection)
            except BaseException:
                self._orphans = True
                raise
            if more:
                self._orphans = True
            return None
        if rules.ages and now >= self._next_age:
            self._next_age = now + AGES
            for name in aged(connection, rules, now):
                self._due.setdefault(name, 0.0)
        chosen = next((name for name, when in self._due.items() if when <= now), None)
        if chosen is None:
            return None
        name = chosen
        del self._due[name]
        swept = sweep(connection, name, rules, now, self._bounds.young_seconds)
        if swept is None:
            return None
        left = swept.first - swept.swept
        if left >= self._bounds.sweep_messages or (left and rules.of(name).age is not None):
            # Messages that are too young, or held by a group, are checked again later.
            self._due[name] = 0.0 if swept.deleted else now + self._bounds.young_seconds
        return name, swept


AGES = 5.0
"""The seconds between two checks for messages that have expired by age."""


def aged(connection: sqlite3.Connection, rules: RetentionRules, now: float) -> list[str]:
    """Return the topics whose oldest message has expired by age."""
    found = []
    for id, name, swept, end in connection.execute("SELECT id, name, swept, end FROM telex_topics WHERE end > swept"):
        age = rules.of(name).age
        if age is not None:
            oldest = connection.execute(
                "SELECT time FROM telex_messages WHERE topic = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT 1",
                (id, swept, end),
            ).fetchone()
            if oldest is not None and oldest[0] <= now - age:
                found.append(name)
    return found
