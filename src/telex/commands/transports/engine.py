"""`EngineTransport`: the transport of commands on an engine that stores messages.

A command is a message of the topic ``$command:NAME:request``. The hubs that serve it are a consumer group: one of them
leases the command, and another one when that hub dies. Commands of one key run one after the other. The outcome is
published to ``$command:NAME:outcome`` for followers, and to the reply inbox of the sender, ``$inbox:HUB``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from secrets import token_hex
from time import time
from typing import Any

from telex.codec.content import Content
from telex.commands.invocation import Invocation
from telex.commands.job import CommandInfo, JobFilter
from telex.commands.outcome import Outcome, Progress, recorded_outcome
from telex.commands.plan import REQUESTS, Priority, SendPlan
from telex.commands.server import CommandServer
from telex.commands.spec import check_command
from telex.commands.table import CommandTable
from telex.commands.ticket import PendingOutcome
from telex.commands.transports.engine_jobs import EngineJobs
from telex.commands.transports.job_records import DEADLINE, DIGEST, INBOX
from telex.commands.transports.pending import PendingRequest, Sightings
from telex.commands.transports.replies import ReplyInbox
from telex.commands.transports.services import ServiceRegistry
from telex.commands.transports.transport import Request
from telex.commands.transports.worker import GROUP, EngineWorker
from telex.engines.contract.store import Store
from telex.errors import BadOption, Closed, InProgress, KeyConflict, NoHandler
from telex.groups.runner import GroupRunner
from telex.message import check_key
from telex.once.engine_store import EngineOnceTransaction
from telex.once.machine import Entry, decode, digest_of, fingerprint_of
from telex.once.results import with_result
from telex.runtime import Runtime
from telex.topics.topic import publisher_of
from telex.topics.transaction import Transaction


class EngineTransport:
    """The `CommandTransport` for commands that any hub on the engine may send and serve."""

    needs: tuple[str, ...] = ("records", "groups", "key_order", "backlog_kept", "once_per_id")
    needs_to_delay: tuple[str, ...] = ("delayed",)
    redelivers: bool = True
    unfinished: int = 0  # running commands are messages of a group, which the runner counts

    def __init__(self, runtime: Runtime, groups: GroupRunner, table: CommandTable, store: Store) -> None:
        self._runtime = runtime
        self._table = table
        self.id: str = token_hex(8)
        self._registry: ServiceRegistry | None = None
        self.inbox: ReplyInbox = ReplyInbox(runtime, store, self.id, lambda: self.registry)
        self.worker: EngineWorker = EngineWorker(runtime, groups, store, self.id, self.inbox)
        running = self.worker.running
        self._jobs = EngineJobs(runtime, store, self.id, self.inbox, lambda: self.registry, running, self._gives)
        self._sightings = Sightings()
        self._started = False
        self._joined: set[str] = set()  # topics whose group certainly exists

    @property
    def registry(self) -> ServiceRegistry:
        """The heartbeats of the hubs on this engine. Raises `Misuse` on an engine without records."""
        if self._registry is None:
            self._registry = ServiceRegistry(
                self._runtime.records("commands"), self.id, self._runtime.engine.now, self.worker.running
            )
        return self._registry

    def is_full(self, name: str) -> bool:
        return False

    def waiting(self, name: str) -> int:
        """Return 0: commands wait in the engine."""
        return 0

    # -- serving

    def serve(self, server: CommandServer) -> None:
        self.worker.serve(server)
        self.registry.add(server.command.name, server.runs_once)
        if self._started:
            self.registry.begin()

    async def start(self) -> None:
        self._started = True
        if self._table.servers:
            await self.registry.beat()
            self.registry.begin()

    async def publish_in(self, invocation: Invocation, outcome: Outcome[Any], tx: EngineOnceTransaction) -> None:
        await self.worker.publish_in(invocation, outcome, tx)

    # -- sending

    async def call(self, request: Request) -> PendingOutcome[Any]:
        return await self.send(request)

    async def send(self, request: Request) -> PendingOutcome[Any]:
        name, key, gives = request.name, request.key, request.gives
        plan = request.plan
        limit = request.limit if plan is None else shortest(request.limit, plan.expires)
        deadline = None if limit is None else self._runtime.engine.now() + limit
        digest = "" if key is None else digest_for(request.content)
        content, fingerprint = self._table.check(name, request.content, key, digest)
        server = self._table.servers.get(name)
        once = await self._runs_once(request) if server is None else server.runs_once
        if gives is None and server is not None:
            gives = server.command.gives
        if key is None:
            return await self._publish(name, content, None, deadline, gives, digest, plan)
        check_key(key)
        if server is None and digest:
            fingerprint = fingerprint_of(name, 1, digest)
        replayed = await self._replayed(request, server, key, fingerprint, gives)
        if replayed is not None:
            return replayed
        if not once or not fingerprint:
            return await self._publish(name, content, key, deadline, gives, digest, plan)
        requests = self.inbox.requests
        if request.duplicate == "reject" and requests.has(name, key, fingerprint, self._runtime.engine.now()):
            raise InProgress(name, key)
        sent = PendingRequest(fingerprint, deadline)
        requests.begin(name, key, sent)
        try:
            pending = await self._publish(name, content, key, deadline, gives, digest, plan)
        except BaseException:  # a cancelled publish may have succeeded, and its id is unknown
            requests.end(name, key, sent)
            raise
        sent.id = pending.id
        if pending.outcome is not None:  # it came before the id
            requests.end(name, key, sent)
        return pending

    async def _runs_once(self, request: Request) -> bool | None:
        """Return true when a command that another hub serves runs once, None when this is unknown. Raises `NoHandler`,
        `BadOption`.
        """
        name = request.name
        once = await self.registry.find(name, asyncio.get_running_loop().time())
        if once is None and request.needs_server:
            raise NoHandler(check_command(name))
        if once and request.key is None:
            raise BadOption("key", None, f"{name!r} runs once for each key: give a key, key='...'")
        return once

    async def _publish(
        self,
        name: str,
        content: object,
        key: str | None,
        deadline: float | None,
        gives: Content[Any] | None,
        digest: str,
        plan: SendPlan | None,
    ) -> PendingOutcome[Any]:
        await self.inbox.open()
        level: Priority = "normal" if plan is None else plan.priority
        topic = self._runtime.topic(f"$command:{name}:{REQUESTS[level]}")
        await self.expect(name, level)
        pending: PendingOutcome[Any]
        headers = {INBOX: self.id}
        if deadline is not None:
            headers[DEADLINE] = repr(deadline)
        if digest:
            headers[DIGEST] = digest
        server = self._table.servers.get(name)
        takes = None if server is None else server.command.takes
        if plan is not None and plan.due is not None:
            if takes is not None:
                takes.hold(content, name)
            draft = publisher_of(topic).draft(content, None, headers, key, held=takes is not None).with_id()
            pending = PendingOutcome(name, draft.id or "", key, gives)
            self.inbox.add(pending)
            await self._jobs.send_later(draft, plan, name)
            return pending
        with self.inbox.sending():
            if takes is None:
                message = await topic.publish(content, headers=headers, key=key)
            else:
                takes.hold(content, name)
                message = await publisher_of(topic).publish_held(content, headers=headers, key=key)
            pending = PendingOutcome(name, message.id, key, gives)
            self.inbox.add(pending)
        return pending

    async def expect(self, name: str, level: Priority = "normal") -> None:
        topic = self._runtime.topic(f"$command:{name}:{REQUESTS[level]}")
        if topic.id not in self._joined:  # the group begins before the first command, so that it gets every command
            await self._runtime.groups("commands").join(GROUP, topic.id, "earliest", lambda: publisher_of(topic).log)
            if level != "normal":
                await self._jobs.use_level(name, level)
            self._joined.add(topic.id)

    async def send_in(self, tx: Transaction, name: str, content: object, key: str) -> Callable[[], object] | None:
        headers = {DIGEST: digest_for(content)}
        await tx.publish(f"$command:{name}:request", content, id=key, headers=headers, key=key)
        return None

    async def _replayed(
        self, request: Request, server: CommandServer | None, key: str, fingerprint: str, gives: Content[Any] | None
    ) -> PendingOutcome[Any] | None:
        """Return the recorded outcome of a key, or None. Raises `KeyConflict`, `InProgress`, `EngineFailed`."""
        name = request.name
        found = await (self._record(name, key, fingerprint) if server is None else server.recorded(key))
        if found is None:
            return None
        entry, revision = found
        if entry.fingerprint != fingerprint:
            if server is None:
                return None  # the handler's type may add defaults to the content before it is compared
            raise KeyConflict(name, key)
        if not entry.ended:
            if request.duplicate == "reject":
                self._sightings.check(name, key, entry, revision)
            return None
        pending: PendingOutcome[Any] = PendingOutcome(name, f"{self.id}-{key}", key, gives)
        if server is None:
            entry = await with_result(entry, self._runtime.records("commands").get)
        else:
            server.counts.replayed += 1
            entry = await server.load(entry)
        pending.settle(recorded_outcome(entry, name, pending.id, key, None), decode=True)
        return pending

    async def _record(self, name: str, key: str, fingerprint: str) -> tuple[Entry, int] | None:
        """Return the record of a key of a command that another hub serves, if the engine keeps its records."""
        record = await self._runtime.records("commands").get(f"once:{name}", key) if fingerprint else None
        if record is None:
            return None
        entry = decode(record.value)
        return None if entry.ended and entry.expires <= time() else (entry, record.revision)

    # -- by id

    async def cancel(self, pending: PendingOutcome[Any]) -> bool:
        return await self._jobs.cancel(pending)

    async def find(self, id: str) -> PendingOutcome[Any]:
        return await self._jobs.find(id)

    async def check(self, name: str, id: str) -> None:
        await self._jobs.check(name, id)

    async def jobs(self, wanted: JobFilter) -> list[CommandInfo]:
        return await self._jobs.listed(wanted)

    async def job(self, id: str) -> CommandInfo:
        return await self._jobs.one(id)

    async def retry(self, id: str) -> PendingOutcome[Any]:
        await self.inbox.open()
        return await self._jobs.retry(id)

    def _gives(self, name: str) -> Content[Any] | None:
        """Return the type of the result of a command that this hub serves."""
        server = self._table.servers.get(name)
        return None if server is None else server.command.gives

    # -- following, closing

    async def read(self, content: object) -> Outcome[Any] | Progress | None:
        if isinstance(content, (Outcome, Progress)):
            return content
        reply = await self.inbox.read(content)
        return self._table.decoded(reply) if isinstance(reply, Outcome) else reply

    async def close(self, error: Closed) -> None:
        await self._jobs.close()
        await self.worker.close()
        await self.inbox.close(error)
        if self._registry is not None:
            await self._registry.close()
        await self.inbox.remove()


def shortest(first: float | None, second: float | None) -> float | None:
    """Return the shorter of two times; None is no bound."""
    return second if first is None else first if second is None else min(first, second)


def digest_for(content: object) -> str:
    """Return the digest of the content of a command with a key; empty for content without a JSON form."""
    try:
        return digest_of(content)
    except (TypeError, ValueError, RecursionError):
        return ""  # publishing the content raises the error
