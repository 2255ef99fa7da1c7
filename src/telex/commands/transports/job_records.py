"""`JobRecords`: the records of commands by id, of those that are delayed, kept, retried or cancelled.

Other commands have no record: their state follows from the topics of their name and from the heartbeats of the hubs.
"""

from __future__ import annotations

import asyncio
from time import time
from typing import Any, Literal

import msgspec

from telex.codec.content import from_json, to_json
from telex.commands.job import MAX_CONTENT_BYTES
from telex.commands.outcome import Outcome
from telex.commands.plan import LEVELS, Priority
from telex.engines.contract.records import Records

INBOX, DEADLINE, DIGEST = "telex-inbox", "telex-deadline", "telex-digest"
"""The headers of a command. The digest is that of the content as it was sent, before a worker converts it."""
JOB, BEFORE = "telex-job", "telex-before"
"""The headers of a command with a record: its id, and the number of attempts before it was retried."""
NAMES_BUCKET = "$jobs"
"""The bucket with the names of commands that have records: the topics of a delayed command may not exist yet."""
LEVELS_BUCKET = "$levels"
"""The bucket with the priorities in use: a key is the name of a command, a space and the priority."""
SPARE_SECONDS = 30 * 86400.0
"""The time for which the record of a delayed command is kept after it is due, and that of a retried one, in case that
no worker serves the command.
"""
CANCEL_SECONDS = 7 * 86400.0
"""The time for which the cancellation of a command is kept for workers that start later."""
ENDED_CANCEL_SECONDS = 3600.0
"""The time for which a cancellation is kept after its outcome was published. Until the command is settled its worker
may be killed, and the next worker must not begin the command.
"""
REFUSED_SECONDS = 86400.0
"""The time for which a refusal is kept: followers do not get it."""


def result_ref(outcome: Outcome[Any]) -> str:
    """Return the key of the record of a large outcome."""
    return f"{outcome.command} {outcome.id} {outcome.attempt}"


class JobRecord(msgspec.Struct, omit_defaults=True, frozen=True):
    """The record of a command. Times are in seconds since 1970. ``before`` is the number of attempts before the last
    retry. ``content`` is the JSON of the content of a failed command, or of a delayed one: see `stored_content`. With
    ``ref``, the key of the record of a large outcome, ``outcome`` has no result.
    """

    state: Literal["delayed", "queued", "ended"]
    key: str | None = None
    sent_at: float = 0.0
    due: float | None = None
    priority: Priority = "normal"
    inbox: str = ""
    before: int = 0
    digest: str = ""
    content: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    outcome: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ref: str = ""

    def ended_with(self) -> Outcome[Any] | None:
        """Return the outcome; None before the command has ended."""
        return None if self.outcome is msgspec.UNSET else msgspec.convert(from_json(bytes(self.outcome)), Outcome[Any])


def stored_content(content: object) -> msgspec.Raw | msgspec.UnsetType:
    """Return the content of a delayed command for its record, unless the content is larger than listings show."""
    try:
        data = to_json(content)
    except (TypeError, ValueError, RecursionError):
        return msgspec.UNSET  # publishing the content raises the error
    return msgspec.Raw(data) if len(data) <= MAX_CONTENT_BYTES else msgspec.UNSET


class JobRecords:
    """The records of commands in the records of an engine. Every method raises `EngineFailed`."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, name: str, id: str) -> tuple[JobRecord, int] | None:
        """Return the record of a command and its revision, or None when there is none."""
        found = await self._records.get(f"$jobs:{name}", id)
        return None if found is None else (msgspec.json.decode(found.value, type=JobRecord), found.revision)

    async def put(self, name: str, id: str, record: JobRecord, revision: int, seconds: float) -> bool:
        """Write a record for ``seconds`` if its revision is still ``revision``. Return false when another writer was
        first.
        """
        value = msgspec.json.encode(record)
        return await self._records.put(f"$jobs:{name}", id, value, revision, time() + seconds) is not None

    async def delete(self, name: str, id: str) -> None:
        """Delete the record of a command, if there is one."""
        await self._delete(f"$jobs:{name}", id)

    async def add_name(self, name: str) -> None:
        """Note that commands of a name have records."""
        await self._records.put(NAMES_BUCKET, name, b"1", 0)

    async def names(self) -> list[str]:
        """Return the names that `add_name` was called with."""
        return await self._records.keys(NAMES_BUCKET)

    async def newest(self, name: str, limit: int) -> list[str]:
        """Return the ids with a record, the newest ``limit``."""
        return (await self._records.keys(f"$jobs:{name}"))[-limit:]

    async def get_all(self, name: str, ids: list[str]) -> dict[str, JobRecord]:
        """Return the records of several commands, by id."""
        found = await asyncio.gather(*[self.get(name, id) for id in ids])
        return {id: record[0] for id, record in zip(ids, found, strict=True) if record is not None}

    # -- cancellations

    async def cancel(self, name: str, id: str, hub: str) -> None:
        """Note that ``hub`` cancels a command, for the workers of its name."""
        await self._records.put(f"$cancels:{name}", id, hub.encode(), 0, time() + CANCEL_SECONDS)

    async def cancelled(self, name: str) -> list[str]:
        """Return the ids of the commands that are cancelled; some of them have ended."""
        return await self._records.keys(f"$cancels:{name}")

    async def canceller(self, name: str, id: str) -> str | None:
        """Return the hub that has cancelled a command, or None."""
        found = await self._records.get(f"$cancels:{name}", id)
        return None if found is None else found.value.decode()

    async def end_cancel(self, name: str, id: str) -> None:
        """Let the note of a cancellation end, as the outcome of the command is published."""
        found = await self._records.get(f"$cancels:{name}", id)
        if found is not None:
            until = time() + ENDED_CANCEL_SECONDS
            await self._records.put(f"$cancels:{name}", id, found.value, found.revision, until)

    async def drop_cancel(self, name: str, id: str) -> None:
        """Delete the note of a cancellation, before the command is retried."""
        await self._delete(f"$cancels:{name}", id)

    async def _delete(self, bucket: str, key: str) -> None:
        found = await self._records.get(bucket, key)
        if found is not None:
            await self._records.put(bucket, key, None, found.revision)

    # -- priorities

    async def use_level(self, name: str, level: Priority) -> bool:
        """Note that commands of a name are sent with a priority. Return true when this is new."""
        return await self._records.put(LEVELS_BUCKET, f"{name} {level}", b"1", 0) is not None

    async def levels(self, name: str) -> list[Priority]:
        """Return the priorities with which commands of a name were sent, without ``normal``."""
        found = await asyncio.gather(*[self._records.get(LEVELS_BUCKET, f"{name} {level}") for level in LEVELS])
        return [level for level, record in zip(LEVELS, found, strict=True) if record is not None]
