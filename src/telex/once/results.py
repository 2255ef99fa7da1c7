"""Outcomes as they are read from what is recorded of a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from telex.codec.content import Content, from_json
from telex.commands.outcome import Outcome
from telex.engines.contract.records import Record
from telex.once.machine import Entry, Failure

INLINE = 256 * 1024
"""Bytes of a result that are kept in the record itself, and sent about; a larger one has a record of its own."""
RESULTS = "$results"
"""The bucket of those records."""
Get = Callable[[str, str], Awaitable[Record | None]]
"""How a record is read."""


async def outcome_of(
    entry: Entry, command: str, id: str, key: str | None, get: Get, gives: Content[Any] | None
) -> Outcome[Any]:
    """What is recorded, as an outcome for the sender of the command ``id``. Raises what ``get`` raises."""
    if not entry.ref:
        return outcome_at_once(entry, command, id, key, gives)
    record = await get(RESULTS, entry.ref)
    if record is None or sha256(record.value).hexdigest() != entry.ref.rpartition(" ")[2]:
        gone = Failure("ResultGone", "result_gone", "its result is not kept any more")
        return outcome_at_once(msgspec.structs.replace(entry, error=gone), command, id, key, None)
    there = msgspec.structs.replace(entry, result=msgspec.Raw(record.value))
    return outcome_at_once(there, command, id, key, gives)


def outcome_at_once(entry: Entry, command: str, id: str, key: str | None, gives: Content[Any] | None) -> Outcome[Any]:
    """As `outcome_of`, of a record that has its result."""
    error = entry.error
    result = None if error is not None or entry.result is msgspec.UNSET else from_json(entry.result)
    if error is None and gives is not None:
        result = gives.decode(result, command)
    when = datetime.fromtimestamp(entry.completed, UTC)
    return Outcome(command, id, key, result, error, entry.attempt, when, replayed=True)
