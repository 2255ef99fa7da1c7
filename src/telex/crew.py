"""`Crew`: the tasks that call handlers, from when a hub opens until it closes."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from telex.errors import BadOption, SlowSubscriber
from telex.handlers import Declaration, Membership
from telex.hands import HandlerStatistics
from telex.members import Member, groups_of
from telex.message import Lost, Message
from telex.outlet import FAIR, serving
from telex.subscription import ReportingSubscription
from telex.switch import Switch

if TYPE_CHECKING:
    from telex.commands.desk import Desk
    from telex.hub import Hub

logger: logging.Logger = logging.getLogger("telex.handlers")


class Worker:
    """One handler on one pattern: its subscription and its tasks."""

    def __init__(
        self, declaration: Declaration, pattern: str, hub: Hub, crew: Crew, switch: Switch[Worker] | None
    ) -> None:
        self.declaration = declaration
        self.pattern = pattern
        self.handled: int = 0
        self.failed: int = 0
        self.running: int = 0
        self.serving: int = 0  # tasks
        self.retired: bool = False
        self._crew = crew
        self._switch = switch
        self._invoke = declaration.bind(hub)
        self._hub = hub
        self._lost = 0  # by subscriptions before this one
        topic = hub.topic(pattern)
        self.subscription: ReportingSubscription[Any] = ReportingSubscription(topic, declaration.options, "new")
        self._later: deque[ReportingSubscription[Any]] = deque()  # to the topics that came in its topic's place

    @property
    def waiting(self) -> int:
        """Messages that it could still be called for."""
        return self.subscription.waiting + sum(subscription.waiting for subscription in self._later)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits that it could still be called for."""
        return not self.running and not (self.waiting and self.serving)

    def start(self) -> None:
        """Begin to call the handler."""
        self.subscription.enter()
        tasks = self._crew.tasks
        for number in range(self.declaration.concurrency):
            task = asyncio.create_task(self._run(), name=f"telex handler {self.declaration.name} {number}")
            self.serving += 1
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _run(self) -> None:
        """Call the handler for every message until the subscription ends."""
        serving.set(self._crew)
        try:
            served = None
            while served is not self.subscription:
                served = self.subscription
                await self._serve(served)
                if served is self.subscription and self._later:
                    self._lost += served.lost
                    self.subscription = self._later.popleft()
        except SlowSubscriber as error:
            logger.warning("handler %s of %s has stopped: %s", self.declaration.name, self.pattern, error)
        except Exception as error:  # the key function's, which is the program's own
            logger.error("handler %s of %s has stopped", self.declaration.name, self.pattern, exc_info=error)
        finally:
            self.serving -= 1
            if not self.serving:
                self.leave()
                if self.retired:
                    self._crew.forget(self)
            self._crew.moved()

    def go_on(self) -> None:
        """Its topic was removed: after what came there it serves the one that is made in its place."""
        if self.retired or not self.serving:
            return
        while self._later and not self._later[-1].waiting:
            self._later.pop()  # to a topic that was removed before anything came
        topic = self._hub._topics.await_anew(self.pattern)
        subscription: ReportingSubscription[Any] = ReportingSubscription(topic, self.declaration.options, "new")
        subscription.enter()
        self._later.append(subscription)

    def leave(self) -> None:
        """Take nothing more."""
        self.subscription.leave()
        while self._later:
            self._later.pop().leave()

    def retire(self, *, at_once: bool) -> None:
        """Be forgotten when its subscription has ended: ``at_once``, or by itself."""
        self.retired = True
        if at_once:
            self.leave()
        if not self.serving:
            self._crew.forget(self)

    async def _serve(self, subscription: ReportingSubscription[Any]) -> None:
        invoke, is_async, crew, switch = self._invoke, self.declaration.is_async, self._crew, self._switch
        several = self.declaration.concurrency > 1
        source = _Each(subscription) if several else subscription
        message: Any  # a Message or a Lost; told apart by class, which costs less than isinstance
        async for message in source:
            if message.__class__ is Lost:
                self._missed(message)
                continue
            if switch is not None and not self._takes(switch, message):
                crew.moved()
                continue
            self.running += 1
            try:
                result = invoke(message)
                if is_async or (result is not None and inspect.isawaitable(result)):
                    await result
                self.handled += 1
            except Exception as error:  # noqa: BLE001  # whatever it raises, the next message is handled
                self._raised(message, error)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self._raised(message, error)  # the handler's own affair: something that it awaited was cancelled
            finally:
                self.running -= 1
            if crew.progress is not None:
                crew.progress.set()
            if not (self.handled + self.failed) % FAIR:
                # A handler whose own messages come back to it never runs dry; nothing is in its hands here.
                await asyncio.sleep(0)

    def _takes(self, switch: Switch[Worker], message: Message[Any]) -> bool:
        takers = switch.takers(message.content.__class__)
        if not takers and switch.workers[0] is self:
            switch.unhandled += 1
        return self in takers

    def _raised(self, message: Message[Any], error: BaseException) -> None:
        self.failed += 1
        where = (self.declaration.name, message.id, message.topic)
        logger.error("handler %s raised for message %s of %s", *where, exc_info=error)

    def _missed(self, lost: Lost) -> None:
        total = self._lost + self.subscription.lost
        # A power of two, so that a handler that is always behind does not fill the log as well.
        if (total - lost.count).bit_length() != total.bit_length():
            logger.warning(
                "handler %s fell behind on %s and missed %d messages so far, last number %d (buffer=%d, overflow=%s)",
                self.declaration.name,
                self.pattern,
                total,
                lost.last,
                self.declaration.options.buffer,
                self.declaration.options.overflow,
            )

    def statistics(self) -> HandlerStatistics:
        """The handler at this moment."""
        lost = self._lost + self.subscription.lost
        return HandlerStatistics(self.declaration.name, self.pattern, self.handled, self.failed, self.waiting, lost)


