"""`RetentionSweeper`: deletes messages that no reader or group needs, a part at a time, beside other work."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from telex.errors import Closed, EngineFailed

if TYPE_CHECKING:
    from telex.engines.postgres.link import ServerLink

logger: logging.Logger = logging.getLogger("telex")
YOUNG_SECONDS = 10.0
"""The seconds for which no message is deleted, so that other processes can read it."""
SWEEP_SECONDS = 5.0
"""The seconds between two checks of the topics to which this process has written."""
CLEAN_SECONDS = 30.0
"""The seconds, and up to half as much more, between two checks for messages that have expired by age."""
MIN_WRITTEN = 256
"""The number of written messages after which a topic is swept."""
CHUNK = 2000
"""The most messages that are deleted in one transaction."""
PART_SECONDS = 0.01
"""The seconds between two parts, for other work."""
_SWEEP = "SELECT {s}.sweep(%s, %s::float8, %s::float8, %s)"
_CLEAN = "SELECT {s}.clean(%s)"
_AGED = """SELECT t.name FROM {s}.topics t WHERE EXISTS (SELECT 1 FROM {s}.rules r WHERE r.age IS NOT NULL)
    AND (SELECT r.age FROM {s}.rules r WHERE t.name ~ r.fits ORDER BY r.ord DESC LIMIT 1) IS NOT NULL
    AND EXISTS (SELECT 1 FROM {s}.messages m WHERE m.topic = t.id AND m.seq >= t.swept)"""


class WrittenTopic(msgspec.Struct):
    """The number of messages written to a topic since it was swept, and the time of the last one."""

    count: int
    at: float


class RetentionSweeper:
    """The deletion of messages, in a task of the event loop."""

    def __init__(self, link: ServerLink) -> None:
        self._link = link
        schema = link.address.quoted
        self._sweep = _SWEEP.replace("{s}", schema).encode()
        self._clean = _CLEAN.replace("{s}", schema).encode()
        self._aged = _AGED.replace("{s}", schema).encode()
        self.written: dict[str, WrittenTopic] = {}
        """The topics with messages of this process, by name."""

    def wrote(self, topics: Iterable[str]) -> None:
        """Count messages that were written."""
        now = monotonic()
        for name in topics:
            known = self.written.get(name)
            if known is None:
                self.written[name] = WrittenTopic(1, now)
            else:
                known.count += 1
                known.at = now

    def due(self, names: Iterable[str]) -> None:
        """Sweep topics soon: a rule has changed."""
        for name in names:
            self.written[name] = WrittenTopic(MIN_WRITTEN, monotonic())

    async def run(self) -> None:
        """Delete messages until the engine closes."""
        clean_at = monotonic() + random.uniform(1.0, CLEAN_SECONDS)
        while self._link.closed is None:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep_written()
                if monotonic() >= clean_at:
                    clean_at = monotonic() + random.uniform(CLEAN_SECONDS, 1.5 * CLEAN_SECONDS)
                    await self.clean()
            except Closed:
                return
            except EngineFailed as error:
                if self._link.closed is not None:
                    return
                if self._link.lost_at is None:
                    logger.warning("expired messages are deleted later: %s", error.problem)

    async def sweep_written(self) -> None:
        """Sweep topics with many written messages, until their last messages are old enough to be deleted."""
        quiet = monotonic() - YOUNG_SECONDS - SWEEP_SECONDS
        known = self._link.catalogue.by_name
        for name, written in list(self.written.items()):
            if name not in known:  # it was removed
                self.written.pop(name, None)
            elif written.count >= MIN_WRITTEN:
                await self.sweep(name)
                if written.at < quiet:
                    self.written.pop(name, None)

    async def clean(self) -> None:
        """Delete old ids, records and similar rows, and the messages that have expired by age."""
        await self._all_of(self._clean, CHUNK)
        for (name,) in await self._link.execute("deleting", self._aged):
            await self.sweep(name)

    async def sweep(self, name: str, young: float = YOUNG_SECONDS) -> None:
        """Delete the messages of a topic that no rule or group keeps."""
        parameters = (name, self._link.clock.now(), young, CHUNK)
        await self._all_of(self._sweep, *parameters)

    async def _all_of(self, statement: bytes, *parameters: object) -> None:
        """Execute a statement that deletes a part again while it returns that there is more."""
        more = True
        while more:
            ((more,),) = await self._link.execute("deleting", statement, *parameters)
            if more:
                await asyncio.sleep(PART_SECONDS)
