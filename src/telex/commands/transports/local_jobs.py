"""`LocalJobs`: the delayed and ended commands of a hub in memory, by id."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from telex.commands.invocation import Invocation
from telex.commands.job import CommandInfo, JobFilter, check_failed, ended_job, moment, with_content
from telex.commands.outcome import Outcome
from telex.commands.ticket import PendingOutcome
from telex.errors import BadOption, NoSuchCommand
from telex.runtime import Runtime

MAX_ENDED = 10_000
"""The largest number of ended commands that are kept: failed ones, and those of a name with ``keep``."""
MAX_DELAY_SECONDS = 3600.0
"""The time after which a timer checks the clock again, since the clock may be set."""


class EndedCommand(msgspec.Struct, frozen=True):
    """A command with its outcome, kept until ``expires`` (seconds since 1970)."""

    invocation: Invocation
    outcome: Outcome[Any]
    expires: float


class LocalJobs:
    """The commands of a hub in memory. ``invocations`` are those without an outcome, by id, and ``submit`` accepts a
    delayed one when it is due.
    """

    def __init__(
        self, runtime: Runtime, invocations: dict[str, Invocation], submit: Callable[[Invocation], None]
    ) -> None:
        self.delayed: dict[str, asyncio.TimerHandle] = {}
        self._ended: OrderedDict[str, EndedCommand] = OrderedDict()
        self._invocations = invocations
        self._runtime = runtime
        self._submit = submit

    # -- delayed commands

    def delay(self, invocation: Invocation) -> None:
        """Submit a command when it is due."""
        wait = (invocation.due or 0.0) - self._runtime.clock()
        if wait <= 0:
            self.delayed.pop(invocation.id, None)
            self._submit(invocation)
            return
        loop = asyncio.get_running_loop()
        self.delayed[invocation.id] = loop.call_later(min(wait, MAX_DELAY_SECONDS), self.delay, invocation)

    def take(self, id: str) -> bool:
        """Stop waiting for a delayed command. Return false when it is not delayed."""
        timer = self.delayed.pop(id, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def close(self) -> None:
        """Stop the timers."""
        for id in list(self.delayed):
            self.take(id)

    # -- ended commands

    def end(self, invocation: Invocation, outcome: Outcome[Any], keep: float | None) -> None:
        """Keep a command with its outcome for ``keep`` seconds; None: until there are `MAX_ENDED`."""
        expires = float("inf") if keep is None else self._runtime.clock() + keep
        self._ended.pop(outcome.id, None)
        # without the objects that hold the frames of the handler
        kept = msgspec.structs.replace(
            invocation, task=None, cause=None, pending=None, tx=None, throttle=None, sent=None
        )
        self._ended[outcome.id] = EndedCommand(kept, outcome, expires)
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def ended(self, id: str) -> EndedCommand | None:
        """Return an ended command that is kept; None for others."""
        found = self._ended.get(id)
        if found is not None and found.expires <= self._runtime.clock():
            del self._ended[id]
            return None
        return found

    async def failed(self, id: str) -> tuple[Invocation, int]:
        """Return a failed command, and the number of its attempts. Raises `NoSuchCommand`, `BadOption`."""
        outcome, found = (await self.find(id)).outcome, self.ended(id)
        check_failed(id, outcome)
        if found is None:
            raise BadOption(
                "id", id, f"its arguments are no longer kept: only those of the last {MAX_ENDED} failures are"
            )
        return found.invocation, found.outcome.attempt

    def forget(self, id: str) -> None:
        """Remove a failed command that runs again."""
        del self._ended[id]

    # -- by id

    async def find(self, id: str) -> PendingOutcome[Any]:
        """Return the outcome of a command, pending or not. Raises `NoSuchCommand`."""
        invocation = self._invocations.get(id)
        if invocation is not None and invocation.pending is not None:
            return invocation.pending
        kept = self.ended(id)
        outcome = (await self._published()).get(id) if kept is None else kept.outcome
        if outcome is None:
            raise NoSuchCommand(id)
        pending: PendingOutcome[Any] = PendingOutcome(outcome.command, id, outcome.key, None)
        pending.settle(outcome)
        return pending

    async def one(self, id: str) -> CommandInfo:
        """Return one command. Raises `NoSuchCommand`."""
        found = (await self._all(None)).get(id)
        if found is None:
            raise NoSuchCommand(id)
        return self._with_content(found)

    async def listed(self, wanted: JobFilter) -> list[CommandInfo]:
        """Return the commands that fit, the newest first."""
        found = await self._all(wanted.name)
        before = float("inf") if wanted.before is None else _number(wanted.before)
        jobs = [job for job in found.values() if wanted.takes(job) and wanted.name in (None, job.command)]
        jobs.sort(key=lambda job: _number(job.id), reverse=True)
        return [self._with_content(job) for job in wanted.first([job for job in jobs if _number(job.id) < before])]

    def _with_content(self, job: CommandInfo) -> CommandInfo:
        kept = self._ended.get(job.id)
        invocation = self._invocations.get(job.id) or (None if kept is None else kept.invocation)
        return job if invocation is None else with_content(job, invocation.content, invocation.carried)

    async def _all(self, name: str | None) -> dict[str, CommandInfo]:
        found = {id: _ended(None, outcome) for id, outcome in (await self._published(name)).items()}
        for id in list(self._ended):
            kept = self.ended(id)
            if kept is not None:
                found[id] = _ended(kept.invocation, kept.outcome)
        for id, invocation in self._invocations.items():
            found[id] = self._open(invocation)
        return found

    def _open(self, invocation: Invocation) -> CommandInfo:
        state = (
            "delayed"
            if invocation.id in self.delayed
            else "queued"
            if invocation.task is None or invocation.limited
            else "running"
        )
        return _job(invocation, state)

    async def _published(self, name: str | None = None) -> dict[str, Outcome[Any]]:
        """Return the outcomes that the topics of commands have, by id."""
        found: dict[str, Outcome[Any]] = {}
        for topic in await self._runtime.topics.names("$command:>"):
            command, _, kind = topic.removeprefix("$command:").rpartition(":")
            if kind != "outcome" or name not in (None, command):
                continue
            async for message in self._runtime.topic(topic).history():
                if isinstance(message.content, Outcome):
                    found[message.content.id] = message.content
        return found


def _number(id: str) -> int:
    """Return the number in an id of this process; 0 for other text."""
    number = id.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _job(invocation: Invocation, state: Any) -> CommandInfo:
    return CommandInfo(
        id=invocation.id,
        command=invocation.command,
        state=state,
        key=invocation.key,
        priority=invocation.priority,
        attempt=invocation.attempt if state == "running" else invocation.before,
        sent_at=moment(invocation.sent_at),
        due_at=moment(invocation.due),
        expires_at=moment(invocation.deadline),
    )


def _ended(invocation: Invocation | None, outcome: Outcome[Any]) -> CommandInfo:
    if invocation is None:
        job = CommandInfo(id=outcome.id, command=outcome.command, state="done", key=outcome.key)
    else:
        job = _job(invocation, "done")
    return ended_job(job, outcome)
