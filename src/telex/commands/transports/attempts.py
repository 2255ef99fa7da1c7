"""`AttemptCounter`: how often commands that do not run once were begun, for those that come again."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telex.engines.contract import Records

BUCKET = "$restarts"
KEPT = 86400.0
"""Seconds for which a count is kept after it has changed."""


class AttemptCounter:
    """Counts of one engine, by the id of the command. An engine counts what was leased, which is more: what a hub that
    is closed gives back was maybe not begun at all, and if it was, nothing has failed.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    async def count(self, id: str) -> int:
        """It is begun again; how often that was until now. Raises `EngineFailed`."""
        return await self._add(id, 1)

    async def spare(self, id: str) -> None:
        """Its worker is closed before it came to an end: that does not count. Raises `EngineFailed`."""
        await self._add(id, -1)

    async def _add(self, id: str, change: int) -> int:
        while True:
            record = await self._records.get(BUCKET, id)
            before, revision = (0, 0) if record is None else (int(record.value), record.revision)
            value = b"%d" % (before + change)
            if await self._records.put(BUCKET, id, value, revision, time() + KEPT) is not None:
                return before + change
