"""`ReplyInbox`: where the outcomes of the commands that one hub has sent come in, and who waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import msgspec

from telex.codec.content import from_json
from telex.commands.outcome import Outcome, OutcomeRef, Progress, Told
from telex.commands.ticket import Ticket
from telex.commands.transports.pending import PendingRequests
from telex.errors import Closed, EngineFailed, TelexError
from telex.log.log import Retention
from telex.message import Lost
from telex.once.machine import Failure
from telex.once.results import RESULTS
from telex.process.supervision import is_end, keep_doing
from telex.process.tasks import start_task
from telex.topics.subscription import AnySubscription, enter

if TYPE_CHECKING:
    from telex.commands.transports.services import ServiceRegistry
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.commands")
UNREAD = 3600.0
"""Seconds for which a sender may read nothing of what comes to its inbox."""
SWEEP = 60.0
"""Seconds until it is tried again to remove the inboxes of hubs that were killed."""
TRIES, PAUSE = 50, 0.1
"""How often, and every how many seconds, an outcome that is put aside is asked for while the engine fails."""


class ReplyInbox:
    """The topic ``$inbox:HUB``, read from the first command that is sent until the hub closes."""

    def __init__(self, runtime: Runtime, id: str, directory: Callable[[], ServiceRegistry]) -> None:
        self.underway: PendingRequests = PendingRequests()
        self._runtime = runtime
        self._id = id
        self._directory = directory
        # A ticket that its sender has let go of need not hear anything.
        self._tickets: WeakValueDictionary[str, Ticket[Any]] = WeakValueDictionary()
        self._opening = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    # -- who waits

    def add(self, ticket: Ticket[Any]) -> None:
        """One more waits for an outcome."""
        self._tickets[ticket.id] = ticket

    def tell(self, step: Progress) -> None:
        """How far a command is is known here."""
        ticket = self._tickets.get(step.id)
        if ticket is not None:
            ticket.tell(step)

    def settle(self, outcome: Outcome[Any], cause: BaseException | None, *, from_outside: bool = False) -> None:
        """The outcome of a command is known here."""
        self.underway.settle(outcome)
        ticket = self._tickets.pop(outcome.id, None)
        if ticket is not None:
            ticket.settle(outcome, cause, from_outside=from_outside)

    # -- what comes

    async def open(self) -> None:
        """Begin to read, if it is not read yet. Raises what the engine raises."""
        if self._reading is not None:
            return
        async with self._opening:
            if self._reading is not None:
                return
            directory, store = self._directory(), self._runtime.engine.store
            if store is not None:
                # What a sender has not read is not bounded by a number: it may be slow, or asleep.
                await store.retain([("$inbox:*", Retention(None, UNREAD, None))])
            await directory.sign()
            directory.begin()
            subscription = self._runtime.topic(f"$inbox:{self._id}").subscribe(overflow="catch_up", report_lost=True)
            enter(subscription)
            self._reading = start_task(self._read(subscription), name="telex inbox")
        sweeping = keep_doing("the inboxes of hubs that were killed were left", self._sweep, pause=SWEEP)
        self._sweeping = start_task(sweeping, name="telex sweeps inboxes")

    async def _sweep(self) -> None:
        """Remove the inboxes of hubs that were killed."""
        # In this order: a hub that comes in between is in the second list.
        inboxes = self._runtime.topics.names("$inbox:*")
        there = await self._directory().alive()
        for inbox in inboxes:
            if inbox.partition(":")[2] not in there:
                await self._runtime.topics.remove(inbox)

    async def _read(self, subscription: AnySubscription[Any, Any]) -> None:
        try:
            await keep_doing("the inbox of this hub is not read", partial(self._hear_all, subscription))
        finally:
            await subscription.aclose()
        error = Closed("the ticket", "the engine of its hub has failed; send a command with a key again to be told")
        for ticket in list(self._tickets.values()):
            ticket.close(error)

    async def _hear_all(self, subscription: AnySubscription[Any, Any]) -> None:
        async for message in subscription:
            if isinstance(message, Lost):
                self._lose_all(message)
                continue
            try:
                await self._hear(message.content)
            except BaseException as error:  # one letter that cannot be read is no reason to read no more
                if is_end(error):
                    raise
                logger.error("a letter to the inbox of this hub cannot be read", exc_info=error)

    async def _hear(self, content: object) -> None:
        told = await self.opened(content)
        if isinstance(told, Progress):
            self.tell(told)
        elif told is not None:
            self.settle(told, None, from_outside=told is not content)

    def _lose_all(self, lost: Lost) -> None:
        """Letters were not read while they were kept: whoever waits may wait for one of them, and is told."""
        text = (
            f"{lost.count} outcomes were lost to this sender, which did not read them in time; with a key, send again"
        )
        self.underway.clear()
        for id, ticket in list(self._tickets.items()):
            failure = Failure("OutcomeLost", "outcome_lost", text, final=False)
            ticket.settle(Outcome(ticket.command, id, ticket.key, None, failure, 0, datetime.now(UTC)))

    async def opened(self, content: object) -> Outcome[Any] | Progress | None:
        """What was told, from what came. None for what is not kept any more."""
        told: Told = content if isinstance(content, (Outcome, Progress, OutcomeRef)) else msgspec.convert(content, Told)
        if not isinstance(told, OutcomeRef):
            return told
        records = self._runtime.engine.records
        for _ in range(TRIES):
            try:
                record = None if records is None else await records.get(RESULTS, told.ref)
                break
            except EngineFailed as error:
                logger.error("the outcome of command %s %s cannot be read yet: %s", told.command, told.id, error)
                await asyncio.sleep(PAUSE)
        else:
            record = None
        if record is None:
            gone = Failure("ResultGone", "result_gone", "its outcome is not kept any more")
            return Outcome(told.command, told.id, None, None, gone, 0, datetime.now(UTC))
        return msgspec.convert(from_json(record.value), Outcome[Any])

    async def close(self, error: Closed) -> None:
        """Hear no more. Who waits is told ``error``."""
        for ticket in list(self._tickets.values()):
            ticket.close(error)
        self._tickets.clear()
        tasks = [task for task in (self._sweeping, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def remove(self) -> None:
        """After all of this hub has ended, its directory too: nobody writes to it any more."""
        store = self._runtime.engine.store
        if self._reading is None or store is None:
            return
        try:
            await store.remove(f"$inbox:{self._id}")
        except TelexError as problem:
            logger.error("the inbox of a hub that is closed was left: %s", problem)
