"""`CommandDispatcher`: the commands of a hub, those that it serves and those that it sends."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from itertools import count
from secrets import token_hex
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec

from telex.codec.content import Content
from telex.commands.outcome import REFUSED, Outcome, Progress, refused
from telex.commands.server import CommandServer, Invocation
from telex.commands.spec import Command, check_command
from telex.commands.ticket import Ticket
from telex.commands.transports.engine import EngineTransport
from telex.commands.transports.local import CommandStatistics, LocalTransport, TurnBudget
from telex.commands.transports.pending import Sightings
from telex.errors import (
    BadOption,
    Closed,
    ContentError,
    EngineFailed,
    InProgress,
    KeyConflict,
    NoHandler,
    TelexError,
    Timeout,
    WouldBlock,
    WrongThread,
)
from telex.message import check_key
from telex.once.engine_store import EngineOnceTransaction, EngineStore
from telex.once.leases import KeyCounts, KeyLeases
from telex.once.machine import fingerprint, fingerprint_of
from telex.once.results import outcome_at_once
from telex.once.store import OnceStore, OnceTransaction
from telex.process.tasks import start_task

if TYPE_CHECKING:
    from telex.groups.runner import GroupRunner
    from telex.handlers.runner import HandlerRunner
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.commands")
Duplicate = Literal["wait", "reject"]
UNSERVED = 1000
"""How many commands wait, at most, for a handler to be declared, on an engine that keeps them in this process."""


class CommandDispatcher:
    """All commands of a hub. On an engine that keeps messages, `EngineTransport` carries them."""

    def __init__(self, runtime: Runtime, runner: HandlerRunner, groups: GroupRunner) -> None:
        self.served: dict[str, CommandServer] = {}
        self.courier: EngineTransport | None = (
            None if runtime.engine.store is None else EngineTransport(runtime, runner, groups, self)
        )
        self._runtime = runtime
        self._local: dict[str, LocalTransport] = {}
        self._unserved: dict[str, deque[Invocation]] = {}
        self._runs: dict[str, Invocation] = {}  # by the id of the command, until it has its outcome
        self._stores: dict[int, tuple[OnceStore, asyncio.Task[None]]] = {}
        self._types: dict[Any, Content[Any]] = {}
        self._ids = (token_hex(6), count(1))
        self.sightings: Sightings = Sightings()
        self._started = False
        self._stopped = False
        self.turn: TurnBudget = TurnBudget()

    # -- serving

    def declare(self, command: Command) -> None:
        """Serve one more. Raises `BadOption` when its name is taken."""
        other = self.served.get(command.name)
        if other is not None:
            called = other.command.function
            raise BadOption(
                "command",
                command.name,
                f"{getattr(called, '__qualname__', called)} carries it out already; a command has one handler, "
                "and more programs that declare it share the work",
            )
        claims = None
        exclusive = False
        if command.once is not None:
            store = command.once.store
            exclusive = store is None
            claims = KeyLeases(command.name, command.once, store or EngineStore(self._runtime), KeyCounts())
        self.served[command.name] = CommandServer(command, claims, self._publish_in, self._runtime, exclusive=exclusive)
        if self._started:
            self._begin_serving(self.served[command.name])
            if self.courier is not None:
                self.courier.directory.begin()

    async def start(self) -> None:
        """Begin to serve: connect the stores, and take what waits. Raises what a store raises."""
        self._started = True
        for served in self.served.values():
            self._begin_serving(served)
        if self.courier is not None and self.served:
            await self.courier.directory.sign()
            self.courier.directory.begin()
        await asyncio.gather(*[opening for _, opening in self._stores.values()])

    def _begin_serving(self, served: CommandServer) -> None:
        once = served.command.once
        if once is not None and once.store is not None:
            if id(once.store) not in self._stores:
                opening = start_task(once.store.open(), name="telex opens a store")
                self._stores[id(once.store)] = (once.store, opening)
            served.opening = self._stores[id(once.store)][1]
        if self.courier is not None:
            self.courier.serve(served)
            return
        name = served.command.name
        topics = [self._runtime.topic(f"$command:{name}:{what}") for what in ("outcome", "progress")]
        self._local[name] = local = LocalTransport(served, self._runtime, self._runs, self.turn, *topics)
        for run in self._unserved.pop(name, ()):
            try:
                run.content, run.fingerprint = self._check(served, run.content, run.key)
            except TelexError as error:
                self._refuse(run, error)
            else:
                local.submit(run)

    def _refuse(self, run: Invocation, error: TelexError) -> None:
        served = self.served[run.command]
        outcome = served.ended(run, refused(error, REFUSED))
        del self._runs[outcome.id]
        run.reply.settle(outcome, error)

    # -- sending

    def content(self, declared: Any) -> Content[Any]:
        """The type that a sender expects. Raises `BadOption`."""
        found = self._types.get(declared)
        if found is None:
            found = self._types[declared] = Content(declared)
        return found

    def check(self, name: str, content: object, key: str | None, digest: str = "") -> tuple[object, str]:
        """The content as the handler takes it, and the fingerprint of it as it was sent; what this process does not
        serve is taken as it is. ``digest`` is the one of the content as it was sent, where that was elsewhere.

        Raises `ContentError`, `BadOption`, `BadName`.
        """
        served = self.served.get(name)
        if served is not None:
            return self._check(served, content, key, digest)
        check_command(name)
        check_key(key)
        return content, ""

    def _check(self, served: CommandServer, content: object, key: str | None, digest: str = "") -> tuple[object, str]:
        command, sent = served.command, content
        if command.takes is not None:
            content = command.takes.check(content, command.name)
        if key is not None:
            check_key(key)
        if command.once is None:
            return content, ""
        if key is None:
            raise BadOption("key", None, f"{command.name!r} runs once for each key: say which one this is, key='...'")
        name, version = command.name, command.once.version
        try:
            return content, fingerprint_of(name, version, digest) if digest else fingerprint(name, version, sent)
        except (TypeError, ValueError, RecursionError) as error:
            raise ContentError(command.name, f"what runs once has a JSON form: {error}") from None

    async def send(
        self,
        name: str,
        content: object,
        key: str | None,
        limit: float | None,
        duplicate: Duplicate,
        type: type[Any] | None,
        *,
        wanted: bool,
    ) -> Ticket[Any]:
        """Send a command within ``limit`` seconds. ``wanted``: a process has to serve it. Raises as `Hub.send`."""
        if limit is None:
            return await self._accepted(name, content, key, None, duplicate, type, wanted=wanted)
        try:
            # A deadline of nothing is for what is carried out, and not for its being accepted.
            async with asyncio.timeout(limit or None) as clock:
                return await self._accepted(name, content, key, limit, duplicate, type, wanted=wanted)
        except TimeoutError as error:
            if isinstance(error, Timeout) or not clock.expired():
                raise
            raise Timeout(f"sending the command {name!r}", limit) from None

    async def _accepted(
        self,
        name: str,
        content: object,
        key: str | None,
        limit: float | None,
        duplicate: Duplicate,
        type: type[Any] | None,
        *,
        wanted: bool,
    ) -> Ticket[Any]:
        if duplicate not in ("wait", "reject"):
            raise BadOption("duplicate", duplicate, "it is 'wait' or 'reject'")
        gives = None if type is None else self.content(type)
        if self.courier is not None:
            return await self.courier.send(name, content, key, limit, duplicate, gives, wanted=wanted)
        if duplicate == "reject":
            await self.look(name, content, key)
        if self.is_full(name):
            await self.room(name)
        return self.begin(name, content, key, limit, duplicate, gives, wanted=wanted)

    def begin(
        self,
        name: str,
        content: object,
        key: str | None,
        limit: float | None,
        duplicate: Duplicate,
        gives: Content[Any] | None,
        *,
        wanted: bool,
        at_once: bool = False,
    ) -> Ticket[Any]:
        """Accept a command in this process. ``wanted``: somebody has to serve it; ``at_once``: it may be begun before
        this returns. Raises what `Hub.send` raises.
        """
        if get_ident() != self._runtime.topics.thread or self._runtime.ends:
            self._refuse_here(name)
        served, local = self.served.get(name), self._local.get(name)
        mark = ""
        if served is None:
            check_command(name)
            if wanted:
                raise NoHandler(name)
        elif key is not None or served.command.once is not None:
            content, mark = self._check(served, content, key)
            if mark and local is not None and key in local.keys:
                if local.keys[key][0].fingerprint != mark:
                    raise KeyConflict(name, key)
                if duplicate == "reject":
                    raise InProgress(name, key)
            elif mark and key is not None and served.claims is not None:
                told = self._replayed(served, served.claims, key, mark)
                if told is not None:
                    done: Ticket[Any] = Ticket(name, told.id, key, self._cancel, gives)
                    done.settle(told)
                    return done
        elif served.command.takes is not None:
            content = served.command.takes.check(content, name)
        prefix, number = self._ids
        id = f"{prefix}-{next(number)}"
        ticket: Ticket[Any] = Ticket(name, id, key, self._cancel, gives)
        run = Invocation(name, content, id, key, limit, self._runtime.hub, self._report, mark, ticket)
        if served is None or local is None:
            self._keep(name, run)
            self._runs[id] = run
        else:
            self._runs[id] = run
            local.submit(run, at_once=at_once)
        return ticket

    def _refuse_here(self, name: str) -> NoReturn:
        if get_ident() != self._runtime.topics.thread:
            raise WrongThread(f"send the command {name!r}")
        raise Closed("this hub", "it ends what runs, and begins nothing more")

    def _replayed(self, served: CommandServer, claims: KeyLeases, key: str, mark: str) -> Outcome[Any] | None:
        """What was done before, when that can be told at once."""
        name = served.command.name
        try:
            entry = claims.replayed(key, mark)
        except KeyError:
            raise KeyConflict(name, key) from None
        if entry is None:
            return None
        served.tally.replayed += 1
        prefix, number = self._ids
        return outcome_at_once(entry, name, f"{prefix}-{next(number)}", key, served.command.gives)

    async def look(self, name: str, content: object, key: str | None) -> None:
        """Whether another process runs the key of a command whose records are in a store beside this process. Raises
        `InProgress`, and as `check`.
        """
        served, local = self.served.get(name), self._local.get(name)
        claims = None if served is None else served.claims
        if served is None or claims is None or claims.tells_at_once or key is None:
            return
        if local is not None and key in local.keys:
            return  # what this process knows of it counts
        _, mark = self._check(served, content, key)
        try:
            if served.opening is not None:
                await asyncio.shield(served.opening)
            found = await claims.live(key)
        except EngineFailed:
            return  # it is told when it is to be begun
        if found is not None and found[0].state == "running" and found[0].fingerprint == mark:
            self.sightings.check(name, key, found[0].lease, found[1], monotonic())

    async def room(self, name: str) -> None:
        """Wait while too many commands of this name wait."""
        local = self._local.get(name)
        while local is not None and local.is_full:
            await local.room()
            if self._stopped:
                raise Closed("this hub", "it was closed while the command waited for room")

    def is_full(self, name: str) -> bool:
        """Whether `room` would wait."""
        local = self._local.get(name)
        return local is not None and local.is_full

    def _keep(self, name: str, run: Invocation) -> None:
        waiting = self._unserved.setdefault(name, deque())
        if len(waiting) >= UNSERVED:
            raise WouldBlock(f"{UNSERVED} commands {name!r} wait for a handler to be declared")
        waiting.append(run)

    async def _cancel(self, ticket: Ticket[Any]) -> bool:
        run = self._runs.get(ticket.id)
        if run is None:
            return False
        local = self._local.get(ticket.command)
        if local is None:
            run.cancel()
        else:
            local.cancel(run)
        return True

    def _report(self, step: Progress) -> None:
        run = self._runs.get(step.id)
        local = self._local.get(step.command)
        if run is not None and local is not None:  # or its outcome is there
            local.report(run, step)

    async def _publish_in(self, run: Invocation, outcome: Outcome[Any], tx: OnceTransaction) -> bool:
        """Publish an outcome in the transaction that has the effects, if that is one of the engine's."""
        if not isinstance(tx, EngineOnceTransaction):
            return False
        if self.courier is None:
            await tx.connection.publish(f"$command:{outcome.command}:outcome", outcome)
        else:
            await self.courier.publish_in(run, outcome, tx)
        return True

    async def opened(self, content: object) -> Outcome[Any] | Progress | None:
        """What those who follow are told, from what came."""
        if isinstance(content, (Outcome, Progress)):
            return content
        told = None if self.courier is None else await self.courier.inbox.opened(content)
        return self.shaped(told) if isinstance(told, Outcome) else told

    def shaped(self, outcome: Outcome[Any]) -> Outcome[Any]:
        """An outcome that comes from outside, with a result of the type that its handler is annotated with, if that is
        declared here; a result that does not fit stays plain.
        """
        served = self.served.get(outcome.command)
        if served is None or served.command.gives is None or outcome.error is not None:
            return outcome
        try:
            result = served.command.gives.decode(outcome.result, outcome.command)
        except ContentError:
            return outcome
        return msgspec.structs.replace(outcome, result=result)

    # -- life

    @property
    def idle(self) -> bool:
        """Whether nothing is in hand here."""
        return all(not local.running and not local.waiting for local in self._local.values())

    async def stop(self) -> None:
        """Its work is done: let go of the stores and of what was sent and is not answered."""
        self._stopped = True
        error = Closed("the ticket", "its hub was closed before its outcome came; a command with a key is sent again")
        if self.courier is not None:
            await self.courier.close(error)
        for run in self._runs.values():
            if run.pace is not None:
                run.pace.close()
            run.reply.close(error)
        self._runs.clear()
        for local in self._local.values():
            local.unblock()
        for served in self.served.values():
            if served.claims is not None:
                served.claims.close()
        for store, opening in self._stores.values():
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            if not opening.cancelled() and opening.exception() is None:
                await store.close()
        self._stores.clear()

    def statistics(self) -> tuple[CommandStatistics, ...]:
        """Every command that is served here, in the order of declaration."""
        return tuple(self._statistics(served) for served in self.served.values())

    def _statistics(self, served: CommandServer) -> CommandStatistics:
        local, tally = self._local.get(served.command.name), served.tally
        running = served.running if local is None else local.running
        return CommandStatistics(
            served.command.name,
            running,
            0 if local is None else len(local.waiting),
            tally.executed,
            served.failed,
            served.expired,
            tally.replayed,
            tally.waited,
            tally.conflicted,
            tally.taken_over,
            tally.fenced,
        )
