"""`ScheduleRunner`: fires the due schedules of an engine. Of all processes that run it, one fires each instant."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec.structs import replace

from telex.errors import Closed, Timeout
from telex.message import Message
from telex.schedules.plan import ScheduleRecord, missed_of, schedule_of
from telex.schedules.store import BUCKET, CHANGES, NEEDS, decoded
from telex.topics.transaction import engine_of
from telex.triggers.claims import ClaimQueue
from telex.triggers.conditions.firing import moment
from telex.triggers.conditions.schedule import GRACE, due, spread
from telex.triggers.records import FiringClaim, NamedTrigger, TriggerRecord, TriggerRecords

if TYPE_CHECKING:
    from telex.commands.dispatcher import CommandDispatcher
    from telex.runtime import Runtime
    from telex.schedules.store import ScheduleStore
    from telex.topics.transaction import Transaction
    from telex.triggers.timers import Timers

logger: logging.Logger = logging.getLogger("telex.schedules")
ENDED_KEPT_SECONDS = 7 * 86400.0
"""The time for which a schedule is still listed after its last run."""


class ScheduleRecords(TriggerRecords):
    """The records of schedules, as the `ClaimQueue` of triggers reads and commits them."""

    def __init__(self, runtime: Runtime, commands: CommandDispatcher) -> None:
        super().__init__(runtime)
        self._commands = commands
        self._sent: list[tuple[str, str, Callable[[], object]]] = []  # the schedule, the id of the run, and its sending

    async def read(self, name: str, start: float) -> tuple[TriggerRecord, int]:
        """Return a stored `ScheduleRecord`; a `TriggerRecord` and 0 when the schedule was deleted."""
        stored = await self._runtime.records("schedules").get(BUCKET, name)
        return (TriggerRecord(start), 0) if stored is None else (decoded(stored.value), stored.revision)

    async def commit_all(self, claims: Sequence[tuple[NamedTrigger, FiringClaim, int]]) -> list[bool]:
        """Write the records, and publish and send for all of them, in one transaction."""
        for _, claim, _ in claims:
            record = cast("ScheduleRecord", claim.record)
            if record.command and claim.firings:
                await self._commands.transport.expect(record.command)
        self._sent = []
        won = await super().commit_all(claims)
        for name, id, accept in self._sent:
            try:
                accept()
            except Exception as error:  # noqa: BLE001  # the command is refused; the other schedules run all the same
                logger.error("schedule %s has lost its run %s, which counts as missed: %s", name, id, error)
                await self._note_missed(name)
        return won

    async def _note_missed(self, name: str) -> None:
        """Count the last run of a schedule as missed instead of fired."""
        records = self._runtime.records("schedules")
        while (stored := await records.get(BUCKET, name)) is not None:
            record = decoded(stored.value)
            record = replace(record, fired=record.fired - 1, missed=record.missed + 1)
            if await records.put(BUCKET, name, msgspec.json.encode(record), stored.revision, self._expires(record)):
                return

    def _expires(self, record: ScheduleRecord) -> float | None:
        return self._runtime.clock() + ENDED_KEPT_SECONDS if record.ended else None

    async def put(self, tx: Transaction, trigger: NamedTrigger, claim: FiringClaim, revision: int) -> bool:
        """Write a record, and publish or send its runs."""
        record, name = cast("ScheduleRecord", claim.record), trigger.name
        value = msgspec.json.encode(record)
        if await engine_of(tx).put(BUCKET, name, value, revision, self._expires(record)) is None:
            return False
        for instant, _ in claim.firings:
            id = f"{name}@{moment(instant).isoformat()}"
            if record.topic:
                await tx.publish(record.topic, record.content, id=id)
                continue
            accept = await self._commands.transport.send_in(tx, record.command, record.content, id)
            if accept is not None:
                self._sent.append((name, id, accept))
        return True


class ScheduleRunner:
    """The schedules of an engine in this process: their next instants, and the claims of the due ones."""

    def __init__(self, runtime: Runtime, timers: Timers, store: ScheduleStore, commands: CommandDispatcher) -> None:
        self.timers: Timers = timers
        self.queue: ClaimQueue = ClaimQueue(runtime, ScheduleRecords(runtime, commands))
        self.entries: dict[str, ScheduleEntry] = {}
        self.loaded: asyncio.Event = asyncio.Event()
        """Set when all schedules were read once."""
        self._runtime = runtime
        self._store = store
        self._wanted = False
        self._following = False

    def want(self) -> None:
        """Fire the schedules in this process, from the opening of the hub until it closes."""
        self._wanted = True
        if self.timers.running and not self._following:
            self._store.require()
            self._following = True
            self.timers.run(self._follow)

    def want_if_able(self) -> None:
        """Fire the schedules, as `want`, unless the engine cannot have any."""
        if all(getattr(self._runtime.engine.guarantees, guarantee) for guarantee in NEEDS):
            self.want()

    def start(self) -> None:
        """Start: the hub is open."""
        if self._wanted:
            self.want()

    async def stop(self) -> None:
        """Stop firing."""
        await self.queue.stop()

    async def _follow(self) -> None:
        """Read all schedules, and those that change, also in other processes."""
        seconds = self._runtime.bounds.schedules_check_seconds
        topic = self._runtime.topic(CHANGES)
        async with topic.subscribe(overflow="drop_oldest", buffer=10_000, report_lost=True) as changes:
            await self._load()
            while not self._runtime.closed:
                try:
                    item = await changes.receive(timeout=seconds)
                except Timeout:
                    await self._load()
                    continue
                except Closed:
                    return
                if isinstance(item, Message):
                    await self._load_one(str(item.content))
                else:
                    await self._load()

    async def _load(self) -> None:
        found = await self._store.read_all()
        for name in self.entries.keys() - found.keys():
            self.forget(name)
        for name, (record, revision) in found.items():
            self._take(name, record, revision)
        self.loaded.set()

    async def _load_one(self, name: str) -> None:
        found = await self._store.read(name)
        if found is None:
            self.forget(name)
        else:
            self._take(name, *found)

    def _take(self, name: str, record: ScheduleRecord, revision: int) -> None:
        entry = self.entries.get(name)
        if entry is None:
            if record.ended:
                return
            entry = self.entries[name] = ScheduleEntry(name, self)
        if revision > entry.revision:
            entry.revision = revision
            entry.take(record)

    def forget(self, name: str) -> None:
        """Stop firing a schedule that was deleted or has ended."""
        entry = self.entries.pop(name, None)
        if entry is not None:
            entry.ended = True
            self.timers.disarm(entry)


class ScheduleEntry:
    """A schedule in the timers of this process; the `BatchClaimant` of its runs."""

    __slots__ = ("_runner", "asked", "ended", "failed", "fired", "name", "paused", "queue_entry", "record", "revision")

    def __init__(self, name: str, runner: ScheduleRunner) -> None:
        self.name: str = name
        self.record: ScheduleRecord | None = None
        self.revision: int = 0
        """The revision of the last record that was read, not of those that this process has written."""
        self.fired: int = 0
        self.failed: int = 0
        self.paused: bool = False
        self.ended: bool = False
        self.queue_entry: int = 0
        self.asked: float = 0.0
        self._runner = runner

    @property
    def topic(self) -> str:
        """The topic of the runs, empty for commands."""
        return "" if self.record is None else self.record.topic

    @property
    def start(self) -> float:
        """The instant from which the times count."""
        return 0.0 if self.record is None else self.record.start

    def take(self, record: ScheduleRecord) -> None:
        """Continue from a record that is stored."""
        self.record, self.fired, self.paused = record, record.fired, record.paused
        if record.ended or record.next is None:
            self._runner.forget(self.name)
            return
        at, timers = record.next, self._runner.timers
        if record.jitter:
            at = spread(schedule_of(record.when, record.tz), at, record.start, record.jitter, timers.chance())
        timers.arm(self, at)

    def due(self, now: float) -> None:
        """Ask for a claim of the due instants."""
        if self._runner.queue.add_to_batch(self):
            self.asked = now

    def decide(self, record: TriggerRecord) -> FiringClaim | None:
        """Return the next record and the due instants. Return None for a schedule that was deleted, paused or ended."""
        if not isinstance(record, ScheduleRecord):
            self._runner.forget(self.name)
            return None
        if self.ended or record.paused or record.ended:
            self.take(record)
            return None
        schedule = schedule_of(record.when, record.tz)
        instants, following = due(
            schedule, record.last, record.start, self.asked, record.misfire, GRACE + record.jitter
        )
        if record.misfire == "all":  # the other missed instants are decided about later
            missed = sum(self.asked - instant > GRACE + record.jitter for instant in instants)
        else:
            missed = missed_of(record, self.asked)
        claimed = replace(record, next=following, ended=following is None, missed=record.missed + missed)
        if instants:
            fired, late = record.fired + len(instants), self.asked - instants[-1]
            claimed = replace(claimed, last=instants[-1], fired=fired, late=late)
        return FiringClaim(claimed, [(instant, number) for number, instant in enumerate(instants, record.fired + 1)])

    def settle(self, record: TriggerRecord) -> None:
        """Continue from a record that this process has stored."""
        if not self.ended:
            self.take(cast("ScheduleRecord", record))

    def pass_over(self) -> None:
        """Skip runs that can never be published."""
        self.failed += 1
        if self.record is not None and not self.ended:
            record = self.record
            self.take(replace(record, next=schedule_of(record.when, record.tz).after(self.asked, record.start)))
