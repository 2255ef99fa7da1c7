"""Records: small values under a key, changed by compare-and-set alone."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Record(msgspec.Struct, frozen=True):
    """A value and the number of the change that put it there."""

    value: bytes
    revision: int


class Records(Protocol):
    """Records: they carry "run once", presence and the claims of triggers. Buckets and keys are text without NUL.

    A revision is larger than any that the same key had before, also after it was deleted: it serves as a fencing token.
    """

    async def get(self, bucket: str, key: str) -> Record | None:
        """The record, or None."""

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """Set it if its revision is still ``revision`` (0: if there is none). The new revision, or None when somebody
        else was first. From ``expires`` (seconds since 1970) on the engine may delete it, and does so in time; a record
        without it stays. Raises `EngineFailed` when there is no room for a new one."""

    async def delete(self, bucket: str, key: str, revision: int) -> bool:
        """Delete it if its revision is still ``revision``; whether it was."""

    async def keys(self, bucket: str) -> list[str]:
        """All keys of a bucket, sorted."""
