"""`EngineWorker`: carries out the commands that a hub serves, on an engine that stores messages."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection
from functools import partial
from time import time
from typing import Any

import msgspec

from telex.codec.content import to_json
from telex.commands.invocation import Invocation
from telex.commands.outcome import Outcome, OutcomeRef, Progress, Reply, is_published, refusal
from telex.commands.plan import REQUESTS, Priority, priority_of
from telex.commands.progress import ProgressThrottle
from telex.commands.server import CommandServer
from telex.commands.transports.attempts import AttemptCounter
from telex.commands.transports.job_records import BEFORE, DEADLINE, DIGEST, INBOX, JOB, result_ref
from telex.commands.transports.priority_gate import PriorityGate
from telex.commands.transports.published import PublishedOutcomes, outcome_id
from telex.commands.transports.replies import ReplyInbox
from telex.commands.transports.worker_control import WorkerControl
from telex.commands.transports.worker_jobs import WorkerJobs
from telex.engines.contract.store import Store
from telex.errors import TelexError
from telex.groups.leased import LeasedDeliveries
from telex.groups.runner import GroupRunner
from telex.handlers.context import Context, Retry
from telex.handlers.spec import GroupSpec, HandlerSpec
from telex.log.options import check_options
from telex.message import Draft, Message, time_of
from telex.once.engine_store import EngineOnceTransaction
from telex.once.machine import Failure
from telex.once.results import MAX_INLINE_BYTES, RESULTS_BUCKET
from telex.process.supervision import keep_doing
from telex.process.tasks import start_task
from telex.runtime import Runtime
from telex.topics.topic import publisher_of
from telex.topics.transaction import engine_of

logger: logging.Logger = logging.getLogger("telex.commands")
GROUP = "$workers"
MAX_ATTEMPTS = 3
"""The largest number of attempts of a command that does not run once, when its workers die. Attempts that ended because
their hub closed do not count.
"""
IDLE_SECONDS = 0.1
"""The time for which a fetch has to wait until its group certainly has no message."""
LANDING_SECONDS = 0.005
"""The time in which fetched commands come from the engine to this worker."""
OUTCOME_SECONDS = 3600.0
"""The time for which a large outcome is kept for its sender and for followers."""


class EngineWorker:
    """A member of the groups of all commands that a hub serves. ``hub`` is the id of the hub."""

    def __init__(
        self,
        runtime: Runtime,
        groups: GroupRunner,
        store: Store,
        hub: str,
        inbox: ReplyInbox,
    ) -> None:
        self._runtime = runtime
        self._groups = groups
        self._store = store
        self._hub = hub
        self._inbox = inbox
        self.invocations: dict[str, Invocation] = {}
        self._jobs = WorkerJobs(runtime)
        self._gates: dict[str, PriorityGate] = {}
        self._controls: dict[str, WorkerControl] = {}
        self._leased: dict[str, LeasedDeliveries] = {}  # by topic
        self._outcomes: dict[str, PublishedOutcomes] = {}
        self._publishing: set[asyncio.Task[None]] = set()

    def serve(self, server: CommandServer) -> None:
        """Join the group of a command, and follow the cancellations of the command."""
        command = server.command
        if command.takes is not None:
            self._runtime.topics.types.hint(command.takes)
        options = check_options("drop_newest", 1024, None, None, False, 30.0)
        group = GroupSpec(GROUP, Retry(1_000_000, first=0.1), command.lease, None, "earliest")
        spec = HandlerSpec(
            command.name,
            partial(self._serve, server),
            ("message", "context"),
            True,
            (f"$command:{command.name}:request",),
            (),
            command.concurrency,
            options,
            group,
        )
        control = WorkerControl(self._runtime, command.name, self._cancel, partial(self._join, server, spec))
        self._controls[command.name] = control
        self._outcomes[command.name] = PublishedOutcomes(self._runtime, self._store, command.name)
        following = keep_doing(f"following the cancellations of the command {command.name!r}", control.follow)
        self._runtime.own(start_task(following, name=f"telex control {command.name}"))
        self._groups.add(spec, server.gate)

    def _join(self, server: CommandServer, spec: HandlerSpec, level: Priority) -> None:
        """Join the group of the commands with another priority. From now on the priorities share the calls."""
        name = server.command.name
        gate = self._gates.setdefault(name, PriorityGate(server, partial(self._has_commands, name)))
        topic = f"$command:{name}:{REQUESTS[level]}"
        if gate.joins(level):
            self._groups.add(
                msgspec.structs.replace(spec, name=f"{spec.name} ({level})", patterns=(topic,)), server.gate
            )

    async def _has_commands(self, name: str, levels: Collection[Priority]) -> bool:
        """Return true when commands of these priorities have not come to the gate: the engine has some for this worker,
        or this worker has just fetched some. The engine is not asked about a priority whose fetch has waited for
        `IDLE_SECONDS`.
        """
        if self._runtime.closed:
            return False  # no fetch brings them
        consumers = {level: self._groups.consumer(GROUP, f"$command:{name}:{REQUESTS[level]}") for level in levels}
        since = asyncio.get_running_loop().time() - IDLE_SECONDS
        fetching = {each.takes_from: each.leased for each in consumers.values() if each.idle_since > since}
        if fetching:
            infos = [info for info in await self._runtime.groups("commands").groups() if not info.paused]
            found = [(info, leased) for info in infos if (leased := fetching.get((info.group, info.pattern)))]
            if any(info.lag > info.leased + info.delayed for info, _ in found):
                return True
            if any(info.leased > len(leased.by_token) + leased.acks.pending for info, leased in found):
                await asyncio.sleep(LANDING_SECONDS)  # they may be fetched for this worker, and not have come yet
        begun = [each.priority for each in self.invocations.values() if each.command == name and each.counted]
        waiting = self._gates[name].waiting
        return any(len(consumers[level].leased.by_token) > begun.count(level) + waiting(level) for level in levels)

    async def _serve(self, server: CommandServer, message: Message[Any], delivery: Context[Any]) -> Outcome[Any] | None:
        """Carry out a command, and return its outcome for observers; None when another worker has it."""
        control = self._controls[server.command.name]
        if not control.ready:
            await control.wait()
        if delivery.attempt > 1 and await self._has_ended(message):
            return None
        invocation = self._invocation(server, message, delivery)
        id = invocation.id
        self.invocations[id] = invocation
        try:
            ended = await self._ended_before(server, invocation, control)
            if ended is not None:
                await self._repeat(invocation, ended)
                return None
            return await self._work(server, invocation, delivery)
        except asyncio.CancelledError:
            if not server.runs_once and self._runtime.closed:  # the hub closes
                await self.spare(invocation)
            raise
        finally:
            # A command whose lease has run out may come again to this hub before its first call ends.
            if self.invocations.get(id) is invocation:
                del self.invocations[id]
            if invocation.counted:
                server.running -= 1
                if self._gates and invocation.command in self._gates:
                    self._gates[invocation.command].notify()
            if invocation.throttle is not None:
                invocation.throttle.close()

    async def _work(self, server: CommandServer, invocation: Invocation, delivery: Context[Any]) -> Outcome[Any] | None:
        """Carry out a command, publish its outcome and return it. When another worker has the command now, that worker
        publishes the outcome instead, and None is returned.
        """
        outcome = self._refused(server, invocation) or await self._exhausted(server, invocation, delivery)
        if outcome is None:
            outcome = await self._carried_out(server, invocation)
        else:
            await server.finish(invocation, outcome)
        if not invocation.announced:
            if not await self._is_leased(server, invocation):
                return None
            outcome = await self._announce(server, invocation, outcome)
        server.succeeded += outcome.error is None and not outcome.replayed
        self._inbox.settle(outcome, invocation.cause)
        if invocation.cancelled:
            await self._jobs.records.end_cancel(invocation.command, invocation.id)
        return outcome

    def _invocation(self, server: CommandServer, message: Message[Any], delivery: Context[Any]) -> Invocation:
        headers = message.headers
        invocation = Invocation(
            server.command.name,
            message.content,
            headers.get(JOB, message.id),
            message.key,
            self._runtime.hub,
            self._report,
            inbox=headers.get(INBOX, ""),
            sent=message,
            delivery=delivery,
        )
        if DEADLINE in headers:
            invocation.expire_in(float(headers[DEADLINE]) - self._runtime.engine.now())
        invocation.redelivered = delivery.attempt > 1
        if JOB in headers:
            invocation.recorded, invocation.before = True, int(headers.get(BEFORE, "0"))
            invocation.attempt = invocation.before + 1
        if server.command.name in self._gates:
            invocation.priority = priority_of(message.topic)
        return invocation

    async def _has_ended(self, message: Message[Any]) -> bool:
        """Return true when another worker has published the outcome of a command that was redelivered."""
        name = message.topic.removeprefix("$command:").rpartition(":")[0]
        found = await self._outcomes[name].find(message)
        if found is None:
            return False
        await self._inbox.take(found.content)
        return True

    async def _is_leased(self, server: CommandServer, invocation: Invocation) -> bool:
        """Return true while no other worker has the command. The engine is asked only when the lease may be over, after
        this process has stalled.
        """
        delivery, sent = invocation.delivery, invocation.sent
        if delivery is None or sent is None:
            raise AssertionError("a worker gets its commands as deliveries")
        leased = self._leased.get(sent.topic)
        if leased is None:
            leased = self._leased[sent.topic] = self._groups.consumer(GROUP, sent.topic).leased
        if leased.is_certain and not delivery.lease_lost:
            return True
        return not delivery.lease_lost and await delivery.extend(server.command.lease)

    async def _ended_before(
        self, server: CommandServer, invocation: Invocation, control: WorkerControl
    ) -> Outcome[Any] | None:
        """Return the recorded outcome of a command that has ended, else None. Note when it was cancelled."""
        if control.may_be_cancelled(invocation.id):
            hub = await control.canceller(invocation.id, retried=invocation.before > 0)
            if hub is not None:
                invocation.cancelled, invocation.canceller = True, hub
        if invocation.recorded or (server.command.keep is not None and invocation.redelivered):
            return await self._jobs.begin(invocation)
        return None

    async def _repeat(self, invocation: Invocation, outcome: Outcome[Any]) -> None:
        """Publish the recorded outcome of a command again, whose worker may have died before it was published."""
        to_all = outcome.attempt > 0  # else it was published when it was cancelled, before it was due
        await self.append(await self._replies(invocation, outcome, to_json(outcome), to_all=to_all))
        self._inbox.settle(outcome, None, decode=True)

    async def _carried_out(self, server: CommandServer, invocation: Invocation) -> Outcome[Any]:
        if invocation.before:
            until = time_of(invocation.message) if invocation.redelivered else math.inf
            await server.release(invocation.key or "", invocation.fingerprint, until)
        gate = self._gates.get(invocation.command) if self._gates and server.gate is None else None
        if gate is None:
            server.running += 1
        else:
            await gate.enter(invocation.priority)
        invocation.counted = True
        try:
            return await server.carry_out(invocation)
        finally:
            invocation.task = None

    def _refused(self, server: CommandServer, invocation: Invocation) -> Outcome[Any] | None:
        """Convert the content of a command. Return an outcome when the content does not fit, else None."""
        digest = invocation.message.headers.get(DIGEST, "")
        try:
            invocation.content, invocation.fingerprint = server.check(invocation.content, invocation.key, digest)
        except TelexError as error:
            return server.failure(invocation, refusal(error))
        return None

    async def _exhausted(
        self, server: CommandServer, invocation: Invocation, delivery: Context[Any]
    ) -> Outcome[Any] | None:
        """Return the outcome of a command that does not run once and has begun too often, else None. The first delivery
        is not counted, to save a write.
        """
        if server.runs_once:
            return None
        invocation.attempt = invocation.before + delivery.attempt
        if delivery.attempt == 1 or await self._attempts().count(invocation.message.id) < MAX_ATTEMPTS:
            return None
        invocation.attempt = invocation.before + MAX_ATTEMPTS  # this delivery does not begin it
        text = f"it was begun {MAX_ATTEMPTS} times, the most that is allowed, and its workers died or stalled"
        return server.failure(invocation, Failure("AttemptsExhausted", "attempts_exhausted", text))

    async def spare(self, invocation: Invocation) -> None:
        """Subtract the attempt of a command that has not ended because the hub closes."""
        try:
            await self._attempts().spare(invocation.message.id)
        except TelexError as error:
            text = "the attempt of command %s %s counts, though its hub was closed: %s"
            logger.error(text, invocation.command, invocation.id, error)

    def _attempts(self) -> AttemptCounter:
        return AttemptCounter(self._runtime.records("commands"))

    # -- publishing

    async def _announce(self, server: CommandServer, invocation: Invocation, outcome: Outcome[Any]) -> Outcome[Any]:
        """Publish an outcome, after the last progress, and return it as every process gets it."""
        json = b""
        try:
            if outcome.error is None:
                content, result = server.sendable(outcome.result)
                outcome = msgspec.structs.replace(outcome, result=result)
                json = msgspec.json.encode(msgspec.structs.replace(outcome, result=msgspec.Raw(content)))
        except (TypeError, ValueError, RecursionError) as error:
            outcome = server.failure(invocation, server.unsendable(invocation, error))
        json = json or to_json(outcome)
        if server.command.keep is not None or invocation.recorded or outcome.error is not None:
            recorded = await self._jobs.end(server, invocation, outcome, json)
            if recorded is not outcome:
                outcome, json = recorded, to_json(recorded)
        to_all = invocation.redelivered or not outcome.replayed
        replies = await self._replies(invocation, outcome, json, to_all=to_all)
        step = None if invocation.throttle is None else invocation.throttle.close()
        before = [] if step is None else self._steps(invocation, step)
        await self.append([*before, *replies])
        return outcome

    async def publish_in(self, invocation: Invocation, outcome: Outcome[Any], tx: EngineOnceTransaction) -> None:
        """Publish an outcome when ``tx`` commits."""
        for reply in await self._replies(invocation, outcome, to_json(outcome), to_all=True, tx=tx):
            await engine_of(tx.connection).append(reply)

    async def _replies(
        self,
        invocation: Invocation,
        outcome: Outcome[Any],
        json: bytes,
        *,
        to_all: bool,
        tx: EngineOnceTransaction | None = None,
    ) -> list[Draft]:
        """Return drafts with an outcome and its ``json``, for its sender and for followers. A large outcome is written
        to a record, in ``tx`` if given, which may have the only write lock.
        """
        content: Reply = outcome
        if len(json) > MAX_INLINE_BYTES:
            ref = result_ref(outcome)
            put = self._runtime.records("commands").put if tx is None else tx.put
            await put(RESULTS_BUCKET, ref, json, 0, time() + OUTCOME_SECONDS)
            content = OutcomeRef(outcome.command, outcome.id, ref)
            json = to_json(content)
        topics = [f"$command:{outcome.command}:outcome"] if to_all and is_published(outcome) else []
        topics += self._inbox_of(invocation)
        return [self._draft(topic, content, outcome_id(invocation.message), json) for topic in topics]

    def _inbox_of(self, invocation: Invocation) -> list[str]:
        """Return the reply inbox of the sender, unless this hub is the sender."""
        return [f"$inbox:{invocation.inbox}"] if invocation.inbox and invocation.inbox != self._hub else []

    def _draft(self, topic: str, content: Reply, id: str | None, json: bytes | None) -> Draft:
        return publisher_of(self._runtime.topic(topic)).draft(content, id, held=True, data=json)

    async def append(self, drafts: list[Draft]) -> None:
        """Publish drafts in one write. Raises `EngineFailed`."""
        if drafts:
            await self._store.append(drafts)

    def _report(self, invocation: Invocation, step: Progress) -> None:
        if self.invocations.get(step.id) is None:
            return  # the command has its outcome
        self._inbox.report(step)
        if invocation.throttle is None:
            invocation.throttle = ProgressThrottle(partial(self._publish_step, invocation))
        invocation.throttle.report(step)

    def _publish_step(self, invocation: Invocation, step: Progress) -> None:
        publishing = start_task(self.append(self._steps(invocation, step)), name="telex publishes progress")
        self._publishing.add(publishing)
        publishing.add_done_callback(self._published)

    def _steps(self, invocation: Invocation, step: Progress) -> list[Draft]:
        topics = [f"$command:{step.command}:progress", *self._inbox_of(invocation)]
        return [self._draft(topic, step, None, None) for topic in topics]

    def _published(self, task: asyncio.Task[None]) -> None:
        self._publishing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("the progress of a command was not published: %s", task.exception())

    def running(self) -> Collection[str]:
        """Return the ids of the commands that this worker has begun."""
        return [
            id for id, invocation in self.invocations.items() if invocation.task is not None and not invocation.limited
        ]

    # -- cancelling, closing

    def _cancel(self, id: str, hub: str) -> None:
        """Cancel a command for a hub, if this worker has it."""
        invocation = self.invocations.get(id)
        if invocation is not None and not invocation.cancelled:
            invocation.cancel(hub)

    async def close(self) -> None:
        """Stop publishing progress, and asking for commands of higher priorities."""
        for gate in self._gates.values():
            await gate.close()
        for task in self._publishing:
            task.cancel()
        await asyncio.gather(*self._publishing, return_exceptions=True)
