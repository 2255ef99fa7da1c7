"""`ServiceRegistry`: which hubs on an engine are open, what commands they serve, and where their senders wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from telex.errors import TelexError
from telex.process.supervision import keep_doing
from telex.process.tasks import start_task

if TYPE_CHECKING:
    from telex.engines.contract import Records

logger: logging.Logger = logging.getLogger("telex.commands")
BUCKET = "$hubs"
BEAT = 5.0
"""Seconds between two signs of life of a hub."""
DEAD = 3 * BEAT
"""A hub that gave none for so long, by `Engine.now`, is taken for dead. That is a hint alone, for `NoHandler`: no
promise hangs on it."""
KEPT = 86400.0
"""Seconds for which the sign of a hub is kept, and with it its inbox: its machine may have slept."""
FRESH = 1.0
"""Seconds for which what was read is not read again."""


class Heartbeat(msgspec.Struct, frozen=True):
    """What a hub says of itself: the commands it serves, each with whether it runs once for a key."""

    at: float
    commands: dict[str, bool]


class ServiceRegistry:
    """The signs of life on one engine; this hub's own is given while `keep` runs."""

    def __init__(self, records: Records, hub: str, now: Callable[[], float]) -> None:
        self._records = records
        self._now = now
        self._hub = hub
        self._revision = 0
        self._commands: dict[str, bool] = {}
        self._seen: dict[str, bool] = {}
        self._dead: list[str] = []
        self._read_at = float("-inf")
        self._beating: asyncio.Task[None] | None = None

    def add(self, command: str, once: bool) -> None:  # a pair
        """This hub serves it; told with the next sign."""
        self._commands[command] = once

    def begin(self) -> None:
        """Give signs of life, from now on and at once if something has changed."""
        if self._beating is not None:
            self._beating.cancel()
        beating = keep_doing("no sign of life was given", self._beat)
        self._beating = start_task(beating, name="telex signs of life")

    async def _beat(self) -> None:
        while True:
            await self.sign()
            await asyncio.sleep(BEAT)

    async def sign(self) -> None:
        """Give one sign of life, now. Raises what records raise."""
        value = msgspec.json.encode(Heartbeat(self._now(), self._commands))
        revision = await self._records.put(BUCKET, self._hub, value, self._revision)
        if revision is None:  # a put that was cancelled may have been done, and a sweep takes what has expired
            found = await self._records.get(BUCKET, self._hub)
            self._revision = 0 if found is None else found.revision
            revision = await self._records.put(BUCKET, self._hub, value, self._revision)
        self._revision = revision or self._revision

    async def find(self, command: str, clock: float) -> bool | None:
        """Whether the command runs once for a key; None when nobody serves it."""
        if command not in self._seen or clock - self._read_at > FRESH:
            await self._read(clock)
        return self._seen.get(command)

    async def _read(self, clock: float) -> None:
        seen: dict[str, bool] = {}
        for _, sign, _ in await self._signs():
            if abs(self._now() - sign.at) < DEAD:  # one of before the machine was started may seem to come
                seen |= sign.commands
        self._seen, self._read_at = seen, clock

    async def alive(self) -> set[str]:
        """The hubs that gave a sign of life within a day, and were not closed. The signs of others go."""
        found: set[str] = set()
        for hub, sign, revision in await self._signs():
            if abs(self._now() - sign.at) < KEPT:
                found.add(hub)
            else:
                await self._records.delete(BUCKET, hub, revision)
        return found

    async def _signs(self) -> list[tuple[str, Heartbeat, int]]:
        """Each hub, its last sign, and the revision of that. A sign that is damaged is left out."""
        found = []
        for hub in await self._records.keys(BUCKET):
            record = await self._records.get(BUCKET, hub)
            if record is None:
                continue
            try:
                found.append((hub, msgspec.json.decode(record.value, type=Heartbeat), record.revision))
            except (msgspec.MsgspecError, TypeError, ValueError) as error:
                logger.error("the sign of life of hub %s cannot be read: %s", hub, error)
        return found

    async def close(self) -> None:
        """Give none any more."""
        if self._beating is None:
            return
        self._beating.cancel()
        await asyncio.gather(self._beating, return_exceptions=True)
        try:
            found = await self._records.get(BUCKET, self._hub)
            if found is not None:
                await self._records.delete(BUCKET, self._hub, found.revision)
        except TelexError as error:
            logger.error("the sign of life of a hub that is closed was left: %s", error)
