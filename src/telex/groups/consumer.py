"""`GroupConsumer`: claims the deliveries of a group for the handlers of this process."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import msgspec

from telex.engines.contract.groups import Claimed, Delivery, Groups, Unreadable
from telex.errors import Closed, Reject
from telex.groups.acks import finished
from telex.groups.executor import DeliveryExecutor
from telex.groups.leased import LeasedDeliveries
from telex.handlers.dispatch import TypeDispatcher
from telex.handlers.spec import GroupSpec, HandlerSpec
from telex.handlers.statistics import HandlerStatistics
from telex.process.supervision import describe, is_end
from telex.process.tasks import LastingTask
from telex.topics.topic import publisher_of
from telex.topics.waiters import Waiter

if TYPE_CHECKING:
    from telex.handlers.origins import Origins
    from telex.message import Message
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.handlers")
MAX_PREFETCH = 512
"""The largest prefetch: deliveries that are claimed beyond those that handlers can take at once."""
QUICK_SECONDS, SLOW_SECONDS = 0.01, 0.1
"""Seconds between two full claims: below the first, the prefetch grows; above the second, it shrinks."""
QUICK_CLAIMS, SLOW_CLAIMS = 3, 30
"""The same bounds as multiples of the time of one claim, where that is longer: the engine may be far away."""
MAX_WAIT_SECONDS = 3600.0
"""The seconds after which a waiting consumer claims anyway, since the clock of the machine may be set."""


class GroupConsumer:
    """A consumer of one group on one pattern, for one handler, or for all typed handlers of a hub.

    Invariant: every delivery that is leased to it is ready for one of its executors, or running there.
    """

    def __init__(self, group: GroupSpec, pattern: str, runtime: Runtime, origins: Origins, *, typed: bool) -> None:
        self.executors: list[DeliveryExecutor] = []
        self.leased: LeasedDeliveries = LeasedDeliveries(
            group.name, pattern, runtime, origins, self._moved, self._lease_lost
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
        self._clock = runtime.engine.now
        self._concurrency = 0
        self._prefetch = 0
        self._claimed_at = 0.0
        self._waiter: Waiter | None = None  # of `_claim`
        self._is_full = False  # True while `_claim` waits for room
        self._publisher = publisher_of(runtime.topic(pattern))  # referenced, so that the hub keeps the topic
        self._joined = False
        self._claimer: asyncio.Task[None] | None = None
        self._leaving: asyncio.Event | None = None  # set after each settlement while the consumer leaves

    def add(self, spec: HandlerSpec, group: GroupSpec) -> None:
        """Add a handler, for which deliveries are claimed."""
        executor = DeliveryExecutor(spec, group, self.leased, self._runtime, self._origins)
        self.executors.append(executor)
        self._concurrency += spec.concurrency
        self.leased.lease_seconds = max(self.leased.lease_seconds, group.lease)
        self._dead_letter_topics.add(executor.dead_letters.topic)
        if self._dispatcher is not None:
            self._dispatcher.add(executor)
        if self._claimer is None:
            self._origins.read(self._publisher, self, self._group)
            self._begin_claiming()

    def _begin_claiming(self) -> None:
        name = f"telex group {self._group} {self.executors[0].spec.name}"
        loop, context = asyncio.get_running_loop(), self._runtime.context.copy()
        self._claimer = task = LastingTask(self._claim(), loop=loop, name=name, context=context)
        task.add_done_callback(self._claiming_ended)

    def _claiming_ended(self, task: LastingTask) -> None:
        if task.failed and not (self.leased.closing or task.over):
            where = (self._group, self._pattern)
            logger.error("group %s on %s was interrupted, and is restarted", *where, exc_info=task.error)
            self._begin_claiming()

    @property
    def takes_from(self) -> tuple[str, str]:
        """The name of the group, and the pattern."""
        return self._group, self._pattern

    @property
    def unhandled(self) -> int:
        """The number of messages that none of its typed handlers takes."""
        return 0 if self._rejecting is None else self._rejecting.failed

    def statistics(self) -> list[HandlerStatistics]:
        """Return the counts of its handlers now."""
        return [executor.statistics() for executor in self.executors]

    # -- closing

    def drain(self) -> None:
        """Stop claiming, and return the deliveries that no call has begun to the group."""
        self.leased.closing = True
        for executor in (*self.executors, *(() if self._rejecting is None else (self._rejecting,))):
            while executor.ready:
                self.leased.give_back(executor.ready.popleft())
        if self._waiter is not None:
            self._waiter.wake()

    async def finish(self) -> None:
        """Return every unsettled delivery to the group. Called after the calls have ended."""
        self.drain()
        if self._claimer is not None:
            await finished(self._claimer)  # not cancelled: the deliveries of a running claim are returned
        await self.leased.finish()
        self._origins.leave(self._publisher, self)

    async def leave(self) -> None:
        """Stop claiming, and finish when all deliveries are settled. Cancelled, the unsettled deliveries stay
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

    # -- claiming

    async def _claim(self) -> None:
        self._waiter = waiter = Waiter(asyncio.get_running_loop())
        while not self.leased.closing:
            try:
                room = self._room()
                if room > self._prefetch // 2:
                    await self._claim_once(waiter, room)
                else:
                    self._is_full = True
                    await self._wait(waiter, None)
            except Closed:
                return
            except BaseException as error:  # any error may be temporary
                if is_end(error):
                    raise
                if self._runtime.topics.ended:
                    return
                if self._runtime.connection.connected:  # else a lost connection was logged once
                    logger.error("group %s on %s cannot claim: %s", self._group, self._pattern, describe(error))
                await self._wait(waiter, self._runtime.bounds.claim_retry_seconds)

    def _room(self) -> int:
        """Return the number of deliveries that may be claimed now."""
        leased = self.leased
        return self._concurrency + self._prefetch - len(leased.by_token) - leased.acks.pending

    async def _claim_once(self, waiter: Waiter, room: int) -> None:
        """Claim at most ``room`` deliveries. If there are none, wait."""
        if not self._joined:
            await self._groups.join(self._group, self._pattern, self._start, self._publisher.log)
            self._joined = True
        log = self._publisher.log
        # The waiter is registered before the claim, so that no message in between is missed.
        log.observer.waiters[waiter] = None
        try:
            lease, now = self.leased.lease_seconds, self._clock()
            asked = asyncio.get_running_loop().time()
            claimed = await self._groups.claim(self._group, self._pattern, room, lease, self._owner, now)
            if len(claimed.deliveries) == room:
                self._adapt_prefetch(asked)
            self._take(claimed)
            found = claimed.deliveries or claimed.unreadable
            if not found and not self.leased.closing and waiter in log.observer.waiters:
                self._prefetch //= 2
                wait = MAX_WAIT_SECONDS if claimed.next_due is None else claimed.next_due - self._clock()
                await self._wait(waiter, min(max(wait, 0.0), MAX_WAIT_SECONDS))
        finally:
            log.observer.waiters.pop(waiter, None)

    async def _wait(self, waiter: Waiter, timeout: float | None) -> None:
        if self.leased.closing:
            return
        timer = None if timeout is None else asyncio.get_running_loop().call_later(timeout, waiter.wake)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()

    def _take(self, claimed: Claimed) -> None:
        """Pass the claimed deliveries to the executors."""
        leased, only = self.leased, self.executors[0] if self._dispatcher is None else None
        leased.lag = claimed.lag
        for delivery in (*claimed.deliveries, *claimed.unreadable):
            leased.by_token[delivery.token] = delivery
            message = delivery.message
            if leased.closing:
                leased.give_back(delivery)
            elif message.topic in self._dead_letter_topics:
                leased.settle(delivery, "ack")
            else:
                damaged = message.content.__class__ is Unreadable
                executor = self._executor_of(message) if only is None or damaged else only
                executor.ready.append(delivery)
                executor.begin()
        if leased.by_token and not leased.renewing:
            leased.begin_renewing()

    def _adapt_prefetch(self, asked: float) -> None:
        """Adapt the prefetch: it grows while handlers wait for full claims. ``asked`` is the time of the last claim."""
        now = asyncio.get_running_loop().time()
        since, self._claimed_at = now - self._claimed_at, now
        if since < max(QUICK_SECONDS, QUICK_CLAIMS * (now - asked)):
            self._prefetch = min(MAX_PREFETCH, 2 * self._prefetch + 1)
        elif since > max(SLOW_SECONDS, SLOW_CLAIMS * (now - asked)):
            self._prefetch //= 2

    def _executor_of(self, message: Message[Any]) -> DeliveryExecutor:
        cls = message.content.__class__
        takers = () if cls is Unreadable or self._dispatcher is None else self._dispatcher.takers(cls)
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
            )
            self._rejecting = DeliveryExecutor(spec, first.group, self.leased, self._runtime, self._origins)
        return self._rejecting


def _reject(message: Message[Any]) -> None:
    if isinstance(message.content, Unreadable):
        raise Reject(f"its content is damaged and cannot be read: {message.content.problem}")
    raise Reject(f"no handler takes {message.content.__class__.__name__}")
