"""Records: small values under a key, changed only by compare-and-set."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Record(msgspec.Struct, frozen=True):
    """The value of a record, and its revision: the number of its last change."""

    value: bytes
    revision: int


class Records(Protocol):
    """The records of an engine, used by commands that run once, presence and triggers. Buckets and keys are text
    without NUL.

    A new revision is larger than every earlier revision of the same key, also after the record was deleted. So a
    revision is a fencing token.
    """

    async def get(self, bucket: str, key: str) -> Record | None:
        """Return a record, or None when there is none."""

    async def put(
        self, bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
    ) -> int | None:
        """Set a record if its revision is still ``revision`` (0: if there is none); with the value None, delete it.
        Return the new revision, of a deleted record its last one; or None when another writer was first, or there is
        no record to delete. The engine deletes the record some time after ``expires`` (seconds since 1970); without
        ``expires`` it stays. Raises `EngineFailed` when there is no room for a new record.
        """

    async def keys(self, bucket: str) -> list[str]:
        """Return all keys of a bucket, sorted."""
