"""`SQLiteGroups`: the `telex.engines.Groups` of the file. It calls functions in the threads; `leases` and `settling`
decide about messages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from telex.engines.contract.groups import Claimed, DeadLetter, Delivery, GroupInfo, Settlement, Unreadable
from telex.engines.sqlite import begins, lags, leases, settling
from telex.engines.sqlite.lags import Group, GroupView
from telex.errors import BadOption
from telex.log.start import Start
from telex.message import Position
from telex.names import is_pattern

if TYPE_CHECKING:
    from telex.engines.sqlite.client import FileClient
    from telex.log.log import Log


class SQLiteGroups:
    """The consumer groups of the file."""

    def __init__(self, client: FileClient) -> None:
        self._client = client
        self._written = GroupView(client.address.bounds)  # of the writing thread
        self._read = GroupView(client.address.bounds)  # of the reading thread
        self._busy: set[tuple[str, str]] = set()  # groups whose last claim here found messages

    async def join(self, group: str, pattern: str, start: Start, log: Log) -> None:
        """Create the group of a member if there is none."""
        if await self._client.read(lambda connection: lags.find(connection, group, pattern)) is not None:
            return
        if isinstance(start, Position) and is_pattern(pattern):
            raise BadOption(
                "start",
                start,
                "a position belongs to one topic; for a pattern give a time, a number, 'new' or 'earliest'",
            )
        epoch, near = self._client.catalogue.identity(pattern)[0], self._client.address.bounds.near_messages
        await self._client.write(
            lambda connection, now: begins.begin(connection, group, pattern, start, epoch, now, near)
        )

    async def claim(self, group: str, pattern: str, limit: int, lease: float, owner: str, now: float) -> Claimed:
        """Lease messages. For a group without messages at its last claim, look first with a read: then a claim without
        messages writes nothing.
        """
        name = (group, pattern)
        if name not in self._busy:
            outlook = await self._client.read(lambda connection: self._look(connection, group, pattern, now))
            if not outlook.claimable:
                return Claimed([], outlook.next_due, outlook.lag)

        def claim(connection: sqlite3.Connection, _: float) -> leases.Taken:
            found = lags.find(connection, group, pattern)
            if found is None:
                return leases.Taken([], 0, None, 0)
            return leases.claim(connection, found, self._written, limit, lease, owner, now)

        taken = await self._client.write(claim)
        if taken.rows:
            self._busy.add(name)
        else:
            self._busy.discard(name)
        message, token, end = self._client.message, taken.token, now + lease
        every = [Delivery(message(row), row[0], row[-1] + 1, token + n, end) for n, row in enumerate(taken.rows)]
        deliveries = [each for each in every if each.message.content.__class__ is not Unreadable]
        unreadable = tuple(each for each in every if each.message.content.__class__ is Unreadable)
        return Claimed(deliveries, taken.next_due, taken.lag, unreadable)

    def _look(self, connection: sqlite3.Connection, group: str, pattern: str, now: float) -> leases.Outlook:
        found = lags.find(connection, group, pattern)
        if found is None:  # the group was deleted
            return leases.Outlook(False, None, 0)
        return leases.look(connection, found, self._read, now)

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement], now: float) -> Sequence[bool]:
        """Settle deliveries, in one transaction with other waiting writes."""
        if not settlements:
            return []

        died = now + self._client.now - self._client.age()  # the time of day, for people

        def settle(connection: sqlite3.Connection, _: float) -> settling.Settled:
            found = lags.find(connection, group, pattern)
            if found is None:
                return settling.Settled([False] * len(settlements))
            return settling.settle(connection, found, settlements, now, died)

        settled = await self._client.write(settle)
        if settled.stirs:
            self._client.feed.stirred(pattern)
        return settled.won

    def check_outside(self) -> None:
        """Raise `Misuse` inside of the open transaction, for which settling would wait."""
        self._client.check_outside()

    async def pause(self, group: str, pattern: str, paused: bool) -> bool:
        """Stop or resume claiming."""
        found = await self._client.write(lambda connection, _: settling.pause(connection, group, pattern, paused))
        if found and not paused:
            self._client.feed.stirred(pattern)
        return found

    async def rest(self, group: str, pattern: str) -> bool:
        """Let a group rest: topics keep no unclaimed messages for it."""

        def rest(connection: sqlite3.Connection, found: Group) -> bool:
            lags.set_rests(connection, found, True)
            return True

        return await self._change(group, pattern, rest)

    async def forget(self, group: str, pattern: str) -> bool:
        """Remove a group."""

        def forget(connection: sqlite3.Connection, found: Group) -> bool:
            settling.forget(connection, found)
            return True

        return await self._change(group, pattern, forget)

    async def groups(self) -> list[GroupInfo]:
        """Return all groups."""
        now = self._client.age()

        def info(connection: sqlite3.Connection) -> list[GroupInfo]:
            self._read.refresh(connection)
            return [
                GroupInfo(
                    found.name,
                    found.pattern,
                    self._read.lag(connection, found),
                    *settling.counts(connection, found, now),
                    bool(found.paused),
                )
                for found in lags.every(connection)
            ]

        return await self._client.read(info)

    async def dead(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Return dead letters."""
        found = await self._client.read(lambda connection: settling.dead(connection, group, limit))
        return [
            DeadLetter(row[10], row[11], row[0], self._client.message(row), row[12], row[13] or "", row[14])
            for row in found
        ]

    async def revive(self, group: str, pattern: str, position: int, now: float) -> bool:
        """Deliver a dead letter again."""
        revived = await self._change(group, pattern, lambda c, found: settling.revive(c, found, position))
        if revived:
            self._client.feed.stirred(pattern)
        return revived

    async def drop(self, group: str, pattern: str, position: int) -> bool:
        """Delete a dead letter."""
        return await self._change(group, pattern, lambda c, found: settling.drop(c, found, position))

    async def _change(self, group: str, pattern: str, change: Callable[[sqlite3.Connection, Group], bool]) -> bool:
        def write(connection: sqlite3.Connection, _: float) -> bool:
            found = lags.find(connection, group, pattern)
            return found is not None and change(connection, found)

        return await self._client.write(write)
