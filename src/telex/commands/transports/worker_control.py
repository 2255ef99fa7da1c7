"""`WorkerControl`: the cancellations and the priorities of one command, as a worker follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from telex.commands.plan import LEVELS, Priority
from telex.commands.transports.job_records import JobRecords
from telex.message import Lost, Message
from telex.runtime import Runtime

MAX_CANCELLED_IDS = 10_000
"""The number of cancellations after which the records are read again, to forget those of commands that have ended."""


class WorkerControl:
    """The cancellations of one command that have not reached a call, and its priorities.

    Each is a record, and a message of the topic ``$command:NAME:cancel``. When messages were lost, the records are read
    again. ``cancel`` cancels a call of this worker, if there is one, and ``join`` joins a priority. At most twice
    ``most`` cancellations are kept.
    """

    def __init__(
        self,
        runtime: Runtime,
        name: str,
        cancel: Callable[[str], object],
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
        self._ids: dict[str, None] = {}
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
        """Return true when `is_cancelled` may be true for a command that arrives now."""
        return id in self._ids or not self._complete

    async def is_cancelled(self, id: str, *, retried: bool) -> bool:
        """Return true when a command is cancelled that arrives now. A retry deletes an earlier cancellation. Raises
        `EngineFailed`.
        """
        if id in self._ids and not retried:
            return True
        return await self._records.is_cancelled(self._name, id)

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
        self._ids, self._noted = dict.fromkeys(ids[-self._most :]), 0
        self._complete = len(ids) <= self._most
        for id in ids:
            self._cancel(id)

    async def _take(self, message: Message[Any]) -> None:
        content = message.content if isinstance(message.content, dict) else {}
        id, level = content.get("id"), content.get("level")
        if level in LEVELS:
            self._join(level)
        if isinstance(id, str):
            self._ids[id] = None
            self._cancel(id)
            self._noted += 1
            if self._noted >= self._most:
                await self._load()
