"""`SQLiteGroups`: see `telex.engines.Groups`. Decisions are in `claims`; here is asking the threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from telex.engines.groups import Claimed, DeadLetter, Delivery, GroupInfo, Settlement
from telex.engines.sqlite import claims, rows
from telex.engines.sqlite.retention import Rules, look
from telex.engines.sqlite.store import View
from telex.errors import BadOption
from telex.message import Position
from telex.names import Pattern, is_pattern
from telex.start import Start, find

if TYPE_CHECKING:
    from telex.engines.sqlite.runtime import Runtime
    from telex.log import Log

R = TypeVar("R")
NOBODY = Claimed((), None, 0)
_DEAD = f"""SELECT {rows.COLUMNS}, g.name, g.pattern, c.attempt, c.reason, c.died
    FROM telex_claims c JOIN telex_groups g ON g.id = c.grp
    JOIN telex_messages m ON m.pos = c.pos JOIN telex_topics t ON t.id = m.topic
    WHERE c.state = 2 AND (?1 IS NULL OR g.name = ?1) ORDER BY c.died, c.pos LIMIT ?2"""


class SQLiteGroups:
    """Groups of all processes that have the file open."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._fits: dict[str, claims.Fit] = {}  # of the thread that writes

    async def join(self, group: str, pattern: str, start: Start, log: Log) -> None:
        """A member comes."""
        if await self._runtime.read(lambda connection: claims.find(connection, group, pattern)) is not None:
            return
        if is_pattern(pattern) and isinstance(start, Position):
            raise BadOption("start", start, "a position is one of a topic; a group on a pattern starts at a time")
        epoch = self._runtime.identity(pattern)[0]

        def join(connection: sqlite3.Connection, now: float) -> None:
            claims.join(connection, group, pattern, _floor(connection, pattern, start, epoch, now))

        await self._runtime.write(join)

    async def claim(self, group: str, pattern: str, limit: int, lease: float, owner: str, now: float) -> Claimed:
        """Lease messages. Looks first, so that who finds nothing writes nothing."""

        def ask(connection: sqlite3.Connection) -> tuple[bool, float | None, int]:
            found = claims.find(connection, group, pattern)
            if found is None:
                return False, None, 0
            if claims.is_ready(connection, found, now):
                return True, None, 0
            return False, None if found.paused else claims.next_due(connection, found), _lag(connection, found)

        ready, due, lag = await self._runtime.read(ask)
        if not ready:
            return Claimed((), due, lag)

        def claim(connection: sqlite3.Connection, _: float) -> tuple[list[claims.Lease], float | None, int]:
            found = claims.find(connection, group, pattern)
            if found is None:
                return [], None, 0
            fit = self._fits.get(pattern)
            if fit is None:
                self._fits[pattern] = fit = claims.Fit(pattern)
            leases = claims.claim(connection, found, fit, limit, now + lease, owner, now)
            again = claims.find(connection, group, pattern) or found
            return leases, claims.next_due(connection, again), _lag(connection, again)

        leases, due, lag = await self._runtime.write(claim)
        deliveries = [
            Delivery(self._runtime.message(one.row), one.position, one.attempt, one.token, now + lease)
            for one in leases
        ]
        return Claimed(deliveries, due, lag)

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement], now: float) -> Sequence[bool]:
        """Settle deliveries, in one transaction with what others settle."""

        def settle(connection: sqlite3.Connection, _: float) -> tuple[list[bool], bool]:
            found = claims.find(connection, group, pattern)
            if found is None:
                return [False] * len(settlements), False
            return claims.settle(connection, found, settlements, now)

        won, freed = await self._runtime.write(settle)
        if freed:
            self._runtime.feed.stirred()
        return won

    async def pause(self, group: str, pattern: str, paused: bool) -> bool:
        """Stop or resume."""
        sql = "UPDATE telex_groups SET paused = ? WHERE name = ? AND pattern = ?"
        changed = await self._runtime.write(
            lambda connection, _: connection.execute(sql, (paused, group, pattern)).rowcount > 0
        )
        self._runtime.feed.stirred()
        return changed

    async def forget(self, group: str, pattern: str) -> bool:
        """Remove a group."""

        def forget(connection: sqlite3.Connection, found: claims.Group) -> bool:
            claims.forget(connection, found)
            return True

        return await self._change(group, pattern, forget)

    async def groups(self) -> list[GroupInfo]:
        """All groups."""

        def count(connection: sqlite3.Connection) -> list[GroupInfo]:
            sql = "SELECT id, name, pattern, floor, paused FROM telex_groups ORDER BY name, pattern"
            found = []
            for row in connection.execute(sql).fetchall():
                group = claims.Group(*row)
                waits, leased, dead = claims.counts(connection, group)
                lag = claims.ahead(connection, group) + waits + leased
                found.append(GroupInfo(group.name, group.pattern, lag, leased, waits, dead, bool(group.paused)))
            return found

        return await self._runtime.read(count)

    async def dead(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Dead letters."""
        found: list[tuple[Any, ...]] = await self._runtime.read(
            lambda connection: connection.execute(_DEAD, (group, limit)).fetchall()
        )
        return [
            DeadLetter(row[10], row[11], row[0], self._runtime.message(row), row[12], row[13] or "", row[14])
            for row in found
        ]

    async def revive(self, group: str, pattern: str, position: int, now: float) -> bool:
        """Deliver a dead letter again."""
        revived = await self._change(group, pattern, lambda c, found: claims.revive(c, found, position, now))
        self._runtime.feed.stirred()
        return revived

    async def drop(self, group: str, pattern: str, position: int) -> bool:
        """Forget a dead letter."""
        return await self._change(group, pattern, lambda c, found: claims.drop(c, found, position))

    async def _change(
        self, group: str, pattern: str, change: Callable[[sqlite3.Connection, claims.Group], bool]
    ) -> bool:
        def write(connection: sqlite3.Connection, _: float) -> bool:
            found = claims.find(connection, group, pattern)
            return found is not None and change(connection, found)

        return await self._runtime.write(write)


def _lag(connection: sqlite3.Connection, group: claims.Group) -> int:
    waits, leased, _ = claims.counts(connection, group)
    return claims.ahead(connection, group) + waits + leased


def _floor(connection: sqlite3.Connection, pattern: str, start: Start, epoch: str, now: float) -> int:
    """The place from which a new group looks."""
    end, version = connection.execute("SELECT pos, rules FROM telex_state").fetchone()
    if start == "new":
        return int(end)
    if isinstance(start, int) and is_pattern(pattern):
        return _back(connection, pattern, start, end)
    rules, floor = Rules(), int(end)
    rules.refresh(connection, version)
    for name in _names(connection, pattern):
        kept = look(connection, name, rules, now)
        if kept is not None:
            first, _ = find(cast("Log", View(connection, kept, epoch)), start, now)
            sql = "SELECT pos FROM telex_messages WHERE topic = ? AND seq >= ? ORDER BY seq LIMIT 1"
            row = connection.execute(sql, (kept.id, first)).fetchone()
            floor = floor if row is None else min(floor, row[0])
    return floor


def _names(connection: sqlite3.Connection, pattern: str) -> list[str]:
    if not is_pattern(pattern):
        return [pattern]
    matches = Pattern(pattern).matches
    return [name for (name,) in connection.execute("SELECT name FROM telex_topics").fetchall() if matches(name)]


def _back(connection: sqlite3.Connection, pattern: str, count: int, end: int) -> int:
    fit, left, floor = claims.Fit(pattern), count, end
    for pos, topic in connection.execute("SELECT pos, topic FROM telex_messages ORDER BY pos DESC"):
        if not left:
            break
        if fit(connection, topic):
            left, floor = left - 1, pos
    return floor
