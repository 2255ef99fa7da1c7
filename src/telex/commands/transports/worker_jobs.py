"""`WorkerJobs`: the records of the commands that a worker carries out."""

from __future__ import annotations

from time import time
from typing import Any

import msgspec

from telex.codec.content import from_json, to_json
from telex.commands.invocation import Invocation
from telex.commands.outcome import CONFLICT, REFUSED, Outcome
from telex.commands.server import CommandServer
from telex.commands.transports.job_records import (
    DIGEST,
    REFUSED_SECONDS,
    SPARE_SECONDS,
    JobRecord,
    JobRecords,
    result_ref,
)
from telex.message import time_of
from telex.once.results import EXTRA_RESULT_SECONDS, MAX_INLINE_BYTES, RESULTS_BUCKET
from telex.runtime import Runtime


class WorkerJobs:
    """The records of commands, as a worker reads and writes them. Every coroutine raises `EngineFailed`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def records(self) -> JobRecords:
        """The records of the engine. Raises `Misuse` on an engine without records."""
        return JobRecords(self._runtime.records("commands"))

    async def begin(self, invocation: Invocation) -> Outcome[Any] | None:
        """Note that a command with a record begins. Return its outcome when it has ended before: its sender has
        cancelled it, or a worker died after it had recorded the outcome.
        """
        name, id = invocation.command, invocation.id
        while (found := await self.records.get(name, id)) is not None:
            record, revision = found
            outcome = record.ended_with()
            if outcome is not None:
                return await self._whole(record, outcome) if is_of_attempt(outcome, invocation.before) else None
            if record.state != "delayed":
                return None
            begun = msgspec.structs.replace(record, state="queued")
            if await self.records.put(name, id, begun, revision, SPARE_SECONDS):
                return None
        return None

    async def end(
        self, server: CommandServer, invocation: Invocation, outcome: Outcome[Any], json: bytes
    ) -> Outcome[Any]:
        """Record an outcome whose JSON is ``json``, unless an outcome of the same attempts is recorded. Return the
        recorded outcome.
        """
        name, id, keep = invocation.command, invocation.id, server.command.keep
        if keep is None and not _is_private(outcome):
            if invocation.recorded:
                await self.records.delete(name, id)
            return outcome
        seconds = REFUSED_SECONDS if keep is None else keep
        record = self._record(invocation, outcome, json)
        if len(json) > MAX_INLINE_BYTES and outcome.error is None:
            record = await self._put_aside(record, outcome, json, seconds)
        if not invocation.recorded and await self.records.put(name, id, record, 0, seconds):
            return outcome
        while True:
            found = await self.records.get(name, id)
            earlier = None if found is None else found[0].ended_with()
            if found is not None and earlier is not None and is_of_attempt(earlier, invocation.before):
                return await self._whole(found[0], earlier)
            if found is not None:
                record = msgspec.structs.replace(record, sent_at=found[0].sent_at, due=found[0].due)
            if await self.records.put(name, id, record, 0 if found is None else found[1], seconds):
                return outcome

    async def _put_aside(self, record: JobRecord, outcome: Outcome[Any], json: bytes, seconds: float) -> JobRecord:
        """Write a large outcome to a record of its own, which listings do not read. Return the record that names it."""
        ref, expires = result_ref(outcome), time() + seconds + EXTRA_RESULT_SECONDS
        await self._runtime.records("commands").put(RESULTS_BUCKET, ref, json, 0, expires)
        short = msgspec.Raw(to_json(msgspec.structs.replace(outcome, result=None)))
        return msgspec.structs.replace(record, outcome=short, ref=ref)

    async def _whole(self, record: JobRecord, outcome: Outcome[Any]) -> Outcome[Any]:
        """Return the outcome of a record with its result, which may be in a record of its own."""
        found = await self._runtime.records("commands").get(RESULTS_BUCKET, record.ref) if record.ref else None
        return outcome if found is None else msgspec.convert(from_json(found.value), Outcome[Any])

    def _record(self, invocation: Invocation, outcome: Outcome[Any], json: bytes) -> JobRecord:
        message = invocation.message if invocation.sent is None else invocation.sent  # the content as it was sent
        return JobRecord(
            "ended",
            invocation.key,
            time_of(message),
            priority=invocation.priority,
            before=invocation.before,
            digest=message.headers.get(DIGEST, ""),
            content=msgspec.UNSET if outcome.error is None else msgspec.Raw(to_json(message.content)),
            outcome=msgspec.Raw(json),
        )


def is_of_attempt(outcome: Outcome[Any], before: int) -> bool:
    """Return true for an outcome after the retry that followed the attempt ``before``; 0 for no retry. A command that
    was cancelled while it was delayed has the attempt 0.
    """
    return outcome.attempt > before or outcome.attempt == before == 0


def _is_private(outcome: Outcome[Any]) -> bool:
    """Return true for an outcome that only its sender gets."""
    return outcome.error is not None and outcome.error.code in (CONFLICT, REFUSED)
