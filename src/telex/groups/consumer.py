"""`GroupConsumer`: fetches the deliveries of a group for the handlers of this process."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from typing import TYPE_CHECKING, Any

import msgspec

from telex.engines.contract.groups import Delivery, Fetched, Groups, Unreadable
from telex.errors import Closed, Reject, reason_of
from telex.groups.acks import finished
from telex.groups.batches import BatchExecutor
from telex.groups.executor import DeliveryExecutor
from telex.groups.leased import LeasedDeliveries
from telex.groups.limited import LimitedExecutor, WaitingExecutor
from telex.handlers.dispatch import TypeDispatcher
from telex.handlers.spec import GroupSpec, HandlerSpec
from telex.handlers.statistics import HandlerStatistics
from telex.limits.gate import Gate
from telex.process.supervision import is_end
from telex.process.tasks import LastingTask
from telex.process.waiters import Waiter
from telex.topics.topic import publisher_of

if TYPE_CHECKING:
    from telex.handlers.origins import Origins
    from telex.log.log import Log
    from telex.message import Message
    from telex.runtime import Runtime
    from telex.topics.publisher import Publisher

logger: logging.Logger = logging.getLogger("telex.handlers")
MAX_PREFETCH, MAX_LONG_PREFETCH, LONG_SECONDS = 1024, 64, 0.05
"""The largest prefetch: deliveries that are fetched beyond those that handlers can take at once. The second one holds
after a fetch of more seconds: the messages may be large, and the process has to hold them.
"""
QUICK_SECONDS, SLOW_SECONDS = 0.01, 0.1
"""Seconds between two full fetches: below the first, the prefetch grows; above the second, it shrinks."""
QUICK_FETCHES, SLOW_FETCHES = 3, 30
"""The same bounds as multiples of the time of one fetch, where that is longer: the engine may be far away."""
WAIT_SECONDS = 3600.0
"""The seconds for which one fetch waits for messages."""


class GroupConsumer:
    """A consumer of one group on one pattern, for one handler, or for all typed handlers of a hub.

    Invariant: every delivery that is leased to it is ready for one of its executors, or running there.
    """

    def __init__(self, group: GroupSpec, pattern: str, runtime: Runtime, origins: Origins, *, typed: bool) -> None:
        self.executors: list[DeliveryExecutor] = []
        self.leased: LeasedDeliveries = LeasedDeliveries(
            group.name, pattern, runtime, origins, self._moved, self._lease_lost, self._settled_late
        )
        self._group = group.name
        self._pattern = pattern
        self._start = group.start
        self._groups: Groups = runtime.groups("groups")
        self._runtime = runtime
        self._origins = origins
        self._dispatcher: TypeDispatcher[DeliveryExecutor] | None = TypeDispatcher() if typed else None
        self._rejecting: DeliveryExecutor | None = None
        self._dead_letter_topics: set[str] = set()  # its own dead-letter topics, whose messages the group skips
        self._owner = f"{runtime.address}-{random.getrandbits(32):08x}"  # a name for people
        self._gates: list[Gate[Delivery]] = []  # of handlers whose waiting messages do not count
        self._concurrency = 0
        self._prefetch = 0
        self._fetched_at = 0.0
        self._has_grown = False  # True when the prefetch has grown since the last full fetch
        self._waiter: Waiter | None = None  # of `_fetch`
        self._is_full = False  # True while `_fetch` waits for room
        self._is_joined = False
        self._publisher: Publisher | None = None  # None where the engine takes nothing from a local log
        self._fetcher: asyncio.Task[None] | None = None
        self._asked_at = 0.0  # the time of the loop at which the last fetch began
        self._is_asking = False  # True while `_fetch` waits for the engine
        self._is_interrupted = False
        self._leaving: asyncio.Event | None = None  # set after each settlement while it leaves

    def add(self, spec: HandlerSpec, group: GroupSpec, gate: Gate[Delivery] | None = None) -> None:
        """Add a handler, for which deliveries are fetched. Its calls pass ``gate``."""
        executor: DeliveryExecutor
        if gate is not None:
            executor = (WaitingExecutor if spec.limit is None else LimitedExecutor)(spec, group, self.leased, gate)
            self._gates += [gate] if gate.is_keyed else []
        else:
            executor = (DeliveryExecutor if spec.batch is None else BatchExecutor)(spec, group, self.leased)
        self.executors.append(executor)
        self._concurrency += spec.concurrency * (1 if spec.batch is None else spec.batch.size)
        if group.lease > self.leased.lease_seconds:
            self.leased.lease_seconds = group.lease
            self._interrupt()
        self._dead_letter_topics.add(executor.dead_letters.topic)
        if self._dispatcher is not None:
            self._dispatcher.add(executor)
        if self._fetcher is None:
            if self._origins.needed:
                self._log()
            self._begin_fetching()

    def _log(self) -> Log:
        """Return the local log of its topic or pattern, for engines that take from it."""
        publisher = self._publisher
        if publisher is None:  # referenced, so that the hub keeps it
            self._publisher = publisher = publisher_of(self._runtime.topic(self._pattern))
            self._origins.read(publisher, self, self._group)
        return publisher.log

    def _begin_fetching(self) -> None:
        name = f"telex group {self._group} {self.executors[0].spec.name}"
        loop, context = asyncio.get_running_loop(), self._runtime.context.copy()
        self._is_asking = self._is_interrupted = False
        self._fetcher = task = LastingTask(self._fetch(), loop=loop, name=name, context=context)
        task.add_done_callback(self._fetching_ended)

    def _interrupt(self) -> None:
        """Cancel the waiting fetch, so that a new one begins."""
        if self._is_asking and self._fetcher is not None and not self._is_interrupted:
            self._is_interrupted = True
            self._fetcher.cancel()

    def _fetching_ended(self, task: LastingTask) -> None:
        if task.failed and not (self.leased.closing or task.over):
            where = (self._group, self._pattern)
            logger.error("group %s on %s was interrupted, and is restarted", *where, exc_info=task.error)
            self._begin_fetching()

    @property
    def takes_from(self) -> tuple[str, str]:
        """The name of the group, and the pattern."""
        return self._group, self._pattern

    @property
    def idle_since(self) -> float:
        """The time of the loop since when it waits in the engine for messages; infinite while it does not."""
        return self._asked_at if self._is_asking else math.inf

    @property
    def unhandled(self) -> int:
        """The number of messages that none of its typed handlers takes."""
        return 0 if self._rejecting is None else self._rejecting.failed

    def statistics(self) -> list[HandlerStatistics]:
        """Return the counts of its handlers now."""
        return [executor.statistics() for executor in self.executors]

    # -- closing

    def drain(self) -> None:
        """Stop fetching, and return the deliveries that no call has begun to the group."""
        self.leased.closing = True
        self._interrupt()
        for executor in (*self.executors, *(() if self._rejecting is None else (self._rejecting,))):
            for delivery in executor.unbegun():
                self.leased.give_back(delivery)
        if self._waiter is not None:
            self._waiter.wake()

    async def finish(self) -> None:
        """Return every unsettled delivery to the group. Called after the calls have ended."""
        self.drain()
        if self._fetcher is not None:
            await finished(self._fetcher)
        await self.leased.finish()
        if self._publisher is not None:
            self._origins.leave(self._publisher, self)

    async def leave(self) -> None:
        """Stop fetching, and finish when all deliveries are settled. Cancelled, the unsettled deliveries stay
        leased.
        """
        self.drain()
        self._leaving = asyncio.Event()
        while not self.leased.idle:
            self._leaving.clear()
            await self._leaving.wait()
        await self.finish()

    # -- called by `LeasedDeliveries`

    def _moved(self) -> None:
        if self._is_full and self._waiter is not None and self._room() > self._prefetch // 2:
            self._is_full = False
            self._waiter.wake()
        if self._leaving is not None:
            self._leaving.set()
        self._runtime.moved()

    def _lease_lost(self, delivery: Delivery) -> None:
        for executor in self.executors:
            executor.lose(delivery)

    def _settled_late(self, delivery: Delivery) -> None:
        if delivery.message.topic not in self._dead_letter_topics:
            self._executor_for(delivery.message).note_late(delivery)

    # -- fetching

    async def _fetch(self) -> None:
        self._waiter = waiter = Waiter(asyncio.get_running_loop())
        time = asyncio.get_running_loop().time
        leased, groups, name = self.leased, self._groups, (self._group, self._pattern)
        while not leased.closing:
            room = self._room()
            try:
                if room <= self._prefetch // 2:
                    self._is_full = True
                    await self._wait(waiter, None)
                    continue
                if not self._is_joined:
                    await groups.join(*name, self._start, self._log)
                    self._is_joined = True
                    if leased.closing:
                        return
                self._asked_at = asked = time()
                self._is_asking = True
                fetched = await groups.fetch(*name, room, leased.lease_seconds, self._owner, WAIT_SECONDS)
                self._is_asking = False
                self._adapt_prefetch(fetched, room, asked, time())
                self._take(fetched)
            except Closed:
                return
            except BaseException as error:  # any error may be temporary
                self._is_asking = False
                if self._was_interrupted(error):
                    continue
                if is_end(error):
                    raise
                if self._runtime.topics.ended:
                    return
                if self._runtime.connection.connected:  # else a lost connection was logged once
                    logger.error("group %s on %s cannot fetch: %s", *name, reason_of(error))
                await self._wait(waiter, self._runtime.bounds.claim_retry_seconds)

    def _was_interrupted(self, error: BaseException) -> bool:
        """Return true when only `_interrupt` has cancelled the fetch."""
        interrupted, self._is_interrupted = self._is_interrupted, False
        task = asyncio.current_task()
        if not interrupted or task is None or not isinstance(error, asyncio.CancelledError):
            return False
        return task.uncancel() == 0

    def _room(self) -> int:
        """Return the number of deliveries that may be fetched now. Those that wait for the limit of their key or of
        their type do not count: the next messages may have others.
        """
        leased = self.leased
        room = self._concurrency + self._prefetch - len(leased.by_token) - leased.acks.pending
        return room + sum([gate.lines.blocked for gate in self._gates]) if self._gates else room

    async def _wait(self, waiter: Waiter, timeout: float | None) -> None:
        if self.leased.closing:
            return
        timer = None if timeout is None else asyncio.get_running_loop().call_later(timeout, waiter.wake)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()

    def _take(self, fetched: Fetched) -> None:
        """Pass the fetched deliveries to the executors."""
        leased, only = self.leased, self.executors[0] if self._dispatcher is None else None
        leased.lag = fetched.lag
        for delivery in (*fetched.deliveries, *fetched.unreadable):
            leased.by_token[delivery.token] = delivery
            message = delivery.message
            if leased.closing:
                leased.give_back(delivery)
            elif message.topic in self._dead_letter_topics:
                leased.settle(delivery, "ack")
            else:
                damaged = message.content.__class__ is Unreadable
                executor = self._executor_for(message) if only is None or damaged else only
                executor.ready.append(delivery)
                executor.begin()
        if leased.by_token and not leased.renewing:
            leased.begin_renewing()

    def _adapt_prefetch(self, fetched: Fetched, room: int, asked: float, now: float) -> None:
        """Adapt the prefetch: it grows while handlers wait for full fetches. ``asked`` is the time of the fetch."""
        if fetched.waited:
            self._prefetch //= 2
        elif len(fetched.deliveries) == room:
            since, took, self._fetched_at = now - self._fetched_at, now - asked, now
            grown, self._has_grown = self._has_grown, False
            if grown and len(self.leased.by_token) > room:
                return  # this fetch has filled the room of the growth; the handlers have had more messages
            if since < max(QUICK_SECONDS, QUICK_FETCHES * took):
                most = MAX_PREFETCH if took < LONG_SECONDS else MAX_LONG_PREFETCH
                self._prefetch = min(most, 2 * self._prefetch + 1)
                self._has_grown = True
            elif since > max(SLOW_SECONDS, SLOW_FETCHES * took):
                self._prefetch //= 2

    def _executor_for(self, message: Message[Any]) -> DeliveryExecutor:
        cls = message.content.__class__
        if cls is Unreadable:
            return self._rejecting_executor()
        if self._dispatcher is None:
            return self.executors[0]
        takers = self._dispatcher.takers(cls)
        return next(iter(takers)) if takers else self._rejecting_executor()

    def _rejecting_executor(self) -> DeliveryExecutor:
        """Return the executor that rejects messages that no handler takes."""
        if self._rejecting is None:
            first = self.executors[0]
            spec = msgspec.structs.replace(
                first.spec,
                name="(nobody)",
                function=_reject,
                wants=("message",),
                is_async=False,
                types=(),
                concurrency=1,
                middleware=(),
                takes=None,
                batch=None,
                limit=None,
            )
            self._rejecting = DeliveryExecutor(spec, first.group, self.leased)
        return self._rejecting


def _reject(message: Message[Any]) -> None:
    if isinstance(message.content, Unreadable):
        raise Reject(f"its content is damaged and cannot be read: {message.content.problem}")
    raise Reject(f"no handler takes {message.content.__class__.__name__}")
