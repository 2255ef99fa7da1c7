"""`WorkerControl`: the cancellations and the priorities of one command, as a worker follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from telex.commands.invocation import UNKNOWN_HUB
from telex.commands.plan import LEVELS, Priority
from telex.commands.transports.job_records import JobRecords
from telex.message import Lost, Message
from telex.runtime import Runtime

MAX_CANCELLED_IDS = 10_000
"""The number of cancellations after which the records are read again, to forget those of commands that have ended."""


class WorkerControl:
    """The cancellations of one command that have not reached a call, and its priorities.

    Each is a record, and a message of the topic ``$command:NAME:cancel``. When messages were lost, the records are read
    again. ``cancel`` gets an id and the hub that cancels, and cancels a call of this worker, if there is one; ``join``
    joins a priority. At most twice ``most`` cancellations are kept.
    """

    def __init__(
        self,
        runtime: Runtime,
        name: str,
        cancel: Callable[[str, str], object],
        join: Callable[[Priority], object],
        most: int = MAX_CANCELLED_IDS,
    ) -> None:
        self.ready: bool = False
        """True when the records were read. The worker begins no command before."""
        self._runtime = runtime
        self._name = name
        self._cancel = cancel
        self._join = join
        self._most = most
        self._ids: dict[str, str] = {}  # the hub that has cancelled, by the id of the command
        self._complete = True  # False when there are more cancellations than this process keeps
        self._noted = 0  # since the records were read
        self._read = asyncio.Event()

    @property
    def _records(self) -> JobRecords:
        return JobRecords(self._runtime.records("commands"))

    async def wait(self) -> None:
        """Wait until the records were read once."""
        await self._read.wait()

    def may_be_cancelled(self, id: str) -> bool:
        """Return true when `canceller` may have found a hub, for a command that arrives now."""
        return id in self._ids or not self._complete

    async def canceller(self, id: str, *, retried: bool) -> str | None:
        """Return the hub that has cancelled a command that arrives now, else None. A retry deletes an earlier
        cancellation. Raises `EngineFailed`.
        """
        known = None if retried else self._ids.get(id)
        if known is not None and known != UNKNOWN_HUB:
            return known
        return await self._records.canceller(self._name, id) or known

    async def follow(self) -> None:
        """Follow the cancellations and priorities until the hub closes. Raises `EngineFailed`."""
        topic = self._runtime.topic(f"$command:{self._name}:cancel")
        async with topic.subscribe(report_lost=True) as changes:
            await self._load()
            self.ready = True
            self._read.set()
            async for item in changes:
                if isinstance(item, Lost):
                    await self._load()
                else:
                    await self._take(item)

    async def _load(self) -> None:
        """Read the records."""
        for level in await self._records.levels(self._name):
            self._join(level)
        ids = await self._records.cancelled(self._name)
        self._ids, self._noted = dict.fromkeys(ids[-self._most :], UNKNOWN_HUB), 0
        self._complete = len(ids) <= self._most
        for id in ids:
            self._cancel(id, UNKNOWN_HUB)

    async def _take(self, message: Message[Any]) -> None:
        content = message.content if isinstance(message.content, dict) else {}
        id, level = content.get("id"), content.get("level")
        if level in LEVELS:
            self._join(level)
        if isinstance(id, str):
            self._ids[id] = by = str(content.get("by", UNKNOWN_HUB))
            self._cancel(id, by)
            self._noted += 1
            if self._noted >= self._most:
                await self._load()
