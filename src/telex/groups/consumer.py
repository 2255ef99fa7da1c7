"""`GroupConsumer`: one of a group in this process. It claims what its handlers can take, and settles what they have
done.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import msgspec

from telex.engines.contract.groups import Action, Claimed, Delivery, Groups, Unreadable
from telex.errors import Closed, Reject
from telex.groups.acks import AckBatcher, finished
from telex.groups.executor import DeliveryExecutor
from telex.handlers.dispatch import TypeDispatcher
from telex.handlers.spec import GroupSpec, HandlerSpec
from telex.handlers.statistics import HandlerStatistics
from telex.process.supervision import describe, is_end, keep_doing
from telex.process.tasks import LastingTask, last, start_task
from telex.topics.waiters import Waiter

if TYPE_CHECKING:
    from telex.handlers.origins import Origins
    from telex.log.log import Log
    from telex.message import Message
    from telex.runtime import Runtime
    from telex.topics.topic import Topic

logger: logging.Logger = logging.getLogger("telex.handlers")
AHEAD = 64
"""So many messages are claimed, at most, beyond those that are worked on: as long as they are done quickly."""
QUICK, SLOW = 0.01, 0.1
"""Seconds between two claims: less, and more is claimed ahead; more, and less is."""
PAUSE = 1.0
"""Seconds until an engine that failed is asked again."""
LONGEST = 3600.0
"""Seconds after which who waits looks again: the clock of the machine may have been set."""


class GroupConsumer:
    """A member of one group on one pattern: one handler, or all those of a hub that take a type each.

    Invariant: what it holds is leased to it, and is ready for one of its hands or worked on.
    """

    def __init__(self, membership: GroupSpec, pattern: str, runtime: Runtime, origins: Origins, *, typed: bool) -> None:
        self.pattern: str = pattern
        self.hands: list[DeliveryExecutor] = []
        self.lag: int = 0
        self.stopping: bool = False
        self._group = membership.group
        self._start = membership.start
        self._lease = 0.0
        self._groups: Groups = runtime.groups("groups")
        self._runtime = runtime
        self._origins = origins
        self._switch: TypeDispatcher[DeliveryExecutor] | None = TypeDispatcher() if typed else None
        self._nobody: DeliveryExecutor | None = None
        self._own: set[str] = set()  # the topics of its dead letters, which are not for itself
        self._owner = f"{runtime.address}-{random.getrandbits(32):08x}"  # for people
        self._held: dict[int, Delivery] = {}  # by token
        self._kept: dict[int, float] = {}  # how long what a handler extended by itself is leased, by token
        self._settler = AckBatcher(self._groups, self._group, pattern, self.moved, runtime.engine.now)
        self._clock = runtime.engine.now
        self._room = 0
        self._ahead = 0
        self._claimed_at = 0.0
        self._waiter: Waiter | None = None  # where `_claim` waits
        self._full = False  # that it waits for room
        self._topic: Topic[Any] | None = None  # in hand, so that the hub has the same one while this waits there
        self._joined: Log | None = None
        self._reads: Log | None = None
        self._claimer: asyncio.Task[None] | None = None
        self._renewer: asyncio.Task[None] | None = None
        self._leaving: asyncio.Event | None = None  # set whenever something was done, while it leaves

    def add(self, declaration: HandlerSpec, membership: GroupSpec) -> None:
        """One more handler."""
        hand = DeliveryExecutor(declaration, membership, self, self._runtime, self._origins)
        self.hands.append(hand)
        self._room += declaration.concurrency
        self._lease = max(self._lease, membership.lease)
        self._own.add(hand.dead_letter)
        if self._switch is not None:
            self._switch.add(hand)
        if self._claimer is None:
            self._topic = self._runtime.topic(self.pattern)
            self._read(self._topic._log)
            self._begin_claiming()

    def _read(self, log: Log | None) -> None:
        """From now on it is called for what comes there, in the contexts of publishers in this process."""
        if self._reads is not None:
            self._origins.leave(self._reads, self)
        self._reads = log
        if log is not None:
            self._origins.read(log, self, self._group)

    def _begin_claiming(self) -> None:
        name = f"telex group {self._group} {self.hands[0].declaration.name}"
        self._claimer = last(self._claim(), name=name, context=self._runtime.context.copy())
        self._claimer.add_done_callback(self._claiming_ended)

    def _claiming_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        over = isinstance(task, LastingTask) and task.over
        if (task.cancelled() or error is not None) and not (self.stopping or over):
            logger.error("group %s on %s was interrupted, and goes on", self._group, self.pattern, exc_info=error)
            self._begin_claiming()

    # -- what the crew asks

    @property
    def takes_from(self) -> tuple[str, str]:
        """Its group, and the pattern of that."""
        return self._group, self.pattern

    @property
    def idle(self) -> bool:
        """Whether nothing is in its hands and nothing is on its way to the engine."""
        return not self._held and not self._settler.pending

    @property
    def unfinished(self) -> int:
        """Messages in its hands."""
        return len(self._held)

    @property
    def unhandled(self) -> int:
        """Messages that none of its typed handlers takes."""
        return 0 if self._nobody is None else self._nobody.failed

    def statistics(self) -> Collection[HandlerStatistics]:
        """Its handlers at this moment."""
        return [hand.statistics() for hand in self.hands]

    def drain(self) -> None:
        """Claim nothing more, and give back what is not begun."""
        self.stopping = True
        for hand in (*self.hands, *(() if self._nobody is None else (self._nobody,))):
            while hand.ready:
                self._give_back(hand.ready.popleft())
        if self._waiter is not None:
            self._waiter.wake()

    async def finish(self) -> None:
        """After its calls have ended: what was in their hands is somebody else's, and the engine is told."""
        self.drain()
        if self._claimer is not None:
            # Not cancelled: what a claim that is under way leases is given back.
            await finished(self._claimer)
        for delivery in list(self._held.values()):
            self._give_back(delivery)
        await self._settler.finish()
        self._read(None)

    async def leave(self) -> None:
        """Claim nothing more, and end when what is worked on is done. Cancelled, it has it still."""
        self.drain()
        self._leaving = asyncio.Event()
        while not self.idle:
            self._leaving.clear()
            await self._leaving.wait()
        await self.finish()

    def _give_back(self, delivery: Delivery) -> None:
        self.settle(delivery, "nack", 0.0, "the member that had it was closed")

    # -- what its hands ask

    def moved(self) -> None:
        """Something was done: there may be room for more."""
        if self._full and self._waiter is not None and self._has_room():
            self._full = False
            self._waiter.wake()
        if self._leaving is not None:
            self._leaving.set()
        self._runtime.moved()

    def settle(self, delivery: Delivery, action: Action, delay: float = 0.0, reason: str = "") -> None:
        """Settle what it holds, for good."""
        self._let_go(delivery, action)
        self._settler.put(delivery, action, delay, reason)

    def check_outside(self) -> None:
        """Raise `Misuse` inside of a transaction that settling would wait for."""
        self._groups.check_outside()

    async def ask(self, delivery: Delivery, action: Action, delay: float, reason: str) -> bool:
        """As `settle`; whether it won."""
        self._let_go(delivery, action)
        return await self._settler.ask(delivery, action, delay, reason)

    def _let_go(self, delivery: Delivery, action: Action) -> None:
        self._held.pop(delivery.token, None)
        if action != "nack" and self._origins.known:
            self._origins.done(delivery.message)
        if self._kept:
            self._kept.pop(delivery.token, None)

    async def extend(self, delivery: Delivery, duration: float) -> bool:
        """A handler extends its lease by itself; whether it has it still."""
        if delivery.token in self._held:
            self._kept[delivery.token] = self._clock() + duration
        return await self._settler.ask(delivery, "extend", duration)

    # -- claiming

    async def _claim(self) -> None:
        while not self.stopping:
            try:
                await self._look()
            except Closed:
                return
            except BaseException as error:  # whatever it is, it may have passed when it is asked again
                if is_end(error):
                    raise
                if self._runtime.topics.ended:
                    return
                logger.error("group %s on %s cannot claim: %s", self._group, self.pattern, describe(error))
                await self._wait(self._new_waiter(), PAUSE)

    def _has_room(self) -> bool:
        free = self._room + self._ahead - len(self._held) - self._settler.pending
        return free > self._ahead // 2

    async def _look(self) -> None:
        """Claim once, and wait if there was nothing, or if there is enough."""
        if not self._has_room():
            self._full = True
            await self._wait(self._new_waiter(), None)
            return
        # A topic that was removed and is there anew has another log, and the engine is told which.
        self._topic = self._runtime.topic(self.pattern)
        log = self._topic._log
        if log is not self._joined:
            await self._groups.join(self._group, self.pattern, self._start, log)
            self._joined = log
            self._read(log)
        # It sits there before it looks, so that nothing that comes meanwhile is missed.
        waiter = self._new_waiter()
        log.observer.waiters[waiter] = None
        try:
            room = self._room + self._ahead - len(self._held) - self._settler.pending
            claimed = await self._groups.claim(self._group, self.pattern, room, self._lease, self._owner, self._clock())
            self._take(claimed, room)
            found = claimed.deliveries or claimed.unreadable
            if not found and not self.stopping and waiter in log.observer.waiters:
                self._ahead //= 2
                wait = LONGEST if claimed.next_due is None else claimed.next_due - self._clock()
                await self._wait(waiter, min(max(wait, 0.0), LONGEST))
        finally:
            log.observer.waiters.pop(waiter, None)

    def _new_waiter(self) -> Waiter:
        return Waiter(asyncio.get_running_loop())

    async def _wait(self, waiter: Waiter, timeout: float | None) -> None:
        if self.stopping:
            return
        timer = None if timeout is None else asyncio.get_running_loop().call_later(timeout, waiter.wake)
        self._waiter = waiter
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _take(self, claimed: Claimed, room: int) -> None:
        self.lag = claimed.lag
        if len(claimed.deliveries) == room:
            now = asyncio.get_running_loop().time()
            since, self._claimed_at = now - self._claimed_at, now
            if since < QUICK:
                self._ahead = min(AHEAD, 2 * self._ahead + 1)
            elif since > SLOW:
                self._ahead //= 2
        for delivery in claimed.deliveries:
            self._held[delivery.token] = delivery
            if self.stopping:
                self._give_back(delivery)
            elif delivery.message.topic in self._own:
                self.settle(delivery, "ack")
            else:
                hand = self.hands[0] if self._switch is None else self._hand(self._switch, delivery.message)
                hand.ready.append(delivery)
                hand.begin()
        for delivery in claimed.unreadable:
            self._held[delivery.token] = delivery
            if self.stopping:
                self._give_back(delivery)
            else:
                hand = self._nobody_takes()
                hand.ready.append(delivery)
                hand.begin()
        if self._held and self._renewer is None and not self._runtime.ends:
            self._renewer = start_task(self._keep_leases(), name=f"telex leases {self._group}")
            self._runtime.own(self._renewer)

    def _hand(self, switch: TypeDispatcher[DeliveryExecutor], message: Message[Any]) -> DeliveryExecutor:
        takers = switch.takers(message.content.__class__)
        return next(iter(takers)) if takers else self._nobody_takes()

    def _nobody_takes(self) -> DeliveryExecutor:
        """What rejects messages that no handler of this member can be called for."""
        if self._nobody is None:
            declaration = msgspec.structs.replace(
                self.hands[0].declaration,
                name="(nobody)",
                function=_refuse,
                wants=("message",),
                is_async=False,
                types=(),
                concurrency=1,
                middleware=(),
            )
            self._nobody = DeliveryExecutor(declaration, self.hands[0].membership, self, self._runtime, self._origins)
        return self._nobody

    # -- leases

    async def _keep_leases(self) -> None:
        try:
            await keep_doing(f"the leases of group {self._group} were not renewed", self._renew)
        finally:
            self._renewer = None

    async def _renew(self) -> None:
        """Keep what is in hand, for as long as it takes; ends when nothing is."""
        while self._held:
            await asyncio.sleep(self._lease / 2)
            await self._renew_all()

    async def _renew_all(self) -> None:
        enough = self._clock() + self._lease
        held = [d for d in self._held.values() if self._kept.get(d.token, 0.0) < enough]
        asked = [(delivery, self._settler.ask(delivery, "extend", self._lease)) for delivery in held]
        if not asked:
            return
        await asyncio.wait([answer for _, answer in asked])
        for delivery, answer in asked:
            # What failed for the engine's sake may have been kept; what is settled meanwhile is no one's any more.
            if answer.exception() is None and not answer.result() and delivery.token in self._held:
                self._let_go(delivery, "nack")
                for hand in self.hands:
                    hand.lose(delivery)
                self.moved()


def _refuse(message: Message[Any]) -> None:
    if isinstance(message.content, Unreadable):
        raise Reject(f"its content is damaged and cannot be read: {message.content.problem}")
    raise Reject(f"no handler takes {message.content.__class__.__name__}")
