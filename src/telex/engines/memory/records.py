"""`MemoryRecords`: records of one process."""

from __future__ import annotations

from heapq import heappop, heappush
from time import time

from telex.engines.contract.records import Record
from telex.errors import EngineFailed

LIMIT = 1_000_000
"""The largest number of records. When it is reached, a new record replaces the one that expires first."""
SWEPT = 2
"""The number of expired records that are deleted for each new record: more than are added."""


class MemoryRecords:
    """The `telex.engines.Records` of one process. Records without `expires` stay."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._records: dict[tuple[str, str], Record] = {}
        # a heap; items of records that have changed since are skipped
        self._expiring: list[tuple[float, int, tuple[str, str]]] = []
        self._revision = 0
        self._limit = limit

    async def get(self, bucket: str, key: str) -> Record | None:
        """Return a record, or None when there is none."""
        return self._records.get((bucket, key))

    def peek(self, bucket: str, key: str) -> Record | None:
        """Return a record without waiting, as `get`."""
        return self._records.get((bucket, key))

    async def put(
        self, bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
    ) -> int | None:
        """Set or delete a record if its revision is still ``revision``. Return the revision or None."""
        if not self.compare(bucket, key, revision):
            return None
        if value is None:
            return revision if self._records.pop((bucket, key), None) else None
        self._revision = number = self._revision + 1
        self.set(bucket, key, Record(value, number), expires)
        return number

    def compare(self, bucket: str, key: str, revision: int) -> bool:
        """Return true when the revision of a record is ``revision``."""
        found = self._records.get((bucket, key))
        return (0 if found is None else found.revision) == revision

    def number(self) -> int:
        """Return a new revision."""
        self._revision += 1
        return self._revision

    def set(self, bucket: str, key: str, record: Record, expires: float | None) -> None:
        """Set a record, whatever its revision. Raises `EngineFailed` when there are too many records that never
        expire.
        """
        at = (bucket, key)
        if self._expiring and self._expiring[0][0] <= (now := time()):
            self._sweep(now)
        if at not in self._records and len(self._records) >= self._limit and not self._forget():
            raise EngineFailed("putting a record", f"memory:// has room for {self._limit}, and none of them expires")
        self._records[at] = record
        if expires is not None:
            heappush(self._expiring, (expires, record.revision, at))

    def _sweep(self, now: float) -> None:
        for _ in range(SWEPT):
            if not self._expiring or self._expiring[0][0] > now:
                return
            self._pop()

    def _forget(self) -> bool:
        while self._expiring:
            if self._pop():
                return True
        return False

    def _pop(self) -> bool:
        _, revision, at = heappop(self._expiring)
        found = self._records.get(at)
        if found is None or found.revision != revision:
            return False
        del self._records[at]
        return True

    async def keys(self, bucket: str) -> list[str]:
        """Return all keys of a bucket, sorted."""
        return sorted(key for of, key in self._records if of == bucket)
