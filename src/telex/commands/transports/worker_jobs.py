"""`WorkerJobs`: the records of the commands that a worker carries out."""

from __future__ import annotations

from typing import Any

import msgspec

from telex.codec.content import to_json
from telex.commands.invocation import Invocation
from telex.commands.outcome import CONFLICT, REFUSED, Outcome
from telex.commands.server import CommandServer
from telex.commands.transports.job_records import DIGEST, REFUSED_SECONDS, SPARE_SECONDS, JobRecord, JobRecords
from telex.message import time_of
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
                return outcome if is_of_attempt(outcome, invocation.before) else None
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
        record = self._record(invocation, outcome, json)
        seconds = REFUSED_SECONDS if keep is None else keep
        if not invocation.recorded and await self.records.put(name, id, record, 0, seconds):
            return outcome
        while True:
            found = await self.records.get(name, id)
            earlier = None if found is None else found[0].ended_with()
            if earlier is not None and is_of_attempt(earlier, invocation.before):
                return earlier
            if found is not None:
                record = msgspec.structs.replace(record, sent_at=found[0].sent_at, due=found[0].due)
            if await self.records.put(name, id, record, 0 if found is None else found[1], seconds):
                return outcome

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
