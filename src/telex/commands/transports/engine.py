"""`EngineTransport`: carries commands and their outcomes over an engine that keeps messages.

A command is a message of the topic ``$command:NAME:request``, which the hubs that serve it share as a group: it is
leased to one of them, and what one that died had is another's. Of one key, one is worked on at a time. Its outcome is
published to ``$command:NAME:outcome`` for those who follow, and to the inbox of its sender, ``$inbox:HUB``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from functools import partial
from secrets import token_hex
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from telex.codec.content import Content, to_json
from telex.commands.outcome import REFUSED, Outcome, OutcomeRef, Progress, Told, refused, tells_all
from telex.commands.progress import ProgressThrottle
from telex.commands.server import CommandServer, Invocation
from telex.commands.spec import check_command
from telex.commands.ticket import Ticket
from telex.commands.transports.attempts import AttemptCounter
from telex.commands.transports.pending import PendingRequest
from telex.commands.transports.replies import ReplyInbox
from telex.commands.transports.services import ServiceRegistry
from telex.errors import BadOption, Closed, InProgress, KeyConflict, NoHandler, TelexError
from telex.handlers.context import Context, Retry
from telex.handlers.spec import GroupSpec, HandlerSpec
from telex.log.options import check_options
from telex.message import Draft, Message, check_key
from telex.once.machine import Failure, decode, digest_of, fingerprint_of
from telex.once.results import INLINE, RESULTS, Get, outcome_of
from telex.process.tasks import start_task
from telex.topics.topic import publisher_of
from telex.topics.transaction import engine_of

if TYPE_CHECKING:
    from telex.commands.dispatcher import CommandDispatcher
    from telex.groups.runner import GroupRunner
    from telex.handlers.runner import HandlerRunner
    from telex.once.engine_store import EngineOnceTransaction
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.commands")
INBOX, DEADLINE, DIGEST = "telex-inbox", "telex-deadline", "telex-digest"
"""Headers of a command. The digest is of the content as it was sent, which whoever takes it may have filled in."""
GROUP = "$workers"
ATTEMPTS = 3
"""How often a command that does not run once is begun, when workers die over it. Those that are closed do not count."""
REMEMBERED = 10_000
"""How many commands that were cancelled before they came are remembered."""
KEPT = 3600.0
"""Seconds that a large outcome is kept for those that it was sent to."""
Duplicate = Literal["wait", "reject"]


class EngineTransport:
    """The commands of one hub, sent and served."""

    def __init__(self, runtime: Runtime, runner: HandlerRunner, groups: GroupRunner, desk: CommandDispatcher) -> None:
        self._runtime = runtime
        self._runner = runner
        self._groups = groups
        self._desk = desk
        self._id = token_hex(8)
        self._directory: ServiceRegistry | None = None
        self.inbox: ReplyInbox = ReplyInbox(runtime, self._id, lambda: self.directory)
        self._runs: dict[str, Invocation] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        self._joined: set[str] = set()  # commands whose group is known to be there
        self._chores: set[asyncio.Task[None]] = set()

    @property
    def directory(self) -> ServiceRegistry:
        """Who is there. Raises `Misuse` on an engine without records."""
        if self._directory is None:
            records = self._runtime.records("commands")
            self._directory = ServiceRegistry(records, self._id, self._runtime.engine.now)
        return self._directory

    # -- serving

    def serve(self, served: CommandServer) -> None:
        """Take the commands of this name from now on."""
        command = served.command
        group = GroupSpec(GROUP, Retry(1_000_000, first=0.1), command.lease, None, "earliest")
        options = check_options("drop_newest", 1024, None, None, False, 30.0)
        declaration = HandlerSpec(
            command.name,
            partial(self._serve, served),
            ("message", "context"),
            True,
            (f"$command:{command.name}:request",),
            (),
            command.concurrency,
            options,
            group,
        )
        self._groups.add(declaration)
        cancels = msgspec.structs.replace(
            declaration,
            name=f"{command.name} (cancel)",
            function=self._cancel_here,
            wants=("message",),
            is_async=False,
            patterns=(f"$command:{command.name}:cancel",),
            concurrency=1,
            group=None,
        )
        self._runner.add(cancels)
        self.directory.add(command.name, command.once is not None)

    async def _serve(self, served: CommandServer, message: Message[Any], delivery: Context[Any]) -> None:
        command, headers = served.command, message.headers
        left = float(headers[DEADLINE]) - self._runtime.engine.now() if DEADLINE in headers else None
        inbox = headers.get(INBOX, "")
        content, id, key = message.content, message.id, message.key
        run = Invocation(command.name, content, id, key, left, self._runtime.hub, self._report, "", inbox)
        run._message = message
        run.cancelled = message.id in self._cancelled
        run.redelivered = delivery.attempt > 1
        self._runs[message.id] = run
        try:
            outcome = self._refused(served, run) or await self._given_up(served, run, delivery)
            if outcome is None:
                outcome = await self._carried_out(served, run)
            if not run.announced:
                again = delivery.attempt > 1
                try:
                    # For all who hear of it, be they in this process: what becomes of a command is one.
                    if outcome.error is None:
                        outcome = msgspec.structs.replace(outcome, result=served.sendable(outcome.result)[1])
                    size = len(to_json(outcome))
                except (TypeError, ValueError, RecursionError) as error:
                    outcome, size = served.unsendable(run, error), 0
                letters = await self._letters(run, outcome, size, to_all=again or not outcome.replayed)
                step = None if run.pace is None else run.pace.close()
                before = [] if step is None else self._steps(run, step)
                await self._append([*before, *letters])  # in this order
            self.inbox.settle(outcome, run.cause)
        except asyncio.CancelledError:
            if command.once is None and self._runtime.progress is not None:  # the hub closes
                await self._spare(run)
            raise
        finally:
            # What was leased too long comes again, maybe to this hub, while the first run of it ends.
            if self._runs.get(message.id) is run:
                del self._runs[message.id]
            if run.pace is not None:
                run.pace.close()

    async def _carried_out(self, served: CommandServer, run: Invocation) -> Outcome[Any]:
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # this one
        served.running += 1
        try:
            outcome = served.carry_out(run, task)
            return outcome if isinstance(outcome, Outcome) else await outcome
        finally:
            served.running -= 1
            run.task = None

    def _refused(self, served: CommandServer, run: Invocation) -> Outcome[Any] | None:
        """What becomes of a command that is not begun at all."""
        command = served.command
        try:
            digest = run.message.headers.get(DIGEST, "")
            run.content, run.fingerprint = self._desk.check(command.name, run.content, run.key, digest)
        except TelexError as error:
            return served.ended(run, refused(error, REFUSED))
        return None

    async def _given_up(self, served: CommandServer, run: Invocation, delivery: Context[Any]) -> Outcome[Any] | None:
        """What becomes of a command that does not run once and was begun too often. What comes for the first time is
        not counted: that would be a write more for each.
        """
        if served.command.once is not None:
            return None
        run.attempt = delivery.attempt
        if delivery.attempt == 1 or await self._restarts().count(run.id) < ATTEMPTS:
            return None
        text = f"it was begun as often as it may be, {ATTEMPTS} times, and its workers died or stalled"
        return served.ended(run, Failure("AttemptsExhausted", "attempts_exhausted", text))

    async def _spare(self, run: Invocation) -> None:
        try:
            await self._restarts().spare(run.id)
        except TelexError as error:
            logger.error("command %s %s counts as begun, though its worker was closed: %s", run.command, run.id, error)

    def _restarts(self) -> AttemptCounter:
        records = self._runtime.engine.records
        if records is None:
            raise AssertionError("what is served has a directory, and that is of records")
        return AttemptCounter(records)

    # -- telling

    async def _letters(
        self,
        run: Invocation,
        outcome: Outcome[Any],
        size: int,
        *,
        to_all: bool,
        tx: EngineOnceTransaction | None = None,
    ) -> list[Draft]:
        """The messages that tell of an outcome: to those who follow, and to its sender. What is too large for them is
        put aside, in ``tx`` if that is open: it may have the only pen.
        """
        told: Told = outcome
        records = self._runtime.engine.records
        if size > INLINE and records is not None:
            ref = f"{outcome.command} {outcome.id}"
            put = records.put if tx is None else tx.put
            await put(RESULTS, ref, to_json(outcome), 0, time() + KEPT)
            told = OutcomeRef(outcome.command, outcome.id, ref)
        topics = [f"$command:{outcome.command}:outcome"] if to_all and tells_all(outcome) else []
        topics += self._inbox_of(run)
        # An id of its own, so that what is told again after a crash is not told twice.
        return [self._letter(topic, told, f"{outcome.id}-{outcome.attempt}") for topic in topics]

    def _inbox_of(self, run: Invocation) -> list[str]:
        """Where the sender of a command waits, if that is not here."""
        return [f"$inbox:{run.reply}"] if run.reply and run.reply != self._id else []

    def _letter(self, topic: str, told: Told, id: str | None) -> Draft:
        return publisher_of(self._runtime.topic(topic)).draft(told, id, held=True)

    async def _append(self, letters: list[Draft]) -> None:
        store = self._runtime.engine.store
        if letters and store is not None:
            await store.append(letters)

    async def publish_in(self, run: Invocation, outcome: Outcome[Any], tx: EngineOnceTransaction) -> None:
        """Tell of an outcome when ``tx`` commits."""
        for letter in await self._letters(run, outcome, len(to_json(outcome)), to_all=True, tx=tx):
            await engine_of(tx.connection).append(letter)

    def _report(self, step: Progress) -> None:
        run = self._runs.get(step.id)
        if run is None:
            return
        self.inbox.tell(step)
        if run.pace is None:
            run.pace = ProgressThrottle(partial(self._publish_step, run))
        run.pace.tell(step)

    def _publish_step(self, run: Invocation, step: Progress) -> None:
        self._chore(self._append(self._steps(run, step)))

    def _steps(self, run: Invocation, step: Progress) -> list[Draft]:
        topics = [f"$command:{step.command}:progress", *self._inbox_of(run)]
        return [self._letter(topic, step, None) for topic in topics]

    def _chore(self, doing: Any) -> None:
        chore = start_task(doing, name="telex tells of a command")
        self._chores.add(chore)
        chore.add_done_callback(self._done)

    def _done(self, chore: asyncio.Task[None]) -> None:
        self._chores.discard(chore)
        if not chore.cancelled() and chore.exception() is not None:
            logger.error("what a command came to was not told: %s", chore.exception())

    # -- sending

    async def send(
        self,
        name: str,
        content: object,
        key: str | None,
        limit: float | None,
        duplicate: Duplicate,
        gives: Content[Any] | None,
        *,
        wanted: bool,
    ) -> Ticket[Any]:
        """Keep a command, to be carried out by whoever serves it. Raises what `Hub.send` raises."""
        deadline = None if limit is None else self._runtime.engine.now() + limit
        digest = "" if key is None else _digest_of(content)
        content, mark = self._desk.check(name, content, key, digest)
        served = self._desk.served.get(name)
        once: bool | None
        if served is None:
            once = await self.directory.find(name, asyncio.get_running_loop().time())
            if once is None and wanted:
                raise NoHandler(check_command(name))
            if once and key is None:
                raise BadOption("key", None, f"{name!r} runs once for each key: say which one this is, key='...'")
        else:
            once = served.command.once is not None
            if gives is None:
                gives = served.command.gives
        if key is None:
            return await self._publish(name, content, None, deadline, gives, digest)
        check_key(key)
        if served is None and digest:
            mark = fingerprint_of(name, 1, digest)
        replayed = await self._replayed(served, name, key, mark, duplicate, gives)
        if replayed is not None:
            return replayed
        if not once or not mark:
            return await self._publish(name, content, key, deadline, gives, digest)
        if duplicate == "reject" and self.inbox.underway.has(name, key, mark, self._runtime.engine.now()):
            raise InProgress(name, key)
        sent = PendingRequest(mark, deadline)
        self.inbox.underway.begin(name, key, sent)
        try:
            ticket = await self._publish(name, content, key, deadline, gives, digest)
        except BaseException:  # a cancelled one may have been kept, and nothing is known of it
            self.inbox.underway.end(name, key, sent)
            raise
        sent.id = ticket.id
        return ticket

    async def _publish(
        self,
        name: str,
        content: object,
        key: str | None,
        deadline: float | None,
        gives: Content[Any] | None,
        digest: str,
    ) -> Ticket[Any]:
        await self.inbox.open()
        if name not in self._joined:
            await self._join(name)
        headers = {INBOX: self._id}
        if deadline is not None:
            headers[DEADLINE] = repr(deadline)
        if digest:
            headers[DIGEST] = digest
        topic = self._runtime.topic(f"$command:{name}:request")
        served = self._desk.served.get(name)
        takes = None if served is None else served.command.takes
        if takes is None:
            message = await topic.publish(content, headers=headers, key=key)
        else:
            takes.hold(content, name)
            message = await publisher_of(topic).publish_held(content, headers=headers, key=key)
        ticket: Ticket[Any] = Ticket(name, message.id, key, self._cancel_there, gives)
        self.inbox.add(ticket)
        return ticket

    async def _join(self, name: str) -> None:
        """Have the group of the workers begin before the first command: then none is forgotten until one has come."""
        topic = self._runtime.topic(f"$command:{name}:request")
        await self._runtime.groups("commands").join(GROUP, topic.id, "earliest", publisher_of(topic).log)
        self._joined.add(name)

    async def _replayed(
        self,
        served: CommandServer | None,
        name: str,
        key: str,
        mark: str,
        duplicate: Duplicate,
        gives: Content[Any] | None,
    ) -> Ticket[Any] | None:
        """What was done before is answered from the record, and nothing is sent."""
        get: Get
        if served is None:
            if not mark or self._runtime.engine.records is None:
                return None
            get = self._runtime.engine.records.get
        elif served.claims is None:
            return None
        else:
            get = served.claims.store.get
        record = await get(f"once:{name}", key)
        if record is None:
            return None
        entry = decode(record.value)
        if entry.ended and entry.expires <= time():
            return None
        if entry.fingerprint != mark:
            if served is None:
                return None  # how the handler reads the content is not known here
            raise KeyConflict(name, key)
        if not entry.ended:
            if duplicate == "reject" and entry.state == "running":
                self._desk.sightings.check(name, key, entry.lease, record.revision, monotonic())
            return None
        ticket: Ticket[Any] = Ticket(name, f"{self._id}-{key}", key, self._cancel_there, gives)
        ticket.settle(await outcome_of(entry, name, ticket.id, key, get, None), from_outside=True)
        if served is not None:
            served.tally.replayed += 1
        return ticket

    async def _cancel_there(self, ticket: Ticket[Any]) -> bool:
        await self._runtime.topic(f"$command:{ticket.command}:cancel").publish({"id": ticket.id})
        return True

    def _cancel_here(self, message: Message[Any]) -> None:
        content = message.content
        id = content.get("id") if isinstance(content, dict) else None
        if not isinstance(id, str):
            return
        run = self._runs.get(id)
        if run is not None:
            run.cancel()
            return
        self._cancelled[id] = None
        if len(self._cancelled) > REMEMBERED:
            self._cancelled.popitem(last=False)

    async def close(self, error: Closed) -> None:
        """Nothing is sent, served or heard any more. Who waits is told ``error``."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await self.inbox.close(error)
        if self._directory is not None:
            await self._directory.close()
        await self.inbox.remove()


def _digest_of(content: object) -> str:
    try:
        return digest_of(content)
    except (TypeError, ValueError, RecursionError):
        return ""  # publishing says what is wrong with it
