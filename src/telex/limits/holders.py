"""`Holder`: the heartbeat of a process that holds slots, and its judgement about other processes.

Each process writes a record three times per lease. A process is gone when its record was unchanged for its lease by the
monotonic clock of the observer: clocks of machines are never compared.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from secrets import token_hex
from time import time

import msgspec

from telex.engines.contract.records import Records
from telex.errors import reason_of
from telex.process.supervision import is_end
from telex.process.tasks import LastingTask
from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.handlers")
BUCKET = "limit-holders"
BEATS_PER_LEASE = 3
SPARE_SECONDS = 86400.0
"""The time after the last heartbeat for which its record is kept."""
RETRY_SECONDS = 1.0
"""The longest time until a heartbeat that was not stored is sent again."""
MIN_GAP_SECONDS = 3.0
"""The time between two reads, or a quarter of the lease if it is longer, after which a process is watched from the
beginning: while the engine was away, no process could send a heartbeat.
"""
MAX_KNOWN_PROCESSES = 1024
MAX_CHECK_SECONDS = 1.0
"""The longest time between two checks of another process that is in the way."""


class SeenHeartbeat(msgspec.Struct):
    """A heartbeat of another process: its revision, since when it is unchanged, and when it was read."""

    revision: int
    since: float
    lease: float
    read: float


class Holder:
    """This process, as a holder of slots. ``late`` is called after a heartbeat that came later than its lease."""

    def __init__(self, runtime: Runtime, late: Callable[[], object]) -> None:
        self.id: str = token_hex(6)
        self.lease: float = 0.0
        """The seconds after which other processes take the slots of a process without heartbeats."""
        self._runtime = runtime
        self._late = late
        self._held = 0
        self._seen: dict[str, SeenHeartbeat] = {}
        self._revision: int | None = None  # None while it is unknown
        self._beaten: float | None = None  # the time of the last heartbeat; None while no slot is held
        self._beating: LastingTask | None = None

    @property
    def _records(self) -> Records:
        return self._runtime.records("limit=")

    def needs(self, lease: float) -> None:
        """Note the lease of a handler: the longest lease holds for all slots of the process."""
        self.lease = max(self.lease, lease)

    async def hold(self) -> None:
        """Send heartbeats from now on. Return after the first one. Raises `EngineFailed`."""
        self._held += 1
        if self._beaten is None:
            try:
                await self._beat()
            except BaseException:
                self._held -= 1
                raise
        if self._beating is None:
            self._begin_beating()

    def _begin_beating(self) -> None:
        work, loop = self._keep_beating(), asyncio.get_running_loop()
        self._beating = LastingTask(work, loop=loop, name="telex limits")
        self._runtime.own(self._beating)
        self._beating.add_done_callback(self._beating_ended)

    def _beating_ended(self, task: LastingTask) -> None:
        self._beating = None
        if task.over or self._runtime.ends or not self._held:
            self._beaten = None
        else:
            self._begin_beating()  # code of the program has cancelled the task, or the last slot was taken again

    def free(self) -> None:
        """Note that one key less is held. Without keys, the heartbeats end."""
        self._held -= 1

    async def _keep_beating(self) -> None:
        logged = ""
        while self._held:
            pause = self.lease / BEATS_PER_LEASE
            await asyncio.sleep(min(pause, RETRY_SECONDS) if logged else pause)
            try:
                await self._beat()
                logged = ""
            except BaseException as error:
                if is_end(error):
                    raise
                text = reason_of(error)
                if text != logged:
                    logger.error("the heartbeat of the limits was not stored: %s; telex tries again", text)
                logged = text

    async def _beat(self) -> None:
        clock = asyncio.get_running_loop().time
        began, last = clock(), self._beaten
        value = msgspec.json.encode(self.lease)
        if self._revision is None:
            record = await self._records.get(BUCKET, self.id)
            self._revision = 0 if record is None else record.revision
        revision, self._revision = self._revision, None
        self._revision = await self._records.put(BUCKET, self.id, value, revision, time() + SPARE_SECONDS)
        self._beaten = began
        if last is not None and clock() - last > self.lease:
            self._late()

    async def gone(self, ids: Collection[str]) -> list[str]:
        """Return those of other processes that do not live any more. Raises `EngineFailed`."""
        return [id for id in ids if await self._is_gone(id)]

    async def _is_gone(self, id: str) -> bool:
        clock = asyncio.get_running_loop().time
        asked, seen = clock(), self._seen.get(id)
        if seen is None or asked - seen.read >= min(MAX_CHECK_SECONDS, seen.lease / 4):
            record = await self._records.get(BUCKET, id)
            revision, seen = 0 if record is None else record.revision, self._seen.get(id)
            now = clock()
            if seen is None or seen.revision != revision or now - seen.read > max(MIN_GAP_SECONDS, seen.lease / 4):
                lease = self.lease if record is None else _lease(record.value)
                seen = self._seen[id] = SeenHeartbeat(revision, now, lease, now)
                if len(self._seen) > MAX_KNOWN_PROCESSES:
                    del self._seen[next(iter(self._seen))]
            seen.read = max(seen.since, asked)
        return seen.read - seen.since >= seen.lease

    def forget(self, ids: Collection[str]) -> None:
        """Forget processes that are gone, whose slots were taken."""
        for id in ids:
            self._seen.pop(id, None)

    async def close(self) -> None:
        """Delete the heartbeat. Raises `EngineFailed`."""
        if self._revision:
            await self._records.put(BUCKET, self.id, None, self._revision)
            self._revision = None


def _lease(value: bytes) -> float:
    try:
        return msgspec.json.decode(value, type=float)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0.0
