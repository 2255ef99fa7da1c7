"""`SQLiteGroups`: the `telex.engines.Groups` of the file. It calls functions in the threads; `leases` and `settling`
decide about messages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from telex.engines.contract.groups import (
    DEAD_LETTER_ACTIONS,
    Change,
    DeadLetter,
    Delivery,
    Fetched,
    GroupInfo,
    Settlement,
    Unreadable,
)
from telex.engines.fetching import Attempt
from telex.engines.sqlite import begins, lags, leases, settling
from telex.engines.sqlite.lags import Group, GroupView
from telex.log.start import Start, check_seek

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

    async def join(self, group: str, pattern: str, start: Start, log: Callable[[], Log]) -> None:
        """Create the group of a member if there is none."""
        if await self._client.read(lambda connection: lags.find(connection, group, pattern)) is not None:
            return
        check_seek(pattern, start)
        epoch, near = self._client.catalogue.identity(pattern)[0], self._client.address.bounds.near_messages
        await self._client.write(
            lambda connection, now: begins.begin(connection, group, pattern, start, epoch, now, near)
        )

    async def fetch(self, group: str, pattern: str, limit: int, lease: float, owner: str, wait: float) -> Fetched:
        """Lease messages."""

        async def attempt(is_published: bool) -> Attempt:
            return await self._lease(group, pattern, limit, lease, owner, is_published)

        async def release(given: Sequence[Delivery]) -> None:
            await self.settle(group, pattern, [Settlement(each.position, each.token, "release") for each in given])

        return await self._client.fetches.fetch(pattern, wait, attempt, release)

    async def _lease(
        self, group: str, pattern: str, limit: int, lease: float, owner: str, is_published: bool
    ) -> Attempt:
        """Lease messages. For a group without messages at its last attempt, look first with a read: then an attempt
        without messages writes nothing.
        """
        name, clock = (group, pattern), self._client.clock
        if name not in self._busy and not is_published:
            found = await self._client.read(lambda connection: self._look(connection, group, pattern, clock.now()))
            if not found.claimable:
                return Attempt(Fetched((), found.lag), found.due)

        def claim(connection: sqlite3.Connection, _: float) -> leases.Taken:
            found = lags.find(connection, group, pattern)
            if found is None:
                return leases.Taken([], 0, None, 0)
            return leases.claim(connection, found, self._written, limit, lease, owner, clock.now())

        taken = await self._client.write(claim)
        if not taken.rows:
            self._busy.discard(name)
            return Attempt(Fetched((), taken.lag), taken.due)
        self._busy.add(name)
        message, token = self._client.message, taken.token
        every = [Delivery(message(row), row[0], row[-1] + 1, token + n) for n, row in enumerate(taken.rows)]
        unreadable = [each for each in every if each.message.content.__class__ is Unreadable]
        if unreadable:
            every = [each for each in every if each not in unreadable]
        return Attempt(Fetched(every, taken.lag, unreadable), taken.due)

    def _look(self, connection: sqlite3.Connection, group: str, pattern: str, now: float) -> leases.Outlook:
        found = lags.find(connection, group, pattern)
        if found is None:  # the group was deleted
            return leases.Outlook(False, None, 0)
        return leases.look(connection, found, self._read, now)

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        """Settle deliveries, or a dead letter, in one transaction with other waiting writes."""
        if not settlements:
            return []
        if settlements[0].action in DEAD_LETTER_ACTIONS:
            return [await self._resolve(group, pattern, settlements[0])]
        clock = self._client.clock

        def settle(connection: sqlite3.Connection, now: float) -> settling.Settled:
            found = lags.find(connection, group, pattern)
            if found is None:
                return settling.Settled([False] * len(settlements))
            return settling.settle(connection, found, settlements, clock.now(), now)

        settled = await self._client.write(settle)
        if settled.stirs:
            self._client.fetches.stir(pattern)
        return settled.won

    async def seek(self, group: str, pattern: str, start: Start) -> bool:
        """Move a group to another start."""
        check_seek(pattern, start)
        epoch, near = self._client.catalogue.identity(pattern)[0], self._client.address.bounds.near_messages

        def write(connection: sqlite3.Connection, now: float) -> bool:
            found = lags.find(connection, group, pattern)
            if found is not None:
                begins.seek(connection, found, start, epoch, now, near)
            return found is not None

        found = await self._client.write(write)
        self._client.fetches.stir(pattern)
        return found

    async def change(self, group: str, pattern: str, change: Change) -> bool:
        """Change a group. For a group that rests, topics keep no messages that it has not leased."""

        def write(connection: sqlite3.Connection, found: Group) -> bool:
            if change == "rest":
                lags.set_rests(connection, found, True)
            elif change == "forget":
                settling.forget(connection, found)
            else:
                settling.pause(connection, found, change == "pause")
            return True

        found = await self._change(group, pattern, write)
        if change == "resume":
            self._client.fetches.stir(pattern)
        return found

    async def groups(self) -> list[GroupInfo]:
        """Return all groups."""
        now = self._client.clock.now()

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

    async def _resolve(self, group: str, pattern: str, letter: Settlement) -> bool:
        resolve = settling.revive if letter.action == "retry" else settling.drop
        found = await self._change(
            group, pattern, lambda connection, known: resolve(connection, known, letter.position)
        )
        if letter.action == "retry":
            self._client.fetches.stir(pattern)
        return found

    async def _change(self, group: str, pattern: str, change: Callable[[sqlite3.Connection, Group], bool]) -> bool:
        def write(connection: sqlite3.Connection, _: float) -> bool:
            found = lags.find(connection, group, pattern)
            return found is not None and change(connection, found)

        return await self._client.write(write)
