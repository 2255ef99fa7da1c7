"""`EngineJobs`: the commands of all hubs on an engine that stores messages, by id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime
from time import time
from typing import Any

import msgspec

from telex.codec.content import Content, from_json, to_json
from telex.commands.job import CommandInfo, JobFilter, check_failed
from telex.commands.outcome import Outcome, OutcomeRef, recorded_outcome, unrun
from telex.commands.plan import REQUESTS, Priority, SendPlan, priority_of
from telex.commands.server import CANCELLED_BY_SENDER, CANCELLED_ELSEWHERE
from telex.commands.ticket import PendingOutcome
from telex.commands.transports.job_records import (
    BEFORE,
    DIGEST,
    INBOX,
    JOB,
    SPARE_SECONDS,
    JobRecord,
    JobRecords,
    stored_content,
)
from telex.commands.transports.job_view import JobView, before_of, reply_of
from telex.commands.transports.outcome_watch import OutcomeWatch
from telex.commands.transports.published import NO_END, SKEW_SECONDS
from telex.commands.transports.replies import ReplyInbox
from telex.commands.transports.services import ServiceRegistry
from telex.commands.transports.worker import GROUP
from telex.engines.contract.store import Store
from telex.errors import BadOption, NoSuchCommand
from telex.log.start import Start
from telex.message import Draft, Lost, Message
from telex.once.machine import decode
from telex.once.results import with_result
from telex.runtime import Runtime
from telex.topics.sending import publish_later
from telex.topics.topic import publisher_of

MAX_SCANNED = 10_000
"""The largest number of messages of a topic that are read to list commands."""
MAX_RECORDS = 1000
"""The largest number of records of one name that are read to list commands."""
Gives = Callable[[str], Content[Any] | None]
"""Returns the type of the result of a command that this hub serves."""


class EngineJobs:
    """The commands that any hub has sent. ``hub`` is the id of this hub, and ``running`` returns the ids of the
    commands that its worker runs.
    """

    def __init__(
        self,
        runtime: Runtime,
        store: Store,
        hub: str,
        inbox: ReplyInbox,
        registry: Callable[[], ServiceRegistry],
        running: Callable[[], Collection[str]],
        gives: Gives,
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._hub = hub
        self._inbox = inbox
        self._registry = registry
        self._running = running
        self._gives = gives
        self._named: set[str] = set()  # names whose commands have records
        self._watch = OutcomeWatch(runtime, inbox, self._outcomes_of)

    @property
    def _records(self) -> JobRecords:
        return JobRecords(self._runtime.records("commands"))

    # -- sending

    async def use_level(self, name: str, level: Priority) -> None:
        """Have the workers of a command take commands with a priority."""
        if await self._records.use_level(name, level):
            await self._control(name, {"level": level})

    async def send_later(self, draft: Draft, plan: SendPlan, name: str) -> None:
        """Publish a command when it is due. Its record is written first, so that it can be cancelled."""
        id, due, now = draft.id or "", plan.due or 0.0, time()
        headers = draft.headers or {}
        inbox, digest = headers.get(INBOX, ""), headers.get(DIGEST, "")
        if name not in self._named:
            await self._records.add_name(name)
            self._named.add(name)
        content = msgspec.UNSET if draft.encoded is not None else stored_content(draft.content)
        record = JobRecord("delayed", draft.key, now, due, plan.priority, inbox, digest=digest, content=content)
        await self._records.put(name, id, record, 0, max(0.0, due - now) + SPARE_SECONDS)
        draft = msgspec.structs.replace(draft, headers={**headers, JOB: id})
        try:
            await publish_later(publisher_of(self._runtime.topic(draft.topic)), draft, due, None)
        except BaseException:
            await self._records.delete(name, id)
            raise

    async def _control(self, name: str, content: dict[str, str]) -> None:
        await self._runtime.topic(f"$command:{name}:cancel").publish(content)

    # -- cancelling, retrying

    async def cancel(self, pending: PendingOutcome[Any]) -> bool:
        """Cancel a command: at once while it is delayed, else by its worker. Return false when it has ended."""
        name, id = pending.command, pending.id
        while (found := await self._records.get(name, id)) is not None and found[0].state != "queued":
            record, revision = found
            if record.state == "ended":
                return False
            failure = CANCELLED_BY_SENDER if record.inbox == self._hub else CANCELLED_ELSEWHERE
            outcome = unrun(name, id, record.key, failure)
            ended = msgspec.structs.replace(record, state="ended", outcome=msgspec.Raw(to_json(outcome)))
            if await self._records.put(name, id, ended, revision, _seconds_left(record)):
                await self._announce(outcome, record.inbox)
                return True
        await self._records.cancel(name, id, self._hub)
        await self._control(name, {"id": id, "by": self._hub})
        return True

    async def _announce(self, outcome: Outcome[Any], inbox: str) -> None:
        """Publish the outcome of a command that no worker has begun."""
        topics = [f"$command:{outcome.command}:outcome"]
        if inbox and inbox != self._hub:
            topics.append(f"$inbox:{inbox}")
        publishers = [publisher_of(self._runtime.topic(topic)) for topic in topics]
        await self._store.append([each.draft(outcome, f"{outcome.id}-0", held=True) for each in publishers])
        self._inbox.settle(outcome, None)

    async def retry(self, id: str) -> PendingOutcome[Any]:
        """Publish a failed command again, under its id. Raises `NoSuchCommand`, `BadOption`, `EngineFailed`."""
        view = await self._locate(id)
        name, request, found = view.name, view.requests.get(id), await self._records.get(view.name, id)
        outcome = check_failed(id, await self._outcome(view, id))
        record = JobRecord("queued") if found is None else found[0]
        if record.content is not msgspec.UNSET:
            content = from_json(bytes(record.content))
        elif request is not None:
            content = request.content
        else:
            raise BadOption(
                "id", id, "its arguments are no longer kept: declare the command with keep='1d', or send it"
            )
        level = record.priority if request is None else priority_of(request.topic)
        digest = record.digest if request is None else request.headers.get(DIGEST, "")
        headers = {INBOX: self._hub, JOB: id, BEFORE: str(outcome.attempt)} | ({DIGEST: digest} if digest else {})
        pending: PendingOutcome[Any] = PendingOutcome(name, id, outcome.key, self._gives(name))
        self._inbox.add(pending)
        await self._watch.begin(pending)  # of two hubs that retry at once, one is not the sender
        await self._records.drop_cancel(name, id)
        topic = self._runtime.topic(f"$command:{name}:{REQUESTS[level]}")
        # with this id, two retries of the same failure are one
        again_id = f"{id}~{outcome.attempt}"
        await publisher_of(topic).publish_held(content, id=again_id, headers=headers, key=outcome.key)
        # The record comes second: if this process is killed in between, the command runs all the same.
        if found is not None:
            again = msgspec.structs.replace(record, state="queued", before=outcome.attempt, outcome=msgspec.UNSET)
            await self._records.put(name, id, again, found[1], SPARE_SECONDS)
        return pending

    # -- one command

    async def find(self, id: str) -> PendingOutcome[Any]:
        """Return the outcome of a command, pending or not. Raises `NoSuchCommand`, `EngineFailed`."""
        known = self._inbox.get(id)
        if known is not None:
            return known
        view = await self._locate(id)
        outcome = await self._outcome(view, id)
        request, record = view.requests.get(id), view.records.get(id)
        key = request.key if request is not None else None if record is None else record.key
        pending: PendingOutcome[Any] = PendingOutcome(view.name, id, key, self._gives(view.name))
        if outcome is None:
            self._inbox.add(pending)
            await self._watch.begin(pending)
            outcome = next(iter(await self._outcomes_of(view.name, [id])), None)  # it may have come before the watch
        else:
            pending.key = outcome.key
        if outcome is not None:
            pending.settle(outcome, decode=True)
        return pending

    async def _locate(self, id: str) -> JobView:
        """Return the view of the name with this command. Raises `NoSuchCommand`."""
        views = await asyncio.gather(*[self._view(name, _around(id), [id]) for name in await self._names()])
        for view in views:
            if view.has(id):
                return view
        raise NoSuchCommand(id)

    async def check(self, name: str, id: str) -> None:
        """Raise `NoSuchCommand` when no command of this name has the id."""
        if not (await self._view(name, _around(id), [id])).has(id):
            raise NoSuchCommand(id)

    async def _outcomes_of(self, name: str, ids: Collection[str]) -> list[Outcome[Any]]:
        """Return the outcomes of those commands that have ended."""
        starts = [_around(id) for id in ids]
        times = [start for start in starts if isinstance(start, datetime)]
        view = await self._view(name, min(times) if len(times) == len(ids) else MAX_SCANNED, ids)
        found = [await self._outcome(view, id) for id in ids]
        return [outcome for outcome in found if outcome is not None]

    async def _outcome(self, view: JobView, id: str) -> Outcome[Any] | None:
        found = view.outcomes.get(id)
        if isinstance(found, OutcomeRef):
            reply = await self._inbox.read(found)
            return reply if isinstance(reply, Outcome) else None
        if found is None and id in view.requests:
            return await self._replay(view.name, id, view.requests[id])
        return found

    async def _replay(self, name: str, id: str, request: Message[Any]) -> Outcome[Any] | None:
        """Return the outcome of the key of a command, which its worker gave only to the sender."""
        digest = request.headers.get(DIGEST)
        if request.key is None or not digest or before_of(request):
            return None
        records = self._runtime.records("commands")
        record = await records.get(f"once:{name}", request.key)
        if record is None:
            return None
        entry = decode(record.value)
        if not entry.ended or not entry.fingerprint.endswith(digest):
            return None
        return recorded_outcome(await with_result(entry, records.get), name, id, request.key, None)

    # -- all commands

    async def listed(self, wanted: JobFilter) -> list[CommandInfo]:
        """Return the commands that fit, the newest first."""
        names = [wanted.name] if wanted.name is not None else await self._names()
        start = MAX_SCANNED
        running = await self._all_running()
        found: list[CommandInfo] = []
        for name in names:
            view = await self._view(name, start)
            jobs = [job for job in await self._jobs(view, running) if wanted.takes(job)]
            if wanted.before is not None:
                jobs = [job for job in jobs if job.id < wanted.before]
            found += map(view.with_content, wanted.first(_newest(jobs)))
        return wanted.first(_newest(found))

    async def one(self, id: str) -> CommandInfo:
        """Return one command. Raises `NoSuchCommand`."""
        view = await self._locate(id)
        for job in await self._jobs(view, await self._all_running()):
            if job.id == id:
                return view.with_content(job)
        raise NoSuchCommand(id)

    async def _all_running(self) -> dict[str, float]:
        """Return the ids of the running commands of all hubs, each with the time by `Engine.now` since when."""
        here = dict.fromkeys(self._running(), self._runtime.engine.now())
        return here | await self._registry().running()

    async def _jobs(self, view: JobView, running: dict[str, float]) -> list[CommandInfo]:
        ahead = self._runtime.engine.now() - time()
        cancelled = set(await self._records.cancelled(view.name))
        jobs = view.ended() + view.delayed()
        for id in await self._unsettled(view):
            since = running.get(id)
            state = "running" if since is not None else "cancelled" if id in cancelled else "queued"
            jobs.append(view.job(id, state, ahead, since))
        return jobs

    async def _unsettled(self, view: JobView) -> list[str]:
        """Return the ids of the commands that are queued or running.

        The topics keep commands that have ended, too. Those whose outcomes are no longer kept are left out: a group
        has no more messages than its lag.
        """
        waiting = view.open()
        if not waiting:
            return waiting
        infos = await self._runtime.groups("commands").groups()
        lags = {info.pattern: info.lag for info in infos if info.group == GROUP}
        left = []
        for token in REQUESTS.values():
            topic = f"$command:{view.name}:{token}"
            sent = [id for id in waiting if view.requests[id].topic == topic]
            if len(sent) > lags.get(topic, 0):
                await self._read_outcomes(view, MAX_SCANNED)  # some may have ended in the meantime
                sent = [id for id in sent if id not in view.outcomes and await self._outcome(view, id) is None]
            lag = lags.get(topic, 0)
            left += sent[len(sent) - lag :] if lag < len(sent) else sent
        return left

    async def _names(self) -> list[str]:
        """Return the names of all commands that were ever sent."""
        tokens = {*REQUESTS.values(), "outcome"}
        # a topic of another process may not be known here yet, but the group of its workers is
        infos = await self._runtime.groups("commands").groups()
        topics = [info.pattern for info in infos if info.group == GROUP]
        topics += await self._runtime.topics.names("$command:>")
        split = [topic.removeprefix("$command:").rpartition(":") for topic in topics]
        return sorted({name for name, _, token in split if token in tokens}.union(await self._records.names()))

    async def _view(self, name: str, start: Start, ids: Collection[str] | None = None) -> JobView:
        """Return the commands of a name from ``start`` on: all, or those with ``ids``."""
        view = JobView(name)
        for token in REQUESTS.values():
            async for message in self._read(f"$command:{name}:{token}", start, ids):
                if ids is None or message.headers.get(JOB, message.id) in ids:
                    view.add_request(message)
        await self._read_outcomes(view, start, ids)
        records = self._records
        wanted = list(ids) if ids is not None else await records.newest(name, MAX_RECORDS)
        for found, record in (await records.get_all(name, wanted)).items():
            view.add_record(found, record)
        return view

    async def _read_outcomes(self, view: JobView, start: Start, ids: Collection[str] | None = None) -> None:
        async for message in self._read(f"$command:{view.name}:outcome", start, ids):
            outcome = reply_of(message.content)
            if outcome is not None and (ids is None or outcome.id in ids):
                view.add_outcome(outcome)

    async def _read(self, topic: str, start: Start, ids: Collection[str] | None) -> AsyncIterator[Message[Any]]:
        """Iterate over the kept messages of a topic from ``start`` on: at most `MAX_SCANNED`, or all of them to find
        ``ids``, since the outcome of a command that ran for long comes long after the command.
        """
        first, _, _ = await self._store.find(topic, start, time())
        count = 0
        while ids is not None or count < MAX_SCANNED:
            page = await self._store.read(topic, first, NO_END)
            if not page:
                break
            for item in page:
                if not isinstance(item, Lost):
                    count += 1
                    yield item
            last = page[-1]
            first = 1 + (last.last if isinstance(last, Lost) else last.seq)

    async def close(self) -> None:
        """Stop watching."""
        await self._watch.close()


def _newest(jobs: list[CommandInfo]) -> list[CommandInfo]:
    return sorted(jobs, key=lambda job: job.id, reverse=True)


def _around(id: str) -> Start:
    """Return the start from which the topics have the command ``id``, by the time in the id."""
    digits = id.replace("-", "")
    try:
        moment = int(digits[:12], 16) / 1000 - SKEW_SECONDS
        return datetime.fromtimestamp(moment, UTC) if len(digits) == 32 else MAX_SCANNED
    except (ValueError, OverflowError, OSError):
        return MAX_SCANNED


def _seconds_left(record: JobRecord) -> float:
    return max(0.0, (record.due or 0.0) - time()) + SPARE_SECONDS
