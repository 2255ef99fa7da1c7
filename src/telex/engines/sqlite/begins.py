"""The start of a group: ``start=`` as places in the file, when the first member of the group joins, and at a seek."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, cast

from telex.engines.sqlite.lags import Group, number_at
from telex.engines.sqlite.leases import DEAD, LEASED
from telex.engines.sqlite.retention import RetentionRules, VisibleRange, look
from telex.engines.sqlite.settling import free
from telex.engines.sqlite.store import TopicView
from telex.log.start import Start, find
from telex.names import Pattern, is_pattern

if TYPE_CHECKING:
    from telex.log.log import Log

_PLACE = "SELECT pos FROM telex_messages WHERE topic = ? AND seq = ?"
_BEFORE = "SELECT max(seq), pos FROM telex_messages WHERE topic = ? AND seq < ?"


def begin(
    connection: sqlite3.Connection, group: str, pattern: str, start: Start, epoch: str, now: float, near: int
) -> None:
    """Create a group, unless it exists. ``epoch`` is the epoch of a topic that does not exist yet. In a write
    transaction.
    """
    sql = "SELECT max(s.pos, coalesce((SELECT max(pos) + 1 FROM telex_messages), 0)), rules FROM telex_state s"
    end, version = connection.execute(sql).fetchone()
    numbers: dict[int, int] = {}
    if start != "new":
        rules = RetentionRules()
        rules.refresh(connection, version)
        topics = [kept for name in _names(connection, pattern) if (kept := look(connection, name, rules, now))]
        if is_pattern(pattern) and isinstance(start, int):
            numbers = _back(connection, topics, start, end, near)
        else:
            numbers = {kept.id: find(cast("Log", TopicView(connection, kept, epoch)), start, now)[0] for kept in topics}
        places = {id: connection.execute(_PLACE, (id, seq)).fetchone() for id, seq in numbers.items()}
        floor = min((place[0] for place in places.values() if place is not None), default=end)
    else:
        floor = end
    sql = "INSERT OR IGNORE INTO telex_groups (name, pattern, floor) VALUES (?, ?, ?)"
    made = connection.execute(sql, (group, pattern, floor))
    if made.rowcount and is_pattern(pattern):
        assert made.lastrowid is not None
        _split(connection, made.lastrowid, numbers, floor)


def seek(connection: sqlite3.Connection, group: Group, start: Start, epoch: str, now: float, near: int) -> None:
    """Move a group to another start. In a write transaction.

    It becomes a new group, so that no process uses cached data of the old one. It keeps the rows of leased messages and
    of dead letters.
    """
    connection.execute("DELETE FROM telex_groups WHERE id = ?", (group.id,))
    connection.execute("DELETE FROM telex_begins WHERE grp = ?", (group.id,))
    begin(connection, group.name, group.pattern, start, epoch, now, near)
    sql = "SELECT id FROM telex_groups WHERE name = ? AND pattern = ?"
    (id,) = connection.execute(sql, (group.name, group.pattern)).fetchone()
    sql = "DELETE FROM telex_claims WHERE grp = ? AND state NOT IN (?, ?) RETURNING pos"
    gone = connection.execute(sql, (group.id, LEASED, DEAD)).fetchall()
    connection.execute("UPDATE telex_claims SET grp = ? WHERE grp = ?", (id, group.id))
    sql = "SELECT coalesce(sum(state = ?), 0), coalesce(max(pos) + 1, 0) FROM telex_claims WHERE grp = ?"
    held, redo = connection.execute(sql, (LEASED, id)).fetchone()
    sql = "UPDATE telex_groups SET paused = ?, held = ?, redo = ? WHERE id = ?"
    connection.execute(sql, (group.paused, held, redo, id))
    free(connection, [pos for (pos,) in gone])


def _names(connection: sqlite3.Connection, pattern: str) -> list[str]:
    if not is_pattern(pattern):
        return [pattern]
    matches = Pattern(pattern).matches
    return [name for (name,) in connection.execute("SELECT name FROM telex_topics").fetchall() if matches(name)]


def _split(connection: sqlite3.Connection, id: int, numbers: dict[int, int], floor: int) -> None:
    """Store the topics in which messages above the floor are before the group's start."""
    begins, split = [], 0
    for topic, seq in numbers.items():
        last, pos = connection.execute(_BEFORE, (topic, seq)).fetchone()
        if last is not None and pos >= floor:
            begins.append((id, topic, seq))
            split = max(split, pos + 1)
    if begins:
        connection.executemany("INSERT INTO telex_begins VALUES (?, ?, ?)", begins)
        connection.execute("UPDATE telex_groups SET split = ? WHERE id = ?", (split, id))


def _back(
    connection: sqlite3.Connection, topics: list[VisibleRange], count: int, end: int, near: int
) -> dict[int, int]:
    """Return the number in each topic after which there are ``count`` kept messages of all topics together, or all of
    them.
    """
    numbers = {kept.id: kept.end for kept in topics}
    firsts = {kept.id: kept.first for kept in topics}
    left = count
    sql = "SELECT topic, seq FROM telex_messages WHERE pos < ? ORDER BY pos DESC LIMIT ?"
    for topic, seq in connection.execute(sql, (end, near + 4 * count)):
        if not left:
            return numbers
        if firsts.get(topic, seq + 1) <= seq < numbers[topic]:
            numbers[topic] = seq
            left -= 1

    # The messages of the group are few among many others.
    def after(pos: int) -> dict[int, int]:
        return {kept.id: number_at(connection, kept.id, kept.first, kept.end, pos) for kept in topics}

    low, high = 1, end
    while low < high:  # finds the highest place from which on there are ``count`` messages
        middle = (low + high + 1) // 2
        numbers = after(middle)
        if sum(kept.end - numbers[kept.id] for kept in topics) >= count:
            low = middle
        else:
            high = middle - 1
    return after(low)
