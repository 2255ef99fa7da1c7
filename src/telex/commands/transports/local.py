"""`LocalTransport`: the transport of commands inside one process, on the memory engine."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from secrets import token_hex
from threading import get_ident
from time import monotonic
from typing import Any

from telex.commands.invocation import Invocation
from telex.commands.job import CommandInfo, JobFilter
from telex.commands.outcome import Outcome, Progress, recorded_outcome, refusal, unrun
from telex.commands.plan import SendPlan
from telex.commands.server import CANCELLED_BY_SENDER, CommandServer
from telex.commands.spec import check_command
from telex.commands.table import CommandTable
from telex.commands.ticket import PendingOutcome
from telex.commands.transports.local_jobs import LocalJobs
from telex.commands.transports.pending import Sightings
from telex.commands.transports.queue import CommandQueue, LimitedQueue, publish_outcome
from telex.commands.transports.transport import Request
from telex.commands.transports.turns import TurnBudget
from telex.errors import Closed, EngineFailed, InProgress, KeyConflict, NoHandler, TelexError, WouldBlock, WrongThread
from telex.observe.headers import carried
from telex.once.engine_store import EngineOnceTransaction
from telex.runtime import Runtime
from telex.topics.transaction import Transaction

MAX_UNSERVED_COMMANDS = 1000
"""The number of commands of one name that may wait for a handler to be declared."""
MAX_DELAYED_COMMANDS = 100_000
"""The number of commands that may be delayed at once."""


class LocalTransport:
    """The `CommandTransport` for commands that are sent and served in one process."""

    needs: tuple[str, ...] = ()
    needs_to_delay: tuple[str, ...] = ()
    redelivers: bool = False

    def __init__(self, runtime: Runtime, table: CommandTable) -> None:
        self.turn: TurnBudget = TurnBudget()
        self._runtime = runtime
        self._servers = table.servers
        self.queues: dict[str, CommandQueue] = {}
        self._unserved: dict[str, deque[Invocation]] = {}
        self.invocations: dict[str, Invocation] = {}  # by id, until the outcome
        self._sightings = Sightings()
        self._process = token_hex(6)
        self._numbers = count(1)
        self._closed = False
        self._jobs = LocalJobs(runtime, self.invocations, self._begin_due)

    @property
    def unfinished(self) -> int:
        return sum(queue.unfinished for queue in self.queues.values())

    def waiting(self, name: str) -> int:
        return len(self.queues[name].waiting) if name in self.queues else 0

    # -- serving

    def serve(self, server: CommandServer) -> None:
        """Start serving a command, beginning with the commands that were sent before."""
        name = server.command.name
        make = CommandQueue if server.gate is None else LimitedQueue
        queue = make(server, self._runtime, self.invocations, self.turn, self._jobs)
        self.queues[name] = queue
        for invocation in self._unserved.pop(name, ()):
            self._submit(queue, invocation)

    def _submit(self, queue: CommandQueue, invocation: Invocation) -> None:
        """Submit a command that was sent before its handler was declared, or that was delayed."""
        server = queue.server
        try:
            invocation.content, invocation.fingerprint = server.check(invocation.content, invocation.key)
        except TelexError as error:
            queue.answer(invocation, server.failure(invocation, refusal(error)), error)
            return
        if not self._runtime.ends:
            queue.submit(invocation)

    def _begin_due(self, invocation: Invocation) -> None:
        queue = self.queues.get(invocation.command)
        if queue is None:
            self._unserved.setdefault(invocation.command, deque()).append(invocation)
        else:
            self._submit(queue, invocation)

    async def start(self) -> None:
        """Do nothing: no other process has to know the commands."""

    def _report(self, invocation: Invocation, step: Progress) -> None:
        queue = self.queues.get(step.command)
        if queue is not None and step.id in self.invocations:  # otherwise it has its outcome
            queue.report(invocation, step)

    async def publish_in(self, invocation: Invocation, outcome: Outcome[Any], tx: EngineOnceTransaction) -> None:
        await tx.connection.publish(f"$command:{outcome.command}:outcome", outcome)

    # -- sending

    async def send(self, request: Request) -> PendingOutcome[Any]:
        """Accept a command. Wait while too many commands of this name wait for a call."""
        name = request.name
        if request.duplicate == "reject":
            await self._refuse_running(request)
        queue = self.queues.get(name)
        if queue is None or not queue.is_full:
            return self._accept(request, at_once=False)
        try:
            while queue.is_full:
                await queue.room()
                if self._closed:
                    raise Closed("this hub", "it was closed while the command waited for room")
            return self._accept(request, at_once=False)
        finally:
            queue.admit()  # the next sender: this one was cancelled, or its key is known and takes no room

    async def call(self, request: Request) -> PendingOutcome[Any]:
        """Accept a command, and start its handler within this turn of the event loop if possible."""
        if self.turn.spent:
            await asyncio.sleep(0)
            self.turn.begin()
        queue = self.queues.get(request.name)
        waits = queue is not None and queue.server.running and queue.is_full
        if waits or request.duplicate == "reject" or request.limit == 0.0:
            return await self.send(request)
        pending = self._accept(request, at_once=True)
        if pending.outcome is not None:  # otherwise the sender waits, and this turn goes on to other tasks
            self.turn.count()
        return pending

    async def expect(self, name: str) -> None:
        """Do nothing: commands that nobody serves yet are kept."""

    async def send_in(self, tx: Transaction, name: str, content: object, key: str) -> Callable[[], object] | None:
        request = Request(name, content, key, None, "wait", None, needs_server=False)
        return partial(self._accept, request, at_once=False)

    def is_full(self, name: str) -> bool:
        queue = self.queues.get(name)
        return queue is not None and queue.is_full

    async def _refuse_running(self, request: Request) -> None:
        """Raise `InProgress` when another process runs the key, by its record in a shared store."""
        name, key = request.name, request.key
        server, queue = self._servers.get(name), self.queues.get(name)
        if server is None or key is None or (queue is not None and key in queue.keys):
            return  # `_accept` decides about a key that this process runs
        _, fingerprint = server.check(request.content, key)
        try:
            found = await server.recorded(key)
        except EngineFailed:
            return  # the same error comes again when the key is leased
        if found is not None and found[0].fingerprint == fingerprint:
            self._sightings.check(name, key, *found)

    def _accept(self, request: Request, *, at_once: bool) -> PendingOutcome[Any]:
        name, content, key, runtime = request.name, request.content, request.key, self._runtime
        if get_ident() != runtime.topics.thread:
            raise WrongThread(f"send the command {name!r}")
        if runtime.ends:
            raise Closed("this hub", "it is closing and begins no more calls")
        server, queue = self._servers.get(name), self.queues.get(name)
        fingerprint = ""
        pending: PendingOutcome[Any] = PendingOutcome(
            name, f"{self._process}-{next(self._numbers)}", key, request.gives
        )
        if server is None:
            check_command(name)
            if request.needs_server:
                raise NoHandler(name)
        else:
            content, fingerprint = server.check(content, key)
            if fingerprint and self._replayed(pending, server, queue, fingerprint, request):
                return pending
        carry, id = carried.get(), pending.id
        invocation = Invocation(name, content, id, key, runtime.hub, self._report, fingerprint, pending, carry)
        if request.limit is not None:
            invocation.expire_in(request.limit)
        if not at_once:
            invocation.sent_at = runtime.clock()
            if request.plan is not None and self._delayed(invocation, request.plan):
                return pending
        if queue is None:
            self._keep_unserved(invocation)
        self.invocations[id] = invocation
        if queue is not None:
            queue.submit(invocation, at_once=at_once)
        return pending

    def _delayed(self, invocation: Invocation, plan: SendPlan) -> bool:
        """Note the plan of a command. Return true when the command is delayed."""
        invocation.priority, invocation.due = plan.priority, plan.due
        if plan.expires is not None and (invocation.until is None or plan.expires < invocation.until - monotonic()):
            invocation.expire_in(plan.expires)
        if plan.due is None:
            return False
        if len(self._jobs.delayed) >= MAX_DELAYED_COMMANDS:
            raise WouldBlock(f"{MAX_DELAYED_COMMANDS} commands are delayed in memory")
        self.invocations[invocation.id] = invocation
        self._jobs.delay(invocation)
        return True

    def _replayed(
        self,
        pending: PendingOutcome[Any],
        server: CommandServer,
        queue: CommandQueue | None,
        fingerprint: str,
        request: Request,
    ) -> bool:
        """Settle a command whose key has an outcome that can be read without waiting, and return true. Raises
        `KeyConflict`, `InProgress`.
        """
        name, key = request.name, request.key or ""
        if queue is not None and key in queue.keys:
            if queue.keys[key][0].fingerprint != fingerprint:
                raise KeyConflict(name, key)
            if request.duplicate == "reject":
                raise InProgress(name, key)
            return False
        entry = server.peek(key, fingerprint)
        if entry is None:
            return False
        server.counts.replayed += 1
        pending.settle(recorded_outcome(entry, name, pending.id, key, server.command.gives))
        return True

    def _keep_unserved(self, invocation: Invocation) -> None:
        waiting = self._unserved.setdefault(invocation.command, deque())
        if len(waiting) >= MAX_UNSERVED_COMMANDS:
            raise WouldBlock(
                f"{MAX_UNSERVED_COMMANDS} commands {invocation.command!r} wait for a handler to be declared"
            )
        waiting.append(invocation)

    async def cancel(self, pending: PendingOutcome[Any]) -> bool:
        invocation, queue = self.invocations.get(pending.id), self.queues.get(pending.command)
        if invocation is None:
            return False
        if self._jobs.take(invocation.id):
            self._call_off(invocation, queue)
        elif queue is None:
            invocation.cancel()
        else:
            queue.cancel(invocation)
        return True

    def _call_off(self, invocation: Invocation, queue: CommandQueue | None) -> None:
        """End a delayed command that its sender cancels, also one that nobody serves yet."""
        name, id = invocation.command, invocation.id
        outcome = unrun(name, id, invocation.key, CANCELLED_BY_SENDER)
        del self.invocations[id]
        self._jobs.end(invocation, outcome, None if queue is None else queue.server.command.keep)
        publish_outcome(self._runtime.topic(f"$command:{name}:outcome"), outcome)
        if invocation.pending is not None:
            invocation.pending.settle(outcome)

    # -- by id

    async def find(self, id: str) -> PendingOutcome[Any]:
        return await self._jobs.find(id)

    async def check(self, name: str, id: str) -> None:
        await self._jobs.one(id)

    async def jobs(self, wanted: JobFilter) -> list[CommandInfo]:
        return await self._jobs.listed(wanted)

    async def job(self, id: str) -> CommandInfo:
        return await self._jobs.one(id)

    async def retry(self, id: str) -> PendingOutcome[Any]:
        last, before = await self._jobs.failed(id)
        name, queue = last.command, self.queues[last.command]
        await queue.server.release(last.key or "", last.fingerprint, math.inf)
        await self._jobs.failed(id)  # another sender may have been first
        self._jobs.forget(id)
        pending: PendingOutcome[Any] = PendingOutcome(name, id, last.key, queue.server.command.gives)
        again = Invocation(name, last.content, id, last.key, self._runtime.hub, self._report, last.fingerprint, pending)
        again.priority, again.sent_at, again.before = last.priority, last.sent_at, before
        again.attempt = again.before + 1
        self.invocations[id] = again
        self._submit(queue, again)
        return pending

    # -- following, closing

    async def read(self, content: object) -> Outcome[Any] | Progress | None:
        return content if isinstance(content, (Outcome, Progress)) else None

    async def close(self, error: Closed) -> None:
        self._closed = True
        self._jobs.close()
        for invocation in self.invocations.values():
            if invocation.throttle is not None:
                invocation.throttle.close()
            if invocation.pending is not None:
                invocation.pending.close(error)
        self.invocations.clear()
        for queue in self.queues.values():
            queue.unblock()
