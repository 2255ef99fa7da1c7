"""The results of commands that run once: small ones in the record of their key, large ones in records of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256

import msgspec

from telex.engines.contract.records import Record
from telex.once.machine import Entry, Failure

MAX_INLINE_BYTES = 256 * 1024
"""The size up to which a result is stored in the record of its key and sent in messages. A larger result has a record
of its own.
"""
RESULTS_BUCKET = "$results"
"""The bucket of the records of large results."""
EXTRA_RESULT_SECONDS = 3600.0
"""The extra time for which the record of a large result is kept, compared with the record that names it."""
Get = Callable[[str, str], Awaitable[Record | None]]
"""Reads a record, as `telex.engines.Records.get`."""


def result_ref(command: str, id: str, fence: int, content: bytes) -> str:
    """Return the key of the record of a large result, which differs for each attempt and result."""
    return f"{command} {id} {fence} {sha256(content).hexdigest()}"


async def with_result(entry: Entry, get: Get) -> Entry:
    """Return ``entry`` with its large result read from its own record, or with an error when that record is gone.
    Raises the exceptions of ``get``.
    """
    if not entry.ref:
        return entry
    record = await get(RESULTS_BUCKET, entry.ref)
    if record is None or sha256(record.value).hexdigest() != entry.ref.rpartition(" ")[2]:
        error = Failure("ResultGone", "result_gone", "its result was deleted")
        return msgspec.structs.replace(entry, error=error)
    return msgspec.structs.replace(entry, result=msgspec.Raw(record.value), ref="")
