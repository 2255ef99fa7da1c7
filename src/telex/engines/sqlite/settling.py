"""Settling: plain functions of a connection that change the rows of ``telex_claims``; see `leases`.

All functions but those that read run in a write transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from telex.engines.contract.groups import Settlement
from telex.engines.sqlite import rows
from telex.engines.sqlite.lags import Group
from telex.engines.sqlite.leases import AGAIN, BEHIND, DEAD, LEASED, NEW, WAITS, give_way
from telex.engines.sqlite.retention import release

_FIND = """SELECT pos, key, token, state, due, attempt FROM telex_claims
    WHERE grp = ? AND pos IN (SELECT value FROM json_each(?)) AND state <> 2"""
_BEHIND = "SELECT 1 FROM telex_claims WHERE grp = ? AND state = 3 LIMIT 1"
_DELETE = "DELETE FROM telex_claims WHERE grp = ? AND pos = ?"
_WAIT = "UPDATE telex_claims SET state = ?, due = ?, token = 0, reason = ? WHERE grp = ? AND pos = ?"
_UNCOUNT = "UPDATE telex_claims SET attempt = attempt - 1 WHERE grp = ? AND pos = ?"
_DIE = "UPDATE telex_claims SET state = 2, due = ?, token = 0, reason = ?, died = ? WHERE grp = ? AND pos = ?"
_EXTEND = "UPDATE telex_claims SET state = 1, due = ? WHERE grp = ? AND pos = ?"
_STATE = "UPDATE telex_claims SET state = ? WHERE grp = ? AND pos = ?"
_GO_ON = """UPDATE telex_claims SET state = 0 WHERE grp = ? AND state = 3 AND pos =
    (SELECT min(pos) FROM telex_claims WHERE grp = ? AND key = ? AND state <> 2)"""
_HEAD = "SELECT pos, state, due FROM telex_claims WHERE grp = ? AND key = ? AND state <> 2 AND state <> 3"
_FREE = """SELECT m.pos FROM telex_messages m CROSS JOIN telex_topics t ON t.id = m.topic
    WHERE m.pos IN (SELECT value FROM json_each(?)) AND m.seq < t.swept"""
_DEAD = f"""SELECT {rows.COLUMNS}, g.name, g.pattern, c.attempt, c.reason, c.died
    FROM telex_groups g CROSS JOIN telex_claims c ON c.grp = g.id AND c.state = 2
    CROSS JOIN telex_messages m ON m.pos = c.pos CROSS JOIN telex_topics t ON t.id = m.topic
    WHERE coalesce(g.name = ?, true) ORDER BY c.died, c.pos LIMIT ?"""


class ClaimRow(msgspec.Struct):
    """A row of telex_claims that is not dead. Its token is 0 after a settlement."""

    pos: int
    key: str | None
    token: int
    state: int
    due: float
    attempt: int


NOBODY = ClaimRow(0, None, 0, DEAD, 0.0, 0)
Same = dict[str, list[ClaimRow]]
"""By key, the rows that are settled together."""


class Settled(msgspec.Struct):
    """The result of `settle`."""

    won: list[bool]
    stirs: bool = False
    """True when a message may be claimed now, or earlier than a claim has returned."""


def settle(
    connection: sqlite3.Connection, group: Group, settlements: Sequence[Settlement], now: float, died: float
) -> Settled:
    """Settle deliveries in the given order, and return whether each won. ``died`` is the time of day."""
    positions = json.dumps([settlement.position for settlement in settlements])
    claims = {row[0]: ClaimRow(*row) for row in connection.execute(_FIND, (group.id, positions))}
    same: Same = {}
    anybody_behind = connection.execute(_BEHIND, (group.id,)).fetchone() is not None
    for claim in claims.values():
        if not anybody_behind:
            claim.key = None  # the table of keys is not used any more
        elif claim.key is not None:
            same.setdefault(claim.key, []).append(claim)
    settled = Settled([])
    acked: list[int] = []
    rejected = 0
    for settlement in settlements:
        action = settlement.action
        claim = claims.get(settlement.position, NOBODY)
        if not claim.token or claim.token != settlement.token:
            settled.won.append(False)
        elif action == "extend":
            settled.won.append(_extend(connection, group, claim, same, now + settlement.seconds, now))
        else:
            settled.won.append(True)
            claim.token = 0
            if action in {"nack", "release"}:
                _nack(connection, group, claim, same, settlement, now)
                settled.stirs = True
                continue
            if action == "ack":
                acked.append(claim.pos)
                if claim.key is not None:
                    connection.execute(_DELETE, (group.id, claim.pos))
            else:
                rejected += 1
                connection.execute(_DIE, (now, settlement.reason, died, group.id, claim.pos))
            settled.stirs = _leave(connection, group, claim, same) or settled.stirs
    connection.executemany(_DELETE, [(group.id, pos) for pos in acked if claims[pos].key is None])
    _let_go(connection, group, len(acked) + rejected)
    free(connection, acked)
    return settled


def _leave(connection: sqlite3.Connection, group: Group, claim: ClaimRow, same: Same) -> bool:
    """Remove a row from the line of its key. Return true when the next row of the key may be claimed."""
    if claim.key is None or claim.state == BEHIND:
        return False
    if connection.execute(_GO_ON, (group.id, group.id, claim.key)).rowcount == 0:
        return False
    _reload(connection, group, claim.key, same)
    return True


def _nack(
    connection: sqlite3.Connection,
    group: Group,
    claim: ClaimRow,
    same: Same,
    settlement: Settlement,
    now: float,
) -> None:
    released = settlement.action == "release"
    if released:
        connection.execute(_UNCOUNT, (group.id, claim.pos))
    due = now + settlement.seconds if settlement.seconds > 0 else NEW if released and claim.attempt == 1 else AGAIN
    state = BEHIND if claim.state == BEHIND else WAITS
    connection.execute(_WAIT, (state, due, settlement.reason, group.id, claim.pos))
    if claim.key is not None and state == WAITS:
        give_way(connection, group.id, claim.key, claim.pos)
        _reload(connection, group, claim.key, same)


def _extend(connection: sqlite3.Connection, group: Group, claim: ClaimRow, same: Same, end: float, now: float) -> bool:
    """Renew a lease. Return false when it has ended and another row of its key is leased."""
    if claim.state == BEHIND:
        head, state, due = connection.execute(_HEAD, (group.id, claim.key)).fetchone()
        if state == LEASED and due > now:
            return False
        connection.execute(_STATE, (BEHIND, group.id, head))
    connection.execute(_EXTEND, (end, group.id, claim.pos))
    if claim.key is not None:
        _reload(connection, group, claim.key, same)
    return True


def _reload(connection: sqlite3.Connection, group: Group, key: str, same: Same) -> None:
    """Read the new head of a key."""
    known = same[key]
    if len(known) > 1:
        sql = "SELECT state, due FROM telex_claims WHERE grp = ? AND pos = ?"
        for claim in known:
            row = connection.execute(sql, (group.id, claim.pos)).fetchone()
            if row is not None:
                claim.state, claim.due = row


def _let_go(connection: sqlite3.Connection, group: Group, count: int) -> None:
    if count:
        connection.execute("UPDATE telex_groups SET held = held - ? WHERE id = ?", (count, group.id))


def free(connection: sqlite3.Connection, positions: Iterable[int]) -> None:
    """Delete messages that were kept only for a group."""
    for (pos,) in connection.execute(_FREE, (json.dumps(list(positions)),)).fetchall():
        release(connection, pos)


def revive(connection: sqlite3.Connection, group: Group, pos: int) -> bool:
    """Deliver a dead letter again, with attempt 1. Return false when there is none."""
    sql = "SELECT key FROM telex_claims WHERE grp = ? AND pos = ? AND state = 2"
    row = connection.execute(sql, (group.id, pos)).fetchone()
    if row is None:
        return False
    state = WAITS
    if row[0] is not None:
        head = connection.execute(_HEAD, (group.id, row[0])).fetchone()
        if head is not None and (head[1] == LEASED or head[0] < pos):
            state = BEHIND
        elif head is not None:
            connection.execute(_STATE, (BEHIND, group.id, head[0]))
    sql = (
        "UPDATE telex_claims SET state = ?, due = ?, attempt = 0, reason = NULL, died = NULL WHERE grp = ? AND pos = ?"
    )
    connection.execute(sql, (state, NEW, group.id, pos))
    _let_go(connection, group, -1)
    return True


def drop(connection: sqlite3.Connection, group: Group, pos: int) -> bool:
    """Delete a dead letter. Return false when there is none."""
    if connection.execute(f"{_DELETE} AND state = {DEAD}", (group.id, pos)).rowcount == 0:
        return False
    free(connection, [pos])
    return True


def dead(connection: sqlite3.Connection, name: str | None, limit: int) -> list[tuple[Any, ...]]:
    """Return the rows of dead letters, the oldest first. After the columns of the message they have group, pattern,
    attempts, reason and the time of the last attempt.
    """
    return rows.select(connection, _DEAD, (name, limit))


def counts(connection: sqlite3.Connection, group: Group, now: float) -> tuple[int, int, int]:
    """Return the numbers of leased messages, of messages that wait for their time or their key, and of dead letters."""
    sql = """SELECT coalesce(sum(state = 1 AND due > ?), 0), coalesce(sum(state = 3 OR (state = 0 AND due > ?)), 0),
        coalesce(sum(state = 2), 0) FROM telex_claims WHERE grp = ?"""
    leased, delayed, dead = connection.execute(sql, (now, now, group.id)).fetchone()
    return leased, delayed, dead


def pause(connection: sqlite3.Connection, group: Group, paused: bool) -> None:
    """Stop or resume fetching."""
    connection.execute("UPDATE telex_groups SET paused = ? WHERE id = ?", (paused, group.id))


def forget(connection: sqlite3.Connection, group: Group) -> None:
    """Delete a group, with the messages that were kept only for it."""
    held = connection.execute("DELETE FROM telex_claims WHERE grp = ? RETURNING pos", (group.id,)).fetchall()
    connection.execute("DELETE FROM telex_begins WHERE grp = ?", (group.id,))
    connection.execute("DELETE FROM telex_groups WHERE id = ?", (group.id,))
    free(connection, [pos for (pos,) in held])


def purge(connection: sqlite3.Connection, topic: int) -> None:
    """Delete the claims on a topic that is removed, before its messages are deleted."""
    sql = """SELECT c.grp, c.pos, c.key, c.state FROM telex_claims c CROSS JOIN telex_messages m ON m.pos = c.pos
        WHERE m.topic = ?"""
    gone = connection.execute(sql, (topic,)).fetchall()
    connection.executemany(_DELETE, [(grp, pos) for grp, pos, _, _ in gone])
    sql = "UPDATE telex_groups SET held = held - 1 WHERE id = ?"
    connection.executemany(sql, [(grp,) for grp, _, _, state in gone if state != DEAD])
    heads = {(grp, key) for grp, _, key, state in gone if key is not None and state in (WAITS, LEASED)}
    connection.executemany(_GO_ON, [(grp, grp, key) for grp, key in heads])
    connection.execute("DELETE FROM telex_begins WHERE topic = ?", (topic,))
