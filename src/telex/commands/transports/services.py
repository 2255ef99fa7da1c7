"""`ServiceRegistry`: the heartbeats of the hubs on an engine, with the commands that each serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextvars import Context
from itertools import islice

import msgspec

from telex.engines.contract.records import Records
from telex.errors import TelexError
from telex.process.supervision import keep_doing
from telex.process.tasks import start_task

logger: logging.Logger = logging.getLogger("telex.commands")
BUCKET = "$hubs"
HEARTBEAT_SECONDS = 5.0
SERVES_SECONDS = 3 * HEARTBEAT_SECONDS
"""The age of a heartbeat, by `Engine.now`, up to which its hub counts as serving. It only decides about `NoHandler`."""
ALIVE_SECONDS = 86400.0
"""The age of a heartbeat up to which its hub keeps its inbox, since its machine may sleep."""
CHECK_SECONDS = 1.0
"""The time between two checks of the running commands. A heartbeat is due early when those that last have changed."""
MAX_RUNNING = 1000
"""The largest number of running commands in a heartbeat."""
CACHE_SECONDS = 1.0
"""The time for which the last read heartbeats are used."""


class Heartbeat(msgspec.Struct, frozen=True):
    """The record of a hub: the time by `Engine.now`, its commands, each with true when it runs once, and the ids of the
    commands that run for some time, each with the time by `Engine.now` since when.
    """

    at: float
    commands: dict[str, bool]
    running: dict[str, float] = {}


class ServiceRegistry:
    """The heartbeats on one engine. This hub renews its own heartbeat between `begin` and `close`."""

    def __init__(
        self, records: Records, hub: str, now: Callable[[], float], running: Callable[[], Collection[str]] = tuple
    ) -> None:
        self._records = records
        self._now = now
        self._hub = hub
        self._revision = 0
        self._running = running
        self._since: dict[str, float] = {}
        self._lasting: dict[str, float] = {}
        self._commands: dict[str, bool] = {}
        self._found: dict[str, bool] = {}
        self._read_at = float("-inf")
        self.beating: asyncio.Task[None] | None = None

    def add(self, command: str, once: bool) -> None:  # a pair
        """Add a command to the next heartbeat of this hub."""
        self._commands[command] = once

    def begin(self) -> None:
        """Write a heartbeat now, and then one every `HEARTBEAT_SECONDS`."""
        if self.beating is not None:
            self.beating.cancel()
        # The context of the command that was sent first would stay, and its trace would be in log records.
        beating = keep_doing("the heartbeat of this hub", self._beat)
        self.beating = start_task(beating, name="telex heartbeats", context=Context())

    async def _beat(self) -> None:
        while True:
            await self.beat()
            until = self._now() + HEARTBEAT_SECONDS
            while self._now() < until:
                await asyncio.sleep(CHECK_SECONDS)
                if self._note_running():
                    break

    def _note_running(self) -> bool:
        """Note the commands that run now. Return true when those that ran at the last check have changed."""
        before, now = self._since, self._now()
        self._since = {id: before.get(id, now) for id in islice(self._running(), MAX_RUNNING)}
        lasting = {id: since for id, since in self._since.items() if id in before}
        changed, self._lasting = lasting.keys() != self._lasting.keys(), lasting
        return changed

    async def beat(self) -> None:
        """Write one heartbeat. Raises `EngineFailed`."""
        value = msgspec.json.encode(Heartbeat(self._now(), self._commands, self._lasting))
        revision = await self._records.put(BUCKET, self._hub, value, self._revision)
        if revision is None:  # a cancelled put may have succeeded, and a sweep removes expired records
            found = await self._records.get(BUCKET, self._hub)
            self._revision = 0 if found is None else found.revision
            revision = await self._records.put(BUCKET, self._hub, value, self._revision)
        self._revision = revision or self._revision

    async def find(self, command: str, clock: float) -> bool | None:
        """Return true when the command runs once for each key, None when no hub serves it. ``clock`` is the loop's
        time.
        """
        if command not in self._found or clock - self._read_at > CACHE_SECONDS:
            found: dict[str, bool] = {}
            for heartbeat in await self._serving():
                found |= heartbeat.commands
            self._found, self._read_at = found, clock
        return self._found.get(command)

    async def running(self) -> dict[str, float]:
        """Return the ids of the commands that run for some time, each with the time by `Engine.now` since when. The
        commands of a hub without a heartbeat for `SERVES_SECONDS` are left out.
        """
        found: dict[str, float] = {}
        for heartbeat in await self._serving():
            found |= heartbeat.running
        return found

    async def _serving(self) -> list[Heartbeat]:
        """Return the heartbeats of the hubs that count as serving."""
        found = []
        for _, heartbeat, _ in await self._heartbeats():
            # a heartbeat from before a reboot may be in the future
            if abs(self._now() - heartbeat.at) < SERVES_SECONDS:
                found.append(heartbeat)
        return found

    async def alive(self) -> set[str]:
        """Return the hubs whose last heartbeat is younger than `ALIVE_SECONDS`, and remove older heartbeats."""
        found: set[str] = set()
        for hub, heartbeat, revision in await self._heartbeats():
            if abs(self._now() - heartbeat.at) < ALIVE_SECONDS:
                found.add(hub)
            else:
                await self._records.put(BUCKET, hub, None, revision)
        return found

    async def _heartbeats(self) -> list[tuple[str, Heartbeat, int]]:
        """Return each hub with its heartbeat and the revision of its record. Damaged heartbeats are left out."""
        found = []
        for hub in await self._records.keys(BUCKET):
            record = await self._records.get(BUCKET, hub)
            if record is None:
                continue
            try:
                found.append((hub, msgspec.json.decode(record.value, type=Heartbeat), record.revision))
            except (msgspec.MsgspecError, TypeError, ValueError) as error:
                logger.error("the heartbeat of hub %s cannot be read: %s", hub, error)
        return found

    async def close(self) -> None:
        """Stop renewing, and remove this hub's heartbeat."""
        if self.beating is None:
            return
        self.beating.cancel()
        await asyncio.gather(self.beating, return_exceptions=True)
        try:
            found = await self._records.get(BUCKET, self._hub)
            if found is not None:
                await self._records.put(BUCKET, self._hub, None, found.revision)
        except TelexError as error:
            logger.error("the heartbeat of a closed hub was not removed: %s", error)
