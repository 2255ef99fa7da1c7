"""`AttemptCounter`: counts the attempts of commands that do not run once."""

from __future__ import annotations

from time import time

from telex.engines.contract.records import Records

BUCKET = "$restarts"
COUNT_SECONDS = 86400.0
"""The time for which a count is kept after its last change."""


class AttemptCounter:
    """The numbers of attempts of redelivered commands by their ids, in the records of an engine. The engine's own
    count of deliveries is larger, since a hub that closes returns commands that have not failed.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    async def count(self, id: str) -> int:
        """Add one attempt, and return the number of earlier attempts. Raises `EngineFailed`."""
        return await self._add(id, 1)

    async def spare(self, id: str) -> None:
        """Subtract the attempt of a worker whose hub was closed before the command ended. Raises `EngineFailed`."""
        await self._add(id, -1)

    async def _add(self, id: str, change: int) -> int:
        while True:
            record = await self._records.get(BUCKET, id)
            before, revision = (0, 0) if record is None else (int(record.value), record.revision)
            value = b"%d" % (before + change)
            if await self._records.put(BUCKET, id, value, revision, time() + COUNT_SECONDS) is not None:
                return before + change
