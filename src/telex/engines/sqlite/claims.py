"""Consumer groups in tables: what is claimed and settled, as plain functions of a connection.

A group has looked at all messages below its `floor`. Of these, the ones that are not settled have a row in
``telex_claims``; so a message costs a row only from its claim to its ack.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from telex.engines.groups import Settlement
from telex.engines.sqlite import rows
from telex.engines.sqlite.retention import release
from telex.names import Pattern, is_pattern

WAITS, LEASED, DEAD = 0, 1, 2
NEVER = 9e15
"""Due, for what waits until an earlier message of its key is settled."""
STEP = 1024
"""So many messages are looked at in one go."""
STEPS = 16
"""How often, in one claim, when few of them are of the group's topics."""
_DUE = """SELECT pos, attempt FROM telex_claims c WHERE grp = ?1 AND state IN (0, 1) AND due <= ?2
    AND (key IS NULL OR NOT EXISTS (
        SELECT 1 FROM telex_claims o WHERE o.grp = c.grp AND o.key = c.key AND o.pos <> c.pos AND o.state < 2
        AND (o.pos < c.pos OR (o.state = 1 AND o.due > ?2))
    )) ORDER BY pos LIMIT ?3"""
_NEXT = "SELECT min(due) FROM telex_claims WHERE grp = ? AND state = ?"
_BUSY = "SELECT 1 FROM telex_claims WHERE grp = ? AND key = ? AND state < 2 LIMIT 1"
_LEASE = """INSERT INTO telex_claims (grp, pos, key, attempt, token, owner, state, due) VALUES (?, ?, ?, ?, ?, ?, 1, ?)
    ON CONFLICT (grp, pos) DO UPDATE SET attempt = excluded.attempt, token = excluded.token, owner = excluded.owner,
        state = 1, due = excluded.due"""
_PARK = """INSERT INTO telex_claims (grp, pos, key, attempt, token, owner, state, due)
    VALUES (?, ?, ?, 0, 0, '', 0, ?)"""
_ROW = f"SELECT {rows.COLUMNS} FROM {rows.JOINED} WHERE m.pos = ?"


class Group(msgspec.Struct):
    """A row of telex_groups."""

    id: int
    name: str
    pattern: str
    floor: int
    paused: bool


class Fit:
    """Which topics a pattern takes in, by id; remembered, since a topic's name never changes."""

    def __init__(self, pattern: str) -> None:
        self._matches = Pattern(pattern).matches
        self._known: dict[int, bool] = {}

    def __call__(self, connection: sqlite3.Connection, topic: int) -> bool:
        """Whether the messages of this topic are the group's. Those of a removed topic are nobody's."""
        fits = self._known.get(topic)
        if fits is None:
            row = connection.execute("SELECT name FROM telex_topics WHERE id = ?", (topic,)).fetchone()
            if row is None:
                return False
            self._known[topic] = fits = self._matches(row[0])
        return fits


class Lease(msgspec.Struct, frozen=True):
    """What one claim leased of one message."""

    row: tuple[Any, ...]
    position: int
    attempt: int
    token: int


def find(connection: sqlite3.Connection, name: str, pattern: str) -> Group | None:
    """The group, if there is one."""
    sql = "SELECT id, name, pattern, floor, paused FROM telex_groups WHERE name = ? AND pattern = ?"
    row = connection.execute(sql, (name, pattern)).fetchone()
    return None if row is None else Group(row[0], row[1], row[2], row[3], bool(row[4]))


def join(connection: sqlite3.Connection, name: str, pattern: str, floor: int) -> None:
    """Make the group, unless there is one."""
    sql = "INSERT OR IGNORE INTO telex_groups (name, pattern, floor) VALUES (?, ?, ?)"
    connection.execute(sql, (name, pattern, floor))


def next_due(connection: sqlite3.Connection, group: Group) -> float | None:
    """When something may be claimed that waits for its time."""
    found = [connection.execute(_NEXT, (group.id, state)).fetchone()[0] for state in (WAITS, LEASED)]
    due = min((float(moment) for moment in found if moment is not None), default=NEVER)
    return None if due >= NEVER else due


def is_ready(connection: sqlite3.Connection, group: Group, now: float) -> bool:
    """Whether a claim may find something: asked before it takes the file's write lock."""
    if group.paused:
        return False
    due = next_due(connection, group)
    if due is not None and due <= now:
        return True
    (end,) = connection.execute("SELECT pos FROM telex_state").fetchone()
    return bool(end > group.floor)


def claim(
    connection: sqlite3.Connection, group: Group, fit: Fit, limit: int, until: float, owner: str, now: float
) -> list[Lease]:
    """Lease messages until ``until``. In a write transaction."""
    if group.paused:
        return []
    found: list[tuple[int, str | None, int]] = [
        (pos, None, attempt) for pos, attempt in connection.execute(_DUE, (group.id, now, limit)).fetchall()
    ]
    if len(found) < limit:
        found += _fresh(connection, group, fit, limit - len(found))
    if not found:
        return []
    sql = "UPDATE telex_state SET token = token + ? RETURNING token"
    token = connection.execute(sql, (len(found),)).fetchone()[0] - len(found)
    leases: list[Lease] = []
    gone: list[tuple[int, int]] = []
    claims: list[tuple[Any, ...]] = []
    for pos, key, attempt in found:
        row = connection.execute(_ROW, (pos,)).fetchone()
        if row is None:  # its topic was removed
            gone.append((group.id, pos))
            continue
        token += 1
        leases.append(Lease(row, pos, attempt + 1, token))
        claims.append((group.id, pos, key, attempt + 1, token, owner, until))
    connection.executemany(_LEASE, claims)
    connection.executemany("DELETE FROM telex_claims WHERE grp = ? AND pos = ?", gone)
    return leases


