"""`Member`: a handler that is one of a group. At least once: acknowledged when it returns, again when it raises."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections import deque
from time import time
from typing import TYPE_CHECKING, Any

import msgspec

from telex.context import Context
from telex.durations import seconds
from telex.engines.groups import Action, Claimed, Delivery, Settlement
from telex.errors import BadOption, Closed, EngineFailed, Nack, Reject, TelexError
from telex.handlers import Declaration, Membership
from telex.outlet import FAIR, serving
from telex.wakeup import park

if TYPE_CHECKING:
    from telex.crew import Crew
    from telex.engines import Groups
    from telex.hub import Hub

logger: logging.Logger = logging.getLogger("telex.handlers")
AHEAD = 64
"""So many messages are claimed at once, at most, beyond those that are worked on."""
PAUSE = 1.0
"""Seconds until an engine that failed is asked again."""


class HandlerStatistics(msgspec.Struct, frozen=True):
    """A handler on one pattern: calls that returned and that raised, and the accounts of its subscription."""

    name: str
    pattern: str
    handled: int
    failed: int
    waiting: int
    """What waits for it; of a handler of a group, what its group has not settled."""
    lost: int
    group: str | None = None
    dead: int = 0
    """Messages that it gave up, of a group."""


class Member:
    """One handler of a group on one pattern: what it has claimed, and its tasks.

    Invariant: what it holds is in `_ready`, in `_working` or in `_settling`, and is leased to it.
    """

    def __init__(self, declaration: Declaration, membership: Membership, pattern: str, hub: Hub, crew: Crew) -> None:
        groups = hub._engine.groups
        if groups is None:
            raise BadOption("group", membership.group, f"the engine {hub.url!r} has no groups")
        self.declaration = declaration
        self.pattern = pattern
        self.handled: int = 0
        self.failed: int = 0
        self.lag: int = 0
        self.dead: int = 0
        self._membership = membership
        self._groups: Groups = groups
        self._hub = hub
        self._crew = crew
        self._log = hub.topic(pattern)._log
        self._contexts: dict[int, Context[Any]] = {}
        self._invoke = declaration.bind(hub, self._contexts)
        self._owner = f"{declaration.name}-{random.getrandbits(32):08x}"  # for people: who has what
        self._ready: deque[Delivery] = deque()
        self._working: dict[int, Delivery] = {}
        self._settling: list[tuple[Settlement, asyncio.Future[bool] | None]] = []
        self._settler: asyncio.Task[None] | None = None
        self._claiming: asyncio.Future[Claimed] | None = None
        self._more = asyncio.Event()  # something is ready, or this stops
        self._less = asyncio.Event()  # there is room for more, or this stops
        self._stopping = False

    # -- what the crew asks

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing is on its way to the engine."""
        return not self._working and not self._settling and self._settler is None and not self._ready

    @property
    def unfinished(self) -> int:
        """Messages in its hands."""
        return len(self._working) + len(self._ready)

    def start(self) -> None:
        """Join the group, and begin to work."""
        name = self.declaration.name
        self._spawn(self._claim(), f"telex group {self._membership.group} {name}")
        self._spawn(self._renew(), f"telex leases {self._membership.group} {name}")
        for number in range(self.declaration.concurrency):
            self._spawn(self._work(), f"telex handler {name} {number}")

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._crew.tasks.add(task)
        task.add_done_callback(self._crew.tasks.discard)

    def drain(self) -> None:
        """Claim nothing more, and give back what is not begun."""
        self._stopping = True
        while self._ready:
            self._give_back(self._ready.popleft())
        self._more.set()
        self._less.set()

    async def finish(self) -> None:
        """After its tasks have ended: what was in their hands is somebody else's, and the engine is told."""
        self.drain()
        if self._claiming is not None:
            (claimed,) = await asyncio.gather(self._claiming, return_exceptions=True)
            for delivery in claimed.deliveries if isinstance(claimed, Claimed) else ():
                self._give_back(delivery)
        for delivery in self._working.values():
            self._give_back(delivery)
        self._working.clear()
        while self._settler is not None:
            await self._settler

    def _give_back(self, delivery: Delivery) -> None:
        self._put(delivery, "nack", 0.0, "the member that had it was closed", None)

    def statistics(self) -> HandlerStatistics:
        """The handler at this moment."""
        group = self._membership.group
        return HandlerStatistics(
            self.declaration.name, self.pattern, self.handled, self.failed, self.lag, 0, group, self.dead
        )

    # -- claiming

    async def _claim(self) -> None:
        serving.set(self._crew)
        ours = self._membership
        joined = False
        while not self._stopping:
            try:
                if not joined:
                    await self._groups.join(ours.group, self.pattern, ours.start, self._log)
                    joined = True
                await self._claim_more()
            except Closed:
                return
            except TelexError as error:
                logger.error("group %s on %s cannot claim: %s", ours.group, self.pattern, error)
                await asyncio.sleep(PAUSE)

    async def _claim_more(self) -> None:
        """One look, and waiting if it found nothing or if there is enough."""
        room = AHEAD + self.declaration.concurrency - len(self._ready) - len(self._working)
        if room <= AHEAD // 2:
            self._less.clear()
            await self._less.wait()
            return
        if (await self._look(room)).deliveries:
            return
        # Who waits is in place before the second look, so that nothing that comes in between is missed.
        waiting: asyncio.Task[bool] | None = None
        try:
            waiting = asyncio.create_task(park(self._log, LONGEST), name="telex group waits")
            await asyncio.sleep(0)
            claimed = await self._look(room)
            if claimed.deliveries or self._stopping:
                return
            wait = LONGEST if claimed.next_due is None else claimed.next_due - time()
            await asyncio.wait({waiting}, timeout=max(0.0, wait))
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    async def _look(self, room: int) -> Claimed:
        ours = self._membership
        # Not cancelled with this task: what it leases is ours, and `finish` gives it back.
        claiming = self._groups.claim(ours.group, self.pattern, room, ours.lease, self._owner, time())
        self._claiming = asyncio.ensure_future(claiming)
        try:
            claimed = await asyncio.shield(self._claiming)
        except TelexError:
            self._claiming = None
            raise
        self._claiming = None
        self.lag = claimed.lag
        for delivery in claimed.deliveries:
            if self._stopping:
                self._give_back(delivery)
            else:
                self._ready.append(delivery)
        if self._ready:
            self._more.set()
        return claimed

    async def _renew(self) -> None:
        """Keep what is in hand, for as long as it takes."""
        lease = self._membership.lease
        while not self._stopping:
            await asyncio.sleep(lease / 3)
            held = [*self._ready, *self._working.values()]
            if held:
                await asyncio.gather(*(self._extend(delivery) for delivery in held))

    async def _extend(self, delivery: Delivery) -> None:
        if await self.settle(delivery, "extend", self._membership.lease, "") or delivery.position not in self._working:
            return
        where = (self.declaration.name, delivery.message.id, self._membership.group)
        logger.warning("handler %s works on message %s of group %s, whose lease it has lost", *where)

    # -- working

    async def _work(self) -> None:
        serving.set(self._crew)
        done = 0
        while True:
            while not self._ready:
                if self._stopping:
                    return
                self._more.clear()
                await self._more.wait()
            delivery = self._ready.popleft()
            self._working[delivery.position] = delivery
            await self._handle(delivery)
            # Not in a `finally`: what a cancelled handler had in hand is given back by `finish`.
            del self._working[delivery.position]
            if len(self._ready) + len(self._working) <= AHEAD // 2:
                self._less.set()
            self._crew.moved()
            done += 1
            if not done % FAIR:
                await asyncio.sleep(0)

    async def _handle(self, delivery: Delivery) -> None:
        message = delivery.message
        context: Context[Any] = Context(delivery, self._membership.group, self.settle)
        self._contexts[id(message)] = context
        try:
            result = self._invoke(message)
            if self.declaration.is_async or (result is not None and inspect.isawaitable(result)):
                await result
        except Nack as error:
            delay = None if error.delay is None else seconds(error.delay, "delay")
            await self._again(delivery, context, str(error), delay)
        except Reject as error:
            self.failed += 1
            await self._bury(delivery, context, error.reason)
        except Exception as error:  # noqa: BLE001  # whatever it raises, the message is tried again
            self._raised(delivery, error)
            await self._again(delivery, context, f"{type(error).__name__}: {error}", None)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._raised(delivery, error)  # the handler's own affair: something that it awaited was cancelled
            await self._again(delivery, context, "it was cancelled", None)
        else:
            self.handled += 1
            if not context.settled:
                self._put(delivery, "ack", 0.0, "", None)
        finally:
            del self._contexts[id(message)]

    def _raised(self, delivery: Delivery, error: BaseException) -> None:
        self.failed += 1
        where = (self.declaration.name, delivery.message.id, delivery.message.topic, delivery.attempt)
        logger.error("handler %s raised for message %s of %s, attempt %d", *where, exc_info=error)

    async def _again(self, delivery: Delivery, context: Context[Any], reason: str, delay: float | None) -> None:
        retry = self._membership.retry
        if delivery.attempt >= retry.attempts:
            await self._bury(delivery, context, reason)
        elif not context.settled:
            wait = retry.delay(delivery.attempt, random.random()) if delay is None else delay
            self._put(delivery, "nack", wait, reason, None)

    async def _bury(self, delivery: Delivery, context: Context[Any], reason: str) -> None:
        """It becomes a dead letter: a copy is published first, so that none is dead that nobody heard of."""
        if context.settled:
            return
        self.dead += 1
        message, group = delivery.message, self._membership.group
        headers = {
            **message.headers,
            "telex-group": group,
            "telex-reason": _line(reason),
            "telex-attempts": str(delivery.attempt),
            "telex-topic": message.topic,
            "telex-seq": str(message.seq),
            "telex-id": message.id,
        }
        topic = self._hub.topic(self._membership.dead_letter or f"dead:{group}")
        copy = f"{group}:{message.id}"[:255]
        try:
            await topic.publish(message.content, id=copy, headers=headers, key=message.key)
        except TelexError as error:
            logger.error("the dead letter %s of group %s was not published: %s", message.id, group, error)
        self._put(delivery, "reject", 0.0, reason, None)

    # -- settling: what is done while the engine is busy is settled together

    async def settle(self, delivery: Delivery, action: Action, delay: float, reason: str) -> bool:
        """Settle one delivery, and wait for it; whether that won."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._put(delivery, action, delay, reason, future)
        return await future

    def _put(
        self, delivery: Delivery, action: Action, delay: float, reason: str, future: asyncio.Future[bool] | None
    ) -> None:
        self._settling.append((Settlement(delivery.position, delivery.token, action, delay, reason), future))
        if self._settler is None:
            self._settler = asyncio.create_task(self._settle_all(), name=f"telex settles {self._membership.group}")

    async def _settle_all(self) -> None:
        ours = self._membership
        try:
            while self._settling:
                batch, self._settling = self._settling, []
                try:
                    won = await self._groups.settle(ours.group, self.pattern, [one for one, _ in batch], time())
                except (EngineFailed, Closed) as error:
                    # Nothing is lost: what is not settled is delivered again when its lease ends.
                    logger.error(
                        "group %s on %s could not settle %d messages: %s", ours.group, self.pattern, len(batch), error
                    )
                    won = [False] * len(batch)
                for (_, future), result in zip(batch, won, strict=True):
                    if future is not None and not future.done():
                        future.set_result(result)
        finally:
            self._settler = None
            self._crew.moved()


LONGEST = 3600.0
"""Seconds after which who waits looks again: the clock of the machine may have been set."""


def _line(text: str) -> str:
    """Text that may stand in a header."""
    return "".join(c if c.isprintable() else " " for c in text)[:500]
