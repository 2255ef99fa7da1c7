"""Claiming: plain functions of a connection that decide which messages of a group are leased next.

A group has looked at all of its messages below its `Group.floor`. Those that are not settled have a row in
``telex_claims``, so a message has a row only from its claim until its ack. A row waits, is leased, is dead, or stands
behind another row of its key. ``due`` is:

- for a row that waits, the time when it may be claimed; `AGAIN` and `NEW` mean at once, in this order;
- for a leased row, the end of the lease;
- for a row behind another one, its future ``due`` when it may continue;
- for a dead row, the time when it became a dead letter.

Invariant: of the rows of a key that are not dead exactly one waits or is leased, the head, and all others stand behind
it. A head that waits is the oldest of them; a leased head may be younger, if an older row was revived in the meantime.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from telex.engines.sqlite import rows
from telex.engines.sqlite.lags import Group, GroupView, redone, set_rests

WAITS, LEASED, DEAD, BEHIND = 0, 1, 2, 3
AGAIN, NEW = 0.0, 1.0
"""The values of ``due`` for "at once": messages with an attempt before, and messages without."""

_CHECK = "SELECT 1 FROM telex_claims WHERE grp = ? AND state = ? AND due <= ? LIMIT 1"
_READY = f"""SELECT {rows.COLUMNS}, m.topic, c.attempt FROM telex_claims c
    CROSS JOIN telex_messages m ON m.pos = c.pos CROSS JOIN telex_topics t ON t.id = m.topic
    WHERE c.grp = ? AND c.state = 0 AND c.due <= 1 ORDER BY c.due, c.pos LIMIT ?"""
_OF_TOPIC = f"""SELECT {rows.COLUMNS}, m.topic, 0 FROM telex_messages m CROSS JOIN telex_topics t ON t.id = m.topic
    WHERE m.topic = ? AND m.seq >= ? AND m.seq < ? ORDER BY m.seq LIMIT ?"""
_OF_FILE = f"""SELECT {rows.COLUMNS}, m.topic, 0 FROM telex_messages m CROSS JOIN telex_topics t ON t.id = m.topic
    WHERE m.pos >= ? AND m.pos < ? AND t.name GLOB ? ORDER BY m.pos LIMIT ?"""
_IS_HELD = "SELECT 1 FROM telex_claims WHERE grp = ? AND key = ? AND state <> 2 LIMIT 1"
_OLDEST = "SELECT pos, state FROM telex_claims WHERE grp = ? AND key = ? AND state <> 2 ORDER BY pos LIMIT 1"
_STATE = "UPDATE telex_claims SET state = ? WHERE grp = ? AND pos = ?"
_LEASE = """UPDATE telex_claims SET state = 1, attempt = attempt + 1, token = ?, owner = ?, due = ?
    WHERE grp = ? AND pos = ?"""
_INSERT = "INSERT INTO telex_claims (grp, pos, key, attempt, token, owner, state, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

Row = tuple[Any, ...]
_KEY, _TOPIC, _ATTEMPT = 5, 10, 11


class Taken(msgspec.Struct, frozen=True):
    """The messages that a claim has leased: rows with the earlier attempts in the last column, and the first of their
    tokens, which are consecutive.
    """

    rows: list[Row]
    token: int
    due: float | None
    """Seconds until the next delay or lease ends."""
    lag: int


class Outlook(msgspec.Struct, frozen=True):
    """The result of a look for messages to claim."""

    claimable: bool
    due: float | None
    """Seconds until the next delay or lease ends."""
    lag: int


def look(connection: sqlite3.Connection, group: Group, view: GroupView, now: float) -> Outlook:
    """Return whether a claim would find messages, and when the next delay or lease ends. It only reads."""
    view.refresh(connection)
    if group.paused:
        return Outlook(False, None, view.lag(connection, group))
    if (
        connection.execute(_CHECK, (group.id, WAITS, now)).fetchone()
        or connection.execute(_CHECK, (group.id, LEASED, now)).fetchone()
        or _has_fresh(connection, group, view)
    ):
        return Outlook(True, None, 0)
    return Outlook(False, seconds_to_due(connection, group, now), view.lag(connection, group))


def _has_fresh(connection: sqlite3.Connection, group: Group, view: GroupView) -> bool:
    start = max(group.floor, view.bare.get(group.id, 0))
    if start >= view.pos:
        return view.pos - group.floor > view.bounds.floor_messages and not group.exact
    for found, after in _pages(connection, group, view, start, 1):
        if found:
            key = found[0][_KEY]
            return key is None or not _is_held(connection, group, key) or _room(connection, group, view) > 0
        view.bare[group.id] = after
    return view.bare.get(group.id, 0) < view.pos


def claim(
    connection: sqlite3.Connection, group: Group, view: GroupView, limit: int, lease: float, owner: str, now: float
) -> Taken:
    """Lease at most ``limit`` messages. In a write transaction."""
    view.refresh(connection)
    if group.paused or limit <= 0:
        return Taken([], 0, None, view.lag(connection, group))
    if group.rests:
        set_rests(connection, group, False)
    expire(connection, group, now)
    again: list[Row] = rows.select(connection, _READY, (group.id, limit))
    fresh, stopped = _fresh(connection, group, view, limit - len(again)) if len(again) < limit else ([], False)
    taken = again + fresh
    token = 0
    if taken:
        sql = "UPDATE telex_state SET token = token + ? RETURNING token"
        token = connection.execute(sql, (len(taken),)).fetchone()[0] - len(taken) + 1
        end, id = now + lease, group.id
        if again:
            leased = [(token + n, owner, end, id, row[0]) for n, row in enumerate(again)]
            connection.executemany(_LEASE, leased)
        if fresh:
            first = token + len(again)
            added = [(id, row[0], row[_KEY], 1, first + n, owner, LEASED, end) for n, row in enumerate(fresh)]
            connection.executemany(_INSERT, added)
    due = 0.0 if stopped else None if taken else seconds_to_due(connection, group, now)
    return Taken(taken, token, due, view.lag(connection, group))


def expire(connection: sqlite3.Connection, group: Group, now: float) -> None:
    """Make messages due again whose delay or lease has ended."""
    if connection.execute(_CHECK, (group.id, LEASED, now)).fetchone():
        sql = "SELECT key, pos FROM telex_claims WHERE grp = ? AND state = 1 AND due <= ? AND key IS NOT NULL"
        keyed = connection.execute(sql, (group.id, now)).fetchall()
        sql = "UPDATE telex_claims SET state = 0, due = 0 WHERE grp = ? AND state = 1 AND due <= ?"
        connection.execute(sql, (group.id, now))
        for key, pos in keyed:
            give_way(connection, group.id, key, pos)
    sql = "UPDATE telex_claims SET due = (attempt = 0) WHERE grp = ? AND state = 0 AND due > 1 AND due <= ?"
    connection.execute(sql, (group.id, now))


def give_way(connection: sqlite3.Connection, grp: int, key: str, pos: int) -> None:
    """Let a head that waits again stand behind an older row of its key, if there is one."""
    oldest, _ = connection.execute(_OLDEST, (grp, key)).fetchone()
    if oldest != pos:
        connection.execute(_STATE, (BEHIND, grp, pos))
        connection.execute(_STATE, (WAITS, grp, oldest))


def seconds_to_due(connection: sqlite3.Connection, group: Group, now: float) -> float | None:
    """Return the seconds until the next delay or lease ends."""
    sql = "SELECT min(due) FROM telex_claims WHERE grp = ? AND state = ? AND due > 1"
    found = [connection.execute(sql, (group.id, state)).fetchone()[0] for state in (WAITS, LEASED)]
    return min((float(due) - now for due in found if due is not None), default=None)


def _fresh(connection: sqlite3.Connection, group: Group, view: GroupView, limit: int) -> tuple[list[Row], bool]:
    """Read messages from the floor on, and move the floor. Return the messages to lease, and whether more are left."""
    found: list[Row] = []
    behind: list[tuple[Any, ...]] = []
    busy: set[str] = set()
    room: int | None = None
    floor, passed, full, complete = group.floor, 0, False, False
    redo = redone(connection, group) if floor < group.redo else ()
    for page, after in _pages(connection, group, view, floor, limit):
        for row in page:
            pos, key = row[0], row[_KEY]
            if pos in redo:
                passed, floor = passed + 1, pos + 1
                continue
            if key is None:
                found.append(row)
            elif key in busy or _is_held(connection, group, key):
                busy.add(key)
                room = _room(connection, group, view) if room is None else room
                if len(behind) >= room:
                    full = True
                    break
                behind.append((group.id, pos, key, 0, 0, "", BEHIND, NEW))
            else:
                busy.add(key)
                found.append(row)
            passed += 1
            floor = pos + 1
            if len(found) == limit:
                break
        complete = len(found) == limit
        if full or complete:
            break
        floor = after
    if floor != group.floor:
        if behind:
            connection.executemany(_INSERT, behind)
        group.floor, group.passed, group.held = floor, group.passed + passed, group.held + len(found) + len(behind)
        sql = "UPDATE telex_groups SET floor = ?, passed = ?, held = ? WHERE id = ?"
        connection.execute(sql, (floor, group.passed, group.held, group.id))
    return found, not full and not complete and floor < view.pos


def _pages(
    connection: sqlite3.Connection, group: Group, view: GroupView, floor: int, limit: int
) -> Iterator[tuple[list[Row], int]]:
    """Yield the messages of a group from ``floor`` on, in a bounded number of pages; each with the floor after the
    page.
    """
    if group.exact:
        yield from _pages_of_topic(connection, group, view, floor, limit)
        return
    fits, glob = view.fits(group.pattern), view.glob(group.pattern)
    begins = view.begins(connection, group) if floor < group.split else None
    for _ in range(view.bounds.pages):
        if floor >= view.pos:
            return
        size, end = max(limit, 16), min(view.pos, floor + view.bounds.page_messages)
        found = rows.select(connection, _OF_FILE, (floor, end, glob, size))
        floor = end if len(found) < size else found[-1][0] + 1
        if begins is not None:
            found = [row for row in found if row[1] >= begins.get(row[_TOPIC], 0)]
        yield [row for row in found if fits(row[8])], floor
        if not found and floor < view.pos:  # there may be no messages: then skip the gap
            (floor,) = connection.execute(
                "SELECT coalesce(min(pos), ?) FROM telex_messages WHERE pos >= ?", (view.pos, floor)
            ).fetchone()


def _pages_of_topic(
    connection: sqlite3.Connection, group: Group, view: GroupView, floor: int, limit: int
) -> Iterator[tuple[list[Row], int]]:
    place = view.place(connection, group, floor)
    if place is None:
        yield [], view.pos
        return
    topic, seq, end = place
    size = min(max(limit, 16), view.bounds.page_messages)
    for _ in range(view.bounds.pages):
        found = rows.select(connection, _OF_TOPIC, (topic, seq, end, size))
        floor = found[-1][0] + 1 if len(found) == size else view.pos
        yield found, floor
        if len(found) < size:
            return
        seq = found[-1][1] + 1


def _is_held(connection: sqlite3.Connection, group: Group, key: str) -> bool:
    return connection.execute(_IS_HELD, (group.id, key)).fetchone() is not None


def _room(connection: sqlite3.Connection, group: Group, view: GroupView) -> int:
    """Return how many more rows may stand behind others."""
    sql = "SELECT count(*) FROM telex_claims WHERE grp = ? AND state = 3"
    return view.bounds.behind_messages - int(connection.execute(sql, (group.id,)).fetchone()[0])