def _fresh(connection: sqlite3.Connection, group: Group, fit: Fit, limit: int) -> list[tuple[int, str | None, int]]:
    """Look at what comes after the floor, and move that."""
    found: list[tuple[int, str | None, int]] = []
    keys: set[str] = set()
    floor = group.floor
    for _ in range(STEPS):
        sql = "SELECT pos, topic, key FROM telex_messages WHERE pos >= ? ORDER BY pos LIMIT ?"
        page = connection.execute(sql, (floor, STEP)).fetchall()
        for pos, topic, key in page:
            if len(found) == limit:
                break
            floor = pos + 1
            if not fit(connection, topic):
                continue
            if key is not None:
                if key in keys or connection.execute(_BUSY, (group.id, key)).fetchone():
                    connection.execute(_PARK, (group.id, pos, key, NEVER))
                    continue
                keys.add(key)
            found.append((pos, key, 0))
        if len(found) == limit or len(page) < STEP:
            break
    if floor != group.floor:
        connection.execute("UPDATE telex_groups SET floor = ? WHERE id = ?", (floor, group.id))
    return found


def settle(
    connection: sqlite3.Connection, group: Group, settlements: Sequence[Settlement], now: float
) -> tuple[list[bool], bool]:
    """Settle deliveries; for each, whether it won, and whether anything may be claimed now that could not before."""
    won, freed = [], False
    for one in settlements:
        key: tuple[str | None] | None
        at = (group.id, one.position, one.token)
        if one.action == "ack":
            sql = "DELETE FROM telex_claims WHERE grp = ? AND pos = ? AND token = ? AND state = 1 RETURNING key"
            key = connection.execute(sql, at).fetchone()
            if key is not None:
                release(connection, one.position)
        elif one.action == "reject":
            sql = """UPDATE telex_claims SET state = 2, due = ?, reason = ?, died = ?
                WHERE grp = ? AND pos = ? AND token = ? AND state = 1 RETURNING key"""
            key = connection.execute(sql, (NEVER, one.reason, now, *at)).fetchone()
        else:
            state = LEASED if one.action == "extend" else WAITS
            sql = """UPDATE telex_claims SET state = ?, due = ?, reason = ?
                WHERE grp = ? AND pos = ? AND token = ? AND state = 1"""
            changed = connection.execute(sql, (state, now + one.seconds, one.reason, *at)).rowcount
            won.append(changed > 0)
            freed = freed or (changed > 0 and state == WAITS)
            continue
        won.append(key is not None)
        if key is not None and key[0] is not None:
            freed = _free(connection, group, key[0], now) or freed
    return won, freed


def _free(connection: sqlite3.Connection, group: Group, key: str, now: float) -> bool:
    """A message of this key is done: the next one need not wait for it any more."""
    sql = """UPDATE telex_claims SET due = ? WHERE grp = ? AND due >= ? AND state = 0 AND pos =
        (SELECT min(pos) FROM telex_claims WHERE grp = ? AND key = ? AND state < 2)"""
    return connection.execute(sql, (now, group.id, NEVER, group.id, key)).rowcount > 0


def revive(connection: sqlite3.Connection, group: Group, position: int, now: float) -> bool:
    """Deliver a dead letter again."""
    sql = (
        "UPDATE telex_claims SET state = 0, attempt = 0, due = ?, reason = NULL WHERE grp = ? AND pos = ? AND state = 2"
    )
    return connection.execute(sql, (now, group.id, position)).rowcount > 0


def drop(connection: sqlite3.Connection, group: Group, position: int) -> bool:
    """Forget a dead letter."""
    sql = "DELETE FROM telex_claims WHERE grp = ? AND pos = ? AND state = 2"
    dropped = connection.execute(sql, (group.id, position)).rowcount > 0
    if dropped:
        release(connection, position)
    return dropped


def forget(connection: sqlite3.Connection, group: Group) -> None:
    """Remove the group, with what only it held."""
    held = connection.execute("DELETE FROM telex_claims WHERE grp = ? RETURNING pos", (group.id,)).fetchall()
    connection.execute("DELETE FROM telex_groups WHERE id = ?", (group.id,))
    for (pos,) in held:
        release(connection, pos)


def counts(connection: sqlite3.Connection, group: Group) -> list[int]:
    """How many claims wait, are leased and are dead."""
    found = [0, 0, 0]
    for state, number in connection.execute(
        "SELECT state, count(*) FROM telex_claims WHERE grp = ? GROUP BY state", (group.id,)
    ):
        found[state] = number
    return found


def ahead(connection: sqlite3.Connection, group: Group) -> int:
    """Messages that the group has not looked at."""
    (end,) = connection.execute("SELECT pos FROM telex_state").fetchone()
    if end <= group.floor:
        return 0
    if is_pattern(group.pattern):
        matches = Pattern(group.pattern).matches
        topics = [row for row in connection.execute("SELECT id, end, swept, name FROM telex_topics") if matches(row[3])]
    else:
        sql = "SELECT id, end, swept, name FROM telex_topics WHERE name = ?"
        topics = connection.execute(sql, (group.pattern,)).fetchall()
    return sum(end - _first(connection, id, swept, end, group.floor) for id, end, swept, _ in topics)


def _first(connection: sqlite3.Connection, topic: int, low: int, end: int, floor: int) -> int:
    """The first number of a topic that is at or after ``floor``: numbers and places go up together."""
    high = end
    while low < high:
        middle = (low + high) // 2
        sql = "SELECT pos FROM telex_messages WHERE topic = ? AND seq = ?"
        (pos,) = connection.execute(sql, (topic, middle)).fetchone()
        if pos >= floor:
            high = middle
        else:
            low = middle + 1
    return low
