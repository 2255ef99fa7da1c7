"""`HandlerRunner`: the tasks that call handlers, from when a hub opens until it closes."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from telex.errors import Closed, SlowSubscriber, reason_of
from telex.handlers.call import ENDS_PROGRAM, CallEnd, HandlerCalls, ProgramEnded, end_of
from telex.handlers.context import current
from telex.handlers.dispatch import TypeDispatcher
from telex.handlers.origins import Origins
from telex.handlers.spec import HandlerSpec
from telex.handlers.statistics import HandlerState, HandlerStatistics
from telex.message import Lost, Message
from telex.process.tasks import LastingTask
from telex.runtime import Runtime
from telex.topics.publisher import FAIR, serving
from telex.topics.subscription import ReportingSubscription, cursor_of, enter, leave, receive_or_end
from telex.topics.topic import publisher_of

if TYPE_CHECKING:
    from telex.topics.topic import Topic

logger: logging.Logger = logging.getLogger("telex.handlers")
RESTART_SECONDS = 1.0
"""Seconds until the task of a handler is started again that an error in telex has ended."""


class LiveHandler:
    """One handler on one pattern: its subscription and its tasks.

    Invariant: while its crew serves, a task that ends before the subscription does is told as an error and begun anew.
    """

    def __init__(
        self,
        spec: HandlerSpec,
        pattern: str,
        runtime: Runtime,
        runner: HandlerRunner,
        switch: TypeDispatcher[LiveHandler] | None,
    ) -> None:
        self.spec = spec
        self.pattern = pattern
        self.handled: int = 0
        self.failed: int = 0
        self.running: int = 0
        self.serving: int = 0  # tasks
        self.retired: bool = False
        self._runner = runner
        self._switch = switch
        self._calls = HandlerCalls(spec.bind(runtime), spec.is_async, spec.name, runtime, runner.origins)
        self._runtime = runtime
        self._lost = 0  # by subscriptions before this one
        self._told = 0  # of what was lost
        self._said = 0  # of that, in the log of the program
        self.subscription: ReportingSubscription[Any] = self._subscription(runtime.topic(pattern))
        self._later: deque[ReportingSubscription[Any]] = deque()  # to the topics that came in its topic's place

    def _subscription(self, topic: Topic[Any]) -> ReportingSubscription[Any]:
        return ReportingSubscription(publisher_of(topic), self.spec.options, "new")

    @property
    def waiting(self) -> int:
        """Messages that it could still be called for."""
        return self.subscription.waiting + sum(subscription.waiting for subscription in self._later)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits that it could still be called for."""
        return not self.running and not (self.waiting and self.serving)

    @property
    def lost(self) -> int:
        """Messages that it missed."""
        return self._lost + self.subscription.lost

    def start(self) -> None:
        """Begin to call the handler."""
        self._enter(self.subscription)
        for _ in range(self.spec.concurrency):
            self._begin(0.0)

    def _enter(self, subscription: ReportingSubscription[Any]) -> None:
        enter(subscription)
        self._runner.reads(subscription)

    def _begin(self, pause: float) -> None:
        name = f"telex handler {self.spec.name} {self.serving}"
        task = LastingTask(
            self._run(pause), loop=asyncio.get_running_loop(), name=name, context=self._runtime.context.copy()
        )
        self.serving += 1
        self._runtime.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._runtime.tasks.discard(task)
        self.serving -= 1
        if self._runner.goes_on(task):
            # The handler cancelled its own task, or somebody did; or it is a fault of telex, which may pass.
            error = None if task.cancelled() else task.exception()
            where = (self.spec.name, self.pattern)
            logger.error("handler %s of %s was interrupted, and goes on", *where, exc_info=error)
            self._begin(RESTART_SECONDS if isinstance(error, Exception) else 0.0)
        elif not self.serving:
            self.leave()
            if self.retired:
                self._runner.forget(self)
        self._runtime.moved()

    async def _run(self, pause: float) -> None:
        """Call the handler for every message until the subscription ends."""
        if pause:
            await asyncio.sleep(pause)
        served = None
        while served is not self.subscription:
            served = self.subscription
            try:
                await self._serve(served)
            except (ProgramEnded, Closed):
                return  # Closed: it has left before its task began
            except SlowSubscriber as error:
                self._stumbled(served, error)
            except Exception as error:
                if served.ended != "failed":
                    raise
                self._stumbled(served, error)  # the key function's, which is the program's own
            else:
                if served is self.subscription and self._later:
                    self._change(self._later.popleft())

    def _stumbled(self, served: ReportingSubscription[Any], error: Exception) -> None:
        """Its subscription was ended for a fault: it goes on with what comes from now on."""
        if served is not self.subscription:
            return  # another of its tasks has seen to it
        self.failed += 1
        text = "handler %s of %s has missed messages, and goes on with what comes next: %s"
        unexpected = None if isinstance(error, SlowSubscriber) else error
        logger.error(text, self.spec.name, self.pattern, reason_of(error), exc_info=unexpected)
        self._told = self._said = self.lost
        if self._later:
            self._change(self._later.popleft())
        elif self._runtime.serves and not self.retired:
            subscription = self._subscription(self._runtime.topic(self.pattern))
            self._enter(subscription)
            self._change(subscription)

    def _change(self, subscription: ReportingSubscription[Any]) -> None:
        self._lost += self.subscription.lost
        self._runner.reads_no_more(self.subscription)
        self.subscription = subscription

    def go_on(self) -> None:
        """Its topic was removed: after what came there it serves the one that is made in its place."""
        if self.retired or not self.serving:
            return
        while self._later and not self._later[-1].waiting:
            self._part(self._later.pop())  # to a topic that was removed before anything came
        subscription = self._subscription(self._runtime.topics.await_anew(self.pattern))
        self._enter(subscription)
        self._later.append(subscription)

    def leave(self) -> None:
        """Take nothing more."""
        lost = self.lost
        if lost > self._said:
            self._say(lost)
        self._part(self.subscription)
        while self._later:
            self._part(self._later.pop())

    def _part(self, subscription: ReportingSubscription[Any]) -> None:
        leave(subscription)
        self._runner.reads_no_more(subscription)

    def retire(self, *, at_once: bool) -> None:
        """Be forgotten when its subscription has ended: ``at_once``, or by itself."""
        self.retired = True
        if at_once:
            self.leave()
        if not self.serving:
            self._runner.forget(self)

    async def _serve(self, subscription: ReportingSubscription[Any]) -> None:
        calls, is_async, runtime, switch = self._calls, self.spec.is_async, self._runtime, self._switch
        invoke, origins, fresh = calls.invoke, self._runner.origins, copy_context()
        known = origins.known
        several = self.spec.concurrency > 1
        source = _Each(subscription) if several else subscription
        message: Any  # a Message or a Lost; told apart by class, which costs less than isinstance
        async for message in source:
            if message.__class__ is Lost:
                self._missed(message)
                continue
            if switch is not None and not self._takes(switch, message):
                origins.done(message)
                runtime.moved()
                continue
            self.running += 1
            try:
                if calls.apart or (known and message in known):
                    result = calls.start_apart(message)
                    origins.done(message)
                else:
                    result = invoke(message)
                if is_async or (result is not None and inspect.isawaitable(result)):
                    await result
                self.handled += 1
            except BaseException as error:
                if not self._goes_on(message, error):
                    raise
            finally:
                self.running -= 1
            try:
                if copy_context() != fresh:
                    calls.apart = True
            except Exception:  # noqa: BLE001  # values that cannot be compared are not the same
                calls.apart = True
            if runtime.progress is not None:
                runtime.progress.set()
            if not (self.handled + self.failed) % FAIR:
                # A handler whose own messages come back to it never runs dry; nothing is in its hands here.
                await asyncio.sleep(0)

    def _takes(self, switch: TypeDispatcher[LiveHandler], message: Message[Any]) -> bool:
        takers = switch.takers(message.content.__class__)
        if not takers and switch.workers[0] is self:
            switch.unhandled += 1
        return self in takers

    def _goes_on(self, message: Message[Any], error: BaseException) -> bool:
        """Log and count what a call raised; whether this task goes on after it."""
        end = end_of(error)
        if end is CallEnd.PROGRAM or (end is CallEnd.CANCELLED and not self._runtime.serves):
            return False
        self.failed += 1
        where = (self.spec.name, message.id, message.topic)
        logger.error("handler %s raised for message %s of %s", *where, exc_info=error)
        return end is CallEnd.FAILED

    def _missed(self, lost: Lost) -> None:
        self._told += lost.count
        # A power of two, so that a handler that is always behind does not fill the log as well.
        if self._said.bit_length() != self._told.bit_length():
            self._say(self._told)

    def _say(self, lost: int) -> None:
        options = self.spec.options
        logger.warning(
            "handler %s fell behind on %s and missed %d more messages (buffer=%d, overflow=%s)",
            *(self.spec.name, self.pattern, lost - self._said, options.buffer, options.overflow),
        )
        self._said = lost

    def statistics(self) -> HandlerStatistics:
        """The handler at this moment."""
        state: HandlerState = "stopped" if not self.serving else "running" if self.running else "idle"
        return HandlerStatistics(
            self.spec.name, self.pattern, self.handled, self.failed, self.waiting, self.lost, state=state
        )