class _Each:
    """The messages of a subscription for one of several tasks: each goes to one of them."""

    def __init__(self, subscription: ReportingSubscription[Any]) -> None:
        self._subscription = subscription

    def __aiter__(self) -> _Each:
        return self

    async def __anext__(self) -> Any:
        return await self._subscription.receive_or_end()


class Crew:
    """All workers of a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._workers: list[Worker] = []
        self._by_topic: dict[str, list[Worker]] = {}  # the same, also by pattern
        self._members: list[Member] = []
        self._typed: dict[tuple[str, str], Member] = {}  # those with typed handlers, by group and pattern
        self._switches: dict[str, Switch[Worker]] = {}
        self._started = False
        self.ends: bool = False  # calls are cancelled, and none is begun any more
        self.chance: Callable[[], float] = random.random  # for the jitter of retries
        self.tasks: set[asyncio.Task[None]] = set()
        self.progress: asyncio.Event | None = None  # set by workers after every call while the hub closes

    def start(self, declarations: Iterable[Declaration]) -> None:
        """Begin to serve."""
        self._started = True
        for declaration in declarations:
            self.add(declaration)

    def check(self, declaration: Declaration, others: Sequence[Declaration]) -> None:
        """Whether it can be served beside ``others``. Raises `BadOption`."""
        if declaration.membership is None:
            return
        group = declaration.membership.group
        groups_of(self._hub, group)
        for other in others:
            if other.membership is None or other.membership.group != group:
                continue
            both = set(declaration.types) & set(other.types) if set(declaration.patterns) & set(other.patterns) else ()
            for cls in both:
                what = f"{other.name} takes {cls.__name__} in group {group!r} already"
                raise BadOption(
                    "what", cls, f"{what}, and each message goes to one handler; give another type or group"
                )

    def add(self, declaration: Declaration) -> None:
        """Serve one more, if the hub is open; `start` takes up those that were declared before."""
        if not self._started:
            return
        if declaration.membership is not None:
            for pattern in declaration.patterns:
                self._member(declaration, declaration.membership, pattern).add(declaration, declaration.membership)
            return
        for pattern in declaration.patterns:
            switch = self._switches.setdefault(pattern, Switch()) if declaration.types else None
            worker = Worker(declaration, pattern, self._hub, self, switch)
            worker.start()
            self._workers.append(worker)
            self._by_topic.setdefault(pattern, []).append(worker)
            if switch is not None:
                switch.add(worker)

    def _member(self, declaration: Declaration, membership: Membership, pattern: str) -> Member:
        member = self._typed.get((membership.group, pattern)) if declaration.types else None
        if member is None:
            member = Member(membership, pattern, self._hub, self, typed=bool(declaration.types))
            self._members.append(member)
            if declaration.types:
                self._typed[membership.group, pattern] = member
        return member

    def removed(self, topic: str) -> None:
        """A topic was removed. Its handlers go on with the one that is made anew, of which nothing is there yet."""
        if self._started:
            for worker in self._by_topic.get(topic, ()):
                worker.go_on()

    def forget(self, worker: Worker) -> None:
        """A worker has ended."""
        if worker in self._workers:
            self._workers.remove(worker)
            self._by_topic[worker.pattern].remove(worker)
            if not self._by_topic[worker.pattern]:
                del self._by_topic[worker.pattern]

    def retire(self, declaration: Declaration, *, at_once: bool) -> None:
        """Have nothing left of a live handler once its subscription has ended: ``at_once``, or by itself."""
        self._withdraw(declaration)
        for worker in [worker for worker in self._workers if worker.declaration is declaration]:
            worker.retire(at_once=at_once)

    async def retire_member(self, declaration: Declaration) -> None:
        """Have a handler without types leave its group, once what it works on is done."""
        self._withdraw(declaration)
        for member in [member for member in self._members if member.hands[0].declaration is declaration]:
            await member.leave()
            if member in self._members:  # it may have been asked to leave twice
                self._members.remove(member)

    def _withdraw(self, declaration: Declaration) -> None:
        self._hub.declarations[:] = [each for each in self._hub.declarations if each is not declaration]

    def moved(self) -> None:
        """A worker has done something: while the hub closes, `stop` looks again."""
        if self.progress is not None:
            self.progress.set()

    async def stop(self, timeout: float, desk: Desk) -> None:
        """Let the workers finish what waits for them, and what that leads to, within ``timeout`` seconds; end them.
        ``desk`` has commands in hand, by tasks of the crew.
        """
        self._started = False
        self.progress = asyncio.Event()
        for member in self._members:
            member.drain()
        try:
            async with asyncio.timeout(timeout):
                while not (all(w.idle for w in self._workers) and all(m.idle for m in self._members) and desk.idle):
                    self.progress.clear()
                    await self.progress.wait()
        except TimeoutError:
            left = sum(worker.waiting + worker.running for worker in self._workers)
            left += sum(member.unfinished for member in self._members)
            logger.warning(
                "the hub was closed with %d messages that its handlers had not finished in %g s", left, timeout
            )
        finally:
            self.ends = True
            # In this order, so that a handler that does not let itself be cancelled finds nothing to go on with.
            for worker in list(self._workers):
                worker.leave()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            for member in self._members:
                await member.finish()

    @property
    def unhandled(self) -> int:
        """Messages that no typed handler of their pattern took."""
        return sum(switch.unhandled for switch in self._switches.values()) + sum(m.unhandled for m in self._members)

    def statistics(self) -> tuple[HandlerStatistics, ...]:
        """Every handler, in the order of declaration."""
        live = [worker.statistics() for worker in self._workers]
        return (*live, *(statistics for member in self._members for statistics in member.statistics()))
