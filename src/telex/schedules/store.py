"""`ScheduleStore`: the records of the schedules of an engine, changed by compare-and-set."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from telex.codec.content import from_json, plain_json
from telex.commands.spec import check_command
from telex.errors import BadOption, Misuse
from telex.names import check_published
from telex.schedules.plan import ScheduleInfo, ScheduleRecord, checked, info_of, planned, zone_of
from telex.topics.topic import publisher_of
from telex.topics.transaction import engine_of

if TYPE_CHECKING:
    from telex.commands.dispatcher import CommandDispatcher
    from telex.runtime import Runtime

BUCKET = "$schedules"
CHANGES = "$schedules"
"""The topic with the name of each schedule that was changed."""
NEEDS = ("records", "transactions", "record_transactions", "once_per_id")
READ_AT_ONCE = 64
"""The number of records that are read together."""
OTHERS = 4
"""The share of the free places that a process fills before it counts all schedules again, since others add, too. To
count is slow, because engines only list the names.
"""
Change = Callable[[ScheduleRecord], ScheduleRecord]


class ScheduleStore:
    """The schedules of the engine of one hub. Every method raises the exceptions of the engine."""

    def __init__(self, runtime: Runtime, commands: CommandDispatcher) -> None:
        self._runtime = runtime
        self._commands = commands
        self._room = 0  # for schedules that this process adds before it counts all again
        self._counted = 0.0
        self._zones: dict[str, ZoneInfo] = {}  # `zoneinfo` itself keeps few, and reads a file for each other one

    # -- reading

    async def read(self, name: str) -> tuple[ScheduleRecord, int] | None:
        """Return the record of a schedule and its revision, or None."""
        self.require()
        stored = await self._runtime.records("schedules").get(BUCKET, name)
        if stored is None:
            return None
        record = decoded(stored.value)
        await self._load_zone(record.tz)
        return record, stored.revision

    async def read_all(self) -> dict[str, tuple[ScheduleRecord, int]]:
        """Return all records with their revisions, sorted by name."""
        self.require()
        return await self._read_each(await self._runtime.records("schedules").keys(BUCKET))

    async def _read_each(self, names: builtins.list[str]) -> dict[str, tuple[ScheduleRecord, int]]:
        found: dict[str, tuple[ScheduleRecord, int]] = {}
        for first in range(0, len(names), READ_AT_ONCE):
            batch = names[first : first + READ_AT_ONCE]
            read = await asyncio.gather(*map(self.read, batch))
            found |= {name: each for name, each in zip(batch, read, strict=True) if each is not None}
        return found

    async def list(self) -> list[ScheduleInfo]:
        """Return all schedules, sorted by name."""
        return (await self.first(None))[0]

    async def first(self, limit: int | None) -> tuple[builtins.list[ScheduleInfo], int]:
        """Return the first ``limit`` schedules by name, and the number of all."""
        self.require()
        names = await self._runtime.records("schedules").keys(BUCKET)
        found, now = await self._read_each(names[:limit]), self._runtime.clock()
        return [info_of(name, record, now) for name, (record, _) in found.items()], len(names)

    async def get(self, name: str) -> ScheduleInfo | None:
        """Return a schedule, or None when it does not exist."""
        found = await self.read(name)
        return None if found is None else info_of(name, found[0], self._runtime.clock())

    # -- changing

    async def add(self, name: str, record: ScheduleRecord) -> ScheduleInfo:
        """Store a new schedule. Raises `BadOption` when the name is taken, or there are too many schedules."""
        self.require()
        await self._load_zone(record.tz)
        record = planned(self._with_target(name, record), self._runtime.clock())
        if not self._has_room():
            await self._count(name)
        self._room -= 1
        while (known := await self.read(name)) is None or known[0].ended:
            if await self._put(name, record, 0 if known is None else known[1]):
                return info_of(name, record, self._runtime.clock())
        raise BadOption("name", name, "another schedule has this name; change or delete it, or give another name")

    def _has_room(self) -> bool:
        """Return true when the last count of all schedules is recent, and has left room for one more."""
        return (
            self._room > 0 and 0 <= self._runtime.clock() - self._counted < self._runtime.bounds.schedules_check_seconds
        )

    async def _count(self, name: str) -> None:
        """Count all schedules, and note how many this process may add before the next count. Raises `BadOption`."""
        most = self._runtime.bounds.schedules
        left = most - len(await self._runtime.records("schedules").keys(BUCKET))
        if left <= 0:
            raise BadOption("name", name, f"there must be at most {most} schedules on one engine: delete some first")
        self._room, self._counted = max(1, left // OTHERS), self._runtime.clock()

    async def change(self, name: str, changes: Mapping[str, Any]) -> ScheduleInfo | None:
        """Change fields of a schedule. New times count from now. Return its state, or None when it does not exist."""
        if "tz" in changes:
            await self._load_zone(changes["tz"])

        def changed(record: ScheduleRecord) -> ScheduleRecord:
            after = replace(record, **changes)
            if changes.get("command"):
                after = replace(after, topic=changes.get("topic", ""))
            elif changes.get("topic"):
                after = replace(after, command="")
            after = self._with_target(name, after)
            return planned(after, self._runtime.clock()) if {"when", "tz"} & changes.keys() else checked(after)

        return await self._update(name, changed)

    async def set_paused(self, name: str, *, paused: bool) -> ScheduleInfo | None:
        """Pause or resume a schedule in all processes. Return its state, or None when it does not exist."""
        return await self._update(name, lambda record: replace(record, paused=paused))

    async def delete(self, name: str) -> bool:
        """Delete a schedule. Return false when it does not exist."""
        while (known := await self.read(name)) is not None:
            if await self._runtime.records("schedules").put(BUCKET, name, None, known[1]) is not None:
                await self._runtime.topic(CHANGES).publish(name)
                return True
        return False

    async def _update(self, name: str, change: Change) -> ScheduleInfo | None:
        while (known := await self.read(name)) is not None:
            record, revision = known
            after = change(record)
            if after == record or await self._put(name, after, revision):
                return info_of(name, after, self._runtime.clock())
        return None

    async def _put(self, name: str, record: ScheduleRecord, revision: int) -> bool:
        async with self._runtime.transaction() as tx:
            if await engine_of(tx).put(BUCKET, name, msgspec.json.encode(record), revision) is None:
                return False
            await tx.publish(CHANGES, name)
        return True

    async def _load_zone(self, tz: str) -> None:
        """Load a time zone, in a thread of the hub because it is read from a file. A virtual clock stands still
        meanwhile. Raises `BadOption`.
        """
        if tz in self._zones:
            return
        self._runtime.loading += 1
        try:
            self._zones[tz] = await self._runtime.threads.submit(zone_of, tz, "loading a time zone")
        finally:
            self._runtime.loading -= 1

    def _with_target(self, name: str, record: ScheduleRecord) -> ScheduleRecord:
        """Return a record with checked target and content. Raises `BadOption`, `BadName`, `ContentError`."""
        if bool(record.command) is bool(record.topic):
            raise BadOption("command", record.command or None, "give either command= or topic=, the target of the runs")
        target = check_command(record.command) if record.command else check_published(record.topic)
        if target.startswith("$"):
            raise BadOption("topic", target, "topics that begin with '$' are reserved for telex")
        plain = from_json(plain_json(record.content, target))
        if record.command:
            self._runtime.require(f"the schedule {name!r}", *self._commands.transport.needs)
            self._commands.table.check(target, plain, f"{name}@")
        else:
            publisher_of(self._runtime.topic(target)).check_content(plain)
        return replace(record, content=plain)

    def require(self) -> None:
        """Raise `Closed` unless the hub is open, `Misuse` when the engine lacks a guarantee that schedules need."""
        self._runtime.check_open()
        self._runtime.require("schedules", *NEEDS)


def decoded(value: bytes) -> ScheduleRecord:
    """Return the record that an engine stores. Raises `Misuse` for a record of a newer telex."""
    try:
        return msgspec.json.decode(value, type=ScheduleRecord)
    except msgspec.ValidationError as error:
        raise Misuse("read the schedules", f"a newer telex has stored one: update this program ({error})") from None