class _Each:
    """The messages of a subscription for one of several tasks: each goes to one of them."""

    def __init__(self, subscription: ReportingSubscription[Any]) -> None:
        self._subscription = subscription

    def __aiter__(self) -> _Each:
        return self

    async def __anext__(self) -> Any:
        return await receive_or_end(self._subscription)


class HandlerRunner:
    """All live handlers of a hub. ``declarations`` are the handlers that the hub has declared."""

    def __init__(self, runtime: Runtime, declarations: list[HandlerSpec]) -> None:
        self.declarations = declarations
        self.handlers: list[LiveHandler] = []
        self.origins: Origins = Origins(needed=runtime.engine.store is None)
        self._runtime = runtime
        self._by_pattern: dict[str, list[LiveHandler]] = {}  # the same
        self._dispatchers: dict[str, TypeDispatcher[LiveHandler]] = {}

    def start(self) -> None:
        """Note the context that handlers are called in. From then on `add` serves."""
        plain = copy_context()
        self._runtime.context = base = plain.copy()
        base.run(serving.set, self._runtime)
        base.run(current.set, None)
        self.origins.open(plain, base)

    def add(self, spec: HandlerSpec) -> None:
        """Serve a handler, if the hub is open."""
        if not self._runtime.serves:
            return
        for pattern in spec.patterns:
            dispatcher = self._dispatchers.setdefault(pattern, TypeDispatcher()) if spec.types else None
            handler = LiveHandler(spec, pattern, self._runtime, self, dispatcher)
            handler.start()
            self.handlers.append(handler)
            self._by_pattern.setdefault(pattern, []).append(handler)
            if dispatcher is not None:
                dispatcher.add(handler)

    def reads(self, subscription: ReportingSubscription[Any]) -> None:
        """Note that a handler is called for the messages of a subscription, in the contexts of their publishers."""
        self.origins.read(cursor_of(subscription).log, subscription, subscription)

    def reads_no_more(self, subscription: ReportingSubscription[Any]) -> None:
        """Undo `reads`. May be called twice."""
        self.origins.leave(cursor_of(subscription).log, subscription)

    def removed(self, topic: str) -> None:
        """Have the handlers of a topic that was removed go on with the topic that is made in its place."""
        if self._runtime.serves:
            for handler in self._by_pattern.get(topic, ()):
                handler.go_on()

    def goes_on(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task that has ended is begun again: neither the hub's closing nor the program's end ended it."""
        error = None if task.cancelled() else task.exception()
        if not self._runtime.serves or (isinstance(task, LastingTask) and task.over):
            return False
        return task.cancelled() or (error is not None and not isinstance(error, ENDS_PROGRAM))

    def forget(self, handler: LiveHandler) -> None:
        """Remove a handler that has ended. May be called twice."""
        if handler in self.handlers:
            self.handlers.remove(handler)
            self._by_pattern[handler.pattern].remove(handler)
            if not self._by_pattern[handler.pattern]:
                del self._by_pattern[handler.pattern]

    def retire(self, spec: HandlerSpec, *, at_once: bool) -> None:
        """Remove a handler: ``at_once``, or when its subscription has ended."""
        self.declarations[:] = [each for each in self.declarations if each is not spec]
        for handler in [handler for handler in self.handlers if handler.spec is spec]:
            handler.retire(at_once=at_once)

    # -- closing

    @property
    def idle(self) -> bool:
        """Whether every handler has finished the messages that wait for it."""
        return all(handler.idle for handler in self.handlers)

    @property
    def unfinished(self) -> int:
        """The number of messages that wait for a handler or are being handled."""
        return sum(handler.waiting + handler.running for handler in self.handlers)

    def leave(self) -> None:
        """End all subscriptions, so that a handler that swallows its cancellation finds nothing to go on with."""
        for handler in list(self.handlers):
            handler.leave()

    # -- looking

    @property
    def unhandled(self) -> int:
        """Messages that no typed handler of their pattern took."""
        return sum(dispatcher.unhandled for dispatcher in self._dispatchers.values())

    def statistics(self) -> tuple[HandlerStatistics, ...]:
        """Every live handler, in the order of declaration."""
        return tuple(handler.statistics() for handler in self.handlers)
