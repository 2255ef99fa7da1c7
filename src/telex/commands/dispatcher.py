"""`CommandDispatcher`: the commands that a hub serves and sends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from telex.codec.content import Content
from telex.commands.job import CommandInfo, JobFilter
from telex.commands.once_server import OnceServer
from telex.commands.outcome import Outcome, Progress
from telex.commands.plan import SendPlan
from telex.commands.server import CommandServer, CommandStatistics
from telex.commands.spec import Command
from telex.commands.streaming import StreamingServer, command_of
from telex.commands.table import CommandTable
from telex.commands.ticket import PendingOutcome, Ticket
from telex.commands.transports.engine import EngineTransport
from telex.commands.transports.local import LocalTransport
from telex.commands.transports.transport import CommandTransport, Duplicate, Request
from telex.errors import BadOption, Closed, NoSuchCommand, Timeout
from telex.groups.runner import GroupRunner
from telex.message import check_id
from telex.observe.headers import Sending, Sends
from telex.once.store import OnceStores
from telex.runtime import Runtime

Send = Callable[[Request], Awaitable[PendingOutcome[Any]]]


def traced(send: Send, instrument: Sends) -> Send:
    """Return a function that sends a command in a span, if the tracer begins one."""

    def sent(request: Request) -> Awaitable[PendingOutcome[Any]]:
        if instrument.skips():
            return send(request)
        sending = instrument.sending(f"$command:{request.name}:request", None)
        return send(request) if sending is None else in_span(request, sending)

    async def in_span(request: Request, sending: Sending) -> PendingOutcome[Any]:
        with sending:
            pending = await send(request)
            sending.sent(pending.id)
            return pending

    return sent


def transport_for(runtime: Runtime, groups: GroupRunner, table: CommandTable) -> CommandTransport:
    """Return the transport for the engine of a hub. Only this function asks whether the engine stores messages."""
    store = runtime.engine.store
    if store is None:
        return LocalTransport(runtime, table)
    return EngineTransport(runtime, groups, table, store)


class CommandDispatcher:
    """All commands that one hub serves and sends."""

    def __init__(self, runtime: Runtime, groups: GroupRunner) -> None:
        self.table: CommandTable = CommandTable()
        self.transport: CommandTransport = transport_for(runtime, groups, self.table)
        instrument = runtime.topics.carrier.instrument
        self._send: Send = self.transport.send if instrument is None else traced(self.transport.send, instrument)
        self._call: Send = self.transport.call if instrument is None else traced(self.transport.call, instrument)
        self._limits = groups.limits
        self._runtime = runtime
        self._stores = OnceStores()
        self._types: dict[Any, Content[Any]] = {}
        self._started = False

    # -- serving

    def declare(self, command: Command) -> None:
        """Serve a command. Raises `BadOption` when the name is taken, `Misuse` on an engine without records."""
        self._runtime.require(f"the command {command.name!r}", *self.transport.needs)
        if command.streams:
            server: CommandServer = StreamingServer(command, self._runtime)
        elif command.once is None:
            server = CommandServer(command, self._runtime)
        else:
            server = OnceServer(command, command.once, self._runtime, self._stores, self.transport.publish_in)
        if command.limit is not None:
            self._limits.check(command.limit)
        self.table.add(server)
        if command.limit is not None:
            gate = self._limits.gate(
                command.limit, command.concurrency, command.lease, bounded=self.transport.redelivers
            )
            server.limit(command.limit, gate)
        if self._started:
            self._serve(server)

    def _serve(self, server: CommandServer) -> None:
        server.open()
        self.transport.serve(server)

    async def start(self) -> None:
        """Start serving: open the stores, and carry out the waiting commands. Raises the errors of a store."""
        self._started = True
        for server in self.table.servers.values():
            self._serve(server)
        await self.transport.start()
        await self._stores.opened()

    # -- sending

    def request(
        self,
        name: str,
        content: object,
        key: str | None,
        limit: float | None,
        duplicate: Duplicate = "wait",
        type: type[Any] | None = None,
        *,
        needs_server: bool = False,
        plan: SendPlan | None = None,
    ) -> Request:
        """Return the request of `Hub.send` with checked options. ``limit`` is the timeout in seconds. Raises
        `BadOption`, `Misuse`.
        """
        if plan is not None and plan.due is not None:
            self._runtime.require(f"delay= or at= of the command {name!r}", *self.transport.needs_to_delay)
        if self.transport.needs:
            self._runtime.require(f"the command {name!r}", *self.transport.needs)
        if duplicate not in ("wait", "reject"):
            raise BadOption("duplicate", duplicate, "it must be 'wait' or 'reject'")
        gives = None if type is None else self._types.get(type)
        if type is not None and gives is None:
            gives = self._types[type] = Content(type)
        return Request(name, content, key, limit, duplicate, gives, needs_server, plan)

    async def send(self, request: Request) -> Ticket[Any]:
        """Send a command and return its ticket. Raises as `Hub.send`."""
        return Ticket(await self._accepted(self._send, request), self.transport.cancel)

    async def call(self, request: Request) -> Any:
        """Send a command and return its result. Raises as `Hub.call`."""
        limit = request.limit
        if limit is None:
            pending = await self._call(request)
            while pending.outcome is None:
                await pending.change()
            return pending.value()
        until = monotonic() + limit
        pending = await self._accepted(self._call, request)
        try:
            await pending.within(max(0.0, until - monotonic()))
        except Timeout:
            raise Timeout(f"the command {request.name!r}", limit, self._runtime.connection.problem) from None
        return pending.value()

    async def _accepted(self, send: Send, request: Request) -> PendingOutcome[Any]:
        limit = request.limit
        try:
            # A timeout of 0 is only a deadline for the worker: it does not bound sending.
            async with asyncio.timeout(limit or None) as clock:
                return await send(request)
        except TimeoutError as error:
            if isinstance(error, Timeout) or limit is None or not clock.expired():
                raise
            what = f"sending the command {request.name!r}"
            raise Timeout(what, limit, self._runtime.connection.problem) from None

    # -- commands by id

    async def ticket(self, id: str) -> Ticket[Any]:
        """Return the ticket of a command that any hub has sent. Raises as `Hub.ticket`."""
        self._runtime.require("hub.ticket()", *self.transport.needs)
        return Ticket(await self.transport.find(check_id(id)), self.transport.cancel)

    async def jobs(self, wanted: JobFilter) -> list[CommandInfo]:
        """Return the commands that fit, the newest first. Raises `Misuse`, `EngineFailed`."""
        self._runtime.require("hub.commands()", *self.transport.needs)
        if wanted.id is None:
            return await self.transport.jobs(wanted)
        try:
            job = await self.transport.job(wanted.id)
        except NoSuchCommand:
            return []
        return [job] if wanted.takes(job) and wanted.name in (None, job.command) else []

    async def retry(self, id: str) -> Ticket[Any]:
        """Run a failed command again, and return its ticket. Raises as `Hub.retry`."""
        self._runtime.require("hub.retry()", *self.transport.needs)
        return Ticket(await self.transport.retry(check_id(id)), self.transport.cancel)

    async def check_stream(self, topic: str) -> None:
        """Raise `NoSuchCommand` when this is the topic of a stream that has no parts, and its command is unknown."""
        command = command_of(topic)
        if command is not None and (await self._runtime.topic(topic).position()).seq == 0:
            await self.transport.check(*command)

    def is_full(self, name: str) -> bool:
        """Return true when a sender of this command would wait, because too many commands of its name wait for a
        call.
        """
        return self.transport.is_full(name)

    async def read(self, content: object) -> Outcome[Any] | Progress | None:
        """Return the outcome or progress in a message to followers; None for other content."""
        return await self.transport.read(content)

    # -- life

    @property
    def unfinished(self) -> int:
        """The number of commands that run or wait, without those that are messages of a group."""
        return self.transport.unfinished

    async def stop(self) -> None:
        """Close the transport, the waiting tickets and the stores."""
        error = Closed(
            "the ticket",
            "its hub was closed before its outcome came; send a command with a key again to get its outcome",
        )
        await self.transport.close(error)
        for server in self.table.servers.values():
            server.close()
        await self._stores.close()

    def statistics(self) -> tuple[CommandStatistics, ...]:
        """Return the statistics of every command that this hub serves, in the order of declaration."""
        waiting = self.transport.waiting
        return tuple(server.statistics(waiting(name)) for name, server in self.table.servers.items())
