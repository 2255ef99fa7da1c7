"""`ReplyInbox`: the topic on which a hub gets the outcomes of its commands, and the pending outcomes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from telex.codec.content import from_json
from telex.commands.outcome import Outcome, OutcomeRef, Progress, Reply, unrun
from telex.commands.ticket import PendingOutcome
from telex.commands.transports.pending import PendingRequests
from telex.commands.transports.services import ServiceRegistry
from telex.engines.contract.store import Store
from telex.errors import Closed, EngineFailed, TelexError
from telex.log.log import Retention
from telex.message import Lost
from telex.once.machine import Failure
from telex.once.results import RESULTS_BUCKET
from telex.process.supervision import is_end, keep_doing
from telex.process.tasks import start_task
from telex.runtime import Runtime
from telex.topics.subscription import AnySubscription, enter

logger: logging.Logger = logging.getLogger("telex.commands")
MAX_UNREAD_SECONDS = 3600.0
"""The age up to which an inbox keeps messages for a hub that does not read."""
SWEEP_SECONDS = 60.0
"""The pause before the next search for inboxes of killed hubs, after an error."""
MAX_EARLY_OUTCOMES = 1000
"""The number of outcomes that are kept for commands whose sending has not returned."""
MAX_REF_READS, REF_READ_PAUSE_SECONDS = 50, 0.1
"""The number of reads of a large outcome while the engine fails, and the pause between two reads."""


class ReplyInbox:
    """The topic ``$inbox:HUB``. The hub reads it from its first sent command until it closes."""

    def __init__(self, runtime: Runtime, store: Store, id: str, registry: Callable[[], ServiceRegistry]) -> None:
        self.requests: PendingRequests = PendingRequests()
        self._runtime = runtime
        self._store = store
        self._id = id
        self._registry = registry
        # Weak: no one needs the outcome of a ticket that its sender has dropped.
        self._pending: WeakValueDictionary[str, PendingOutcome[Any]] = WeakValueDictionary()
        self._sending = 0
        self._early: dict[str, tuple[Outcome[Any], BaseException | None, bool]] = {}  # see `sending`
        self._opening = asyncio.Lock()
        self._closed: Closed | None = None  # the reason why no outcome will come
        self._reading: asyncio.Task[None] | None = None
        self.sweeping: asyncio.Task[None] | None = None

    # -- pending outcomes

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Keep outcomes of unknown commands until `add`: the engine gives a command its id, and a worker may have ended
        the command before this hub learns the id, as after a lost connection.
        """
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1
            if not self._sending:
                self._early.clear()

    def add(self, pending: PendingOutcome[Any]) -> None:
        """Add the pending outcome of a command that was sent. The hub may have been closed while the command was
        stored.
        """
        if pending.id in self._early:
            outcome, cause, decode = self._early.pop(pending.id)
            pending.settle(outcome, cause, decode=decode)
            return
        self._pending[pending.id] = pending
        if self._closed is not None:
            pending.close(self._closed)

    def get(self, id: str) -> PendingOutcome[Any] | None:
        """Return the outcome that this hub waits for; None for another command."""
        return self._pending.get(id)

    def report(self, step: Progress) -> None:
        """Give progress to its sender, if this hub sent the command."""
        pending = self._pending.get(step.id)
        if pending is not None:
            pending.report(step)

    def settle(self, outcome: Outcome[Any], cause: BaseException | None, *, decode: bool = False) -> None:
        """Give an outcome to its sender, if this hub sent the command. ``decode``: it comes from another process."""
        self.requests.settle(outcome)
        pending = self._pending.pop(outcome.id, None)
        if pending is not None:
            pending.settle(outcome, cause, decode=decode)
        elif self._sending:
            self._early[outcome.id] = outcome, cause, decode
            if len(self._early) > MAX_EARLY_OUTCOMES:
                del self._early[next(iter(self._early))]

    # -- messages

    async def open(self) -> None:
        """Start reading, unless it was started before. Raises `EngineFailed`."""
        if self._reading is not None:
            return
        async with self._opening:
            if self._reading is not None:
                return
            registry = self._registry()
            # The age bounds an inbox, not a number of messages: a sender may be slow, or its machine asleep.
            await self._store.retain([("$inbox:*", Retention(None, MAX_UNREAD_SECONDS, None))])
            await registry.beat()
            registry.begin()
            subscription = self._runtime.topic(f"$inbox:{self._id}").subscribe(overflow="catch_up", report_lost=True)
            enter(subscription)
            self._reading = start_task(self._read(subscription), name="telex inbox", context=Context())
        sweeping = keep_doing("the inboxes of hubs that were killed were left", self._sweep, pause=SWEEP_SECONDS)
        self.sweeping = start_task(sweeping, name="telex sweeps inboxes", context=Context())

    async def _sweep(self) -> None:
        """Remove the inboxes of hubs that were killed."""
        # The inboxes are listed first: a hub that opens now writes its heartbeat before it has its inbox.
        inboxes = await self._runtime.topics.names("$inbox:*")
        alive = await self._registry().alive()
        for inbox in inboxes:
            if inbox.partition(":")[2] not in alive:
                await self._runtime.topics.remove(inbox)

    async def _read(self, subscription: AnySubscription[Any, Any]) -> None:
        try:
            await keep_doing("reading the reply inbox of this hub", partial(self._take_all, subscription))
        finally:
            await subscription.aclose()
        self._close_all(Closed("the ticket", "the engine of its hub has failed; send a command with a key again"))

    async def _take_all(self, subscription: AnySubscription[Any, Any]) -> None:
        async for message in subscription:
            if isinstance(message, Lost):
                self.lose_all(message)
                continue
            try:
                await self.take(message.content)
            except BaseException as error:  # the next message may be readable
                if is_end(error):
                    raise
                logger.error("a message in the inbox of this hub cannot be read", exc_info=error)

    async def take(self, content: object) -> None:
        """Handle the content of one message. Raises `msgspec.ValidationError`."""
        reply = await self.read(content)
        if isinstance(reply, Progress):
            self.report(reply)
        elif reply is not None:
            self.settle(reply, None, decode=reply is not content)

    def lose_all(self, lost: Lost) -> None:
        """Settle all pending outcomes with an error, since any of them may be among the lost messages."""
        count = lost.count or "all"  # the inbox was removed
        text = f"{count} outcomes were lost, as this sender read too slowly; send commands with a key again"
        failure = Failure("OutcomeLost", "outcome_lost", text, final=False)
        self.requests.clear()
        for id, pending in list(self._pending.items()):
            pending.settle(unrun(pending.command, id, pending.key, failure))

    async def read(self, content: object) -> Outcome[Any] | Progress | None:
        """Return the reply in a message; read a large outcome from its record. Raises `msgspec.ValidationError`."""
        known = isinstance(content, (Outcome, Progress, OutcomeRef))
        reply: Reply = content if known else msgspec.convert(content, Reply)  # type: ignore[assignment]  # known
        return await self._record_of(reply) if isinstance(reply, OutcomeRef) else reply

    async def _record_of(self, reply: OutcomeRef) -> Outcome[Any]:
        records = self._runtime.records("commands")
        record = None
        for _ in range(MAX_REF_READS):
            try:
                record = await records.get(RESULTS_BUCKET, reply.ref)
                break
            except EngineFailed as error:
                logger.error("the outcome of command %s %s cannot be read yet: %s", reply.command, reply.id, error)
                await asyncio.sleep(REF_READ_PAUSE_SECONDS)
        if record is None:
            gone = Failure("ResultGone", "result_gone", "its outcome was deleted")
            return unrun(reply.command, reply.id, None, gone)
        return msgspec.convert(from_json(record.value), Outcome[Any])

    # -- closing

    async def close(self, error: Closed) -> None:
        """Stop reading. Pending outcomes raise ``error``."""
        self._close_all(error)
        self._pending.clear()
        tasks = [task for task in (self.sweeping, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _close_all(self, error: Closed) -> None:
        self._closed = error
        for pending in list(self._pending.values()):
            pending.close(error)

    async def remove(self) -> None:
        """Remove the topic, after the heartbeat of this hub was removed: no other hub writes to it any more."""
        if self._reading is None:
            return
        try:
            await self._store.remove(f"$inbox:{self._id}")
        except TelexError as problem:
            logger.error("the reply inbox of a closed hub was not removed: %s", problem)
