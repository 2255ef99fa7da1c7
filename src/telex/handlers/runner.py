"""`HandlerRunner`: the tasks that call live handlers, while a hub is open."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import copy_context
from typing import Any

from telex.errors import Closed, SlowSubscriber, reason_of
from telex.handlers.call import ENDS_PROGRAM, CallEnd, HandlerCalls, ProgramEnded, end_of
from telex.handlers.carrying import Expired, carried_of
from telex.handlers.context import current
from telex.handlers.dispatch import TypeDispatcher
from telex.handlers.origins import Origins
from telex.handlers.spec import HandlerSpec
from telex.handlers.statistics import HandlerState, HandlerStatistics
from telex.message import Lost, Message, has_expired
from telex.process.tasks import LastingTask
from telex.runtime import Runtime
from telex.topics.publisher import FAIR, serving
from telex.topics.subscription import ReportingSubscription, end_with_topic, enter, leave, receive_or_end
from telex.topics.topic import publisher_of

logger: logging.Logger = logging.getLogger("telex.handlers")
RESTART_SECONDS = 1.0
"""The seconds until the task of a handler is restarted after an error in telex."""


class LossLog:
    """A log of the lost messages of one handler, written each time that their number has doubled, so that a slow
    handler does not fill the log.
    """

    def __init__(self, spec: HandlerSpec, pattern: str) -> None:
        self._spec = spec
        self._pattern = pattern
        self._counted = 0
        self._logged = 0

    def add(self, count: int) -> None:
        """Count lost messages."""
        self._counted += count
        if self._logged.bit_length() != self._counted.bit_length():
            self.log(self._counted)

    def log(self, total: int) -> None:
        """Log the messages of ``total`` that are not logged yet, if any."""
        if total > self._logged:
            options = self._spec.options
            logger.warning(
                "handler %s fell behind on %s and missed %d more messages (buffer=%d, overflow=%s)",
                *(self._spec.name, self._pattern, total - self._logged, options.buffer, options.overflow),
            )
            self._logged = total

    def skip(self, total: int) -> None:
        """Count ``total`` messages as logged: another error reports them."""
        self._counted = self._logged = total


class LiveHandler:
    """One handler on one pattern: its subscription and its tasks.

    Invariant: while the hub serves, a task that ends before its subscription is logged as an error and restarted.
    """

    def __init__(
        self,
        spec: HandlerSpec,
        pattern: str,
        runtime: Runtime,
        runner: HandlerRunner,
        dispatcher: TypeDispatcher[LiveHandler] | None,
    ) -> None:
        self.spec = spec
        self.pattern = pattern
        self.handled: int = 0
        self.failed: int = 0
        self.expired: int = 0
        self.running: int = 0
        self.serving: int = 0  # the number of tasks
        self.retired: bool = False
        self._runner = runner
        self._dispatcher = dispatcher
        self._calls = HandlerCalls(spec.bind(runtime), spec.is_async, spec.name, runtime, runner.origins)
        self._runtime = runtime
        self._lost_before = 0  # by subscriptions that were ended
        self._losses = LossLog(spec, pattern)
        self._publisher = publisher_of(runtime.topic(pattern))
        self.subscription: ReportingSubscription[Any] = self._new_subscription()

    def _new_subscription(self) -> ReportingSubscription[Any]:
        topic = self._runtime.topic(self.pattern)  # which may have finished
        return ReportingSubscription(publisher_of(topic), self.spec.options, "new")

    @property
    def waiting(self) -> int:
        """The number of messages that wait for a call."""
        return self.subscription.waiting

    @property
    def idle(self) -> bool:
        """True while no call runs and no message waits for a call."""
        return not self.running and not (self.waiting and self.serving)

    @property
    def lost(self) -> int:
        """The number of messages that the handler missed."""
        return self._lost_before + self.subscription.lost

    def statistics(self) -> HandlerStatistics:
        """Return the counts of the handler now."""
        state: HandlerState = "stopped" if not self.serving else "running" if self.running else "idle"
        return HandlerStatistics(
            *(self.spec.name, self.pattern, self.handled, self.failed, self.waiting, self.lost),
            state=state,
            running=self.running,
            expired=self.expired,
        )

    # -- tasks

    def start(self) -> None:
        """Start the tasks that call the handler."""
        enter(self.subscription, lasting=True)
        self._runner.origins.read(self._publisher, self, self)
        for _ in range(self.spec.concurrency):
            self._begin(0.0)

    def _begin(self, pause: float) -> None:
        name = f"telex handler {self.spec.name} {self.serving}"
        task = LastingTask(
            self._run(pause), loop=asyncio.get_running_loop(), name=name, context=self._runtime.context.copy()
        )
        self.serving += 1
        self._runtime.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: LastingTask) -> None:
        self._runtime.tasks.discard(task)
        self.serving -= 1
        if self._goes_on(task):
            where = (self.spec.name, self.pattern)
            logger.error("handler %s of %s was interrupted, and is restarted", *where, exc_info=task.error)
            self._begin(RESTART_SECONDS if isinstance(task.error, Exception) else 0.0)
        elif not self.serving:
            self.leave()
            if self.retired:
                self._runner.forget(self)
        self._runtime.moved()

    def _goes_on(self, task: LastingTask) -> bool:
        """Return true when a task that has ended must be restarted: the handler cancelled it, or telex has an error."""
        return task.failed and self._runtime.serves and not task.over and not isinstance(task.error, ENDS_PROGRAM)

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
                return  # Closed: the handler has left before this task began
            except SlowSubscriber as error:
                self._subscription_failed(served, error)
            except Exception as error:
                if served.ended != "failed":
                    raise
                self._subscription_failed(served, error)  # the function of `key` raised

    async def _serve(self, subscription: ReportingSubscription[Any]) -> None:
        calls, is_async, runtime, dispatcher = self._calls, self.spec.is_async, self._runtime, self._dispatcher
        invoke, origins, fresh = calls.invoke, self._runner.origins, copy_context()
        known, carrier = origins.known, runtime.topics.carrier
        source = _Each(subscription) if self.spec.concurrency > 1 else subscription
        message: Any  # a Message or a Lost; comparing the class costs less than isinstance
        async for message in source:
            if message.__class__ is Lost:
                self._losses.add(message.count)
                continue
            if (dispatcher is not None and not self._takes(dispatcher, message)) or (
                carrier.expires and self._is_expired(message)
            ):
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
                if not self._call_failed(message, error):
                    raise
            finally:
                self.running -= 1
            try:  # the same as `HandlerCalls.look`, without a call
                if copy_context() != fresh:
                    calls.apart = True
            except Exception:  # noqa: BLE001  # values that cannot be compared count as different
                calls.apart = True
            if runtime.progress is not None:
                runtime.progress.set()
            if not (self.handled + self.failed) % FAIR:
                # A handler that publishes to its own topic always finds a message.
                await asyncio.sleep(0)

    def _is_expired(self, message: Message[Any]) -> bool:
        expired = has_expired(message, self._runtime.clock())
        self.expired += expired
        return expired

    def _takes(self, dispatcher: TypeDispatcher[LiveHandler], message: Message[Any]) -> bool:
        takers = dispatcher.takers(message.content.__class__)
        if not takers and dispatcher.handlers[0] is self:
            dispatcher.unhandled += 1
        return self in takers

    def _call_failed(self, message: Message[Any], error: BaseException) -> bool:
        """Log and count the error of a call. Return true when this task continues."""
        end = end_of(error)
        if isinstance(error, Expired):
            self.expired += 1
            return True
        if end is CallEnd.PROGRAM or (end is CallEnd.CANCELLED and not self._runtime.serves):
            return False
        self.failed += 1
        where = (self.spec.name, message.id, message.topic)
        with carried_of(message):
            logger.error("handler %s raised for message %s of %s", *where, exc_info=error)
        return end is CallEnd.FAILED

    # -- subscriptions

    def _subscription_failed(self, served: ReportingSubscription[Any], error: Exception) -> None:
        """Log why the subscription has ended, and subscribe again to new messages."""
        if served is not self.subscription:
            return  # another task of this handler has done it
        self.failed += 1
        text = "handler %s of %s has missed messages, and continues with new ones: %s"
        unexpected = None if isinstance(error, SlowSubscriber) else error
        logger.error(text, self.spec.name, self.pattern, reason_of(error), exc_info=unexpected)
        self._losses.skip(self.lost)
        if self._runtime.serves and not self.retired:
            self._lost_before += self.subscription.lost
            self.subscription = self._new_subscription()
            enter(self.subscription, lasting=True)

    def leave(self) -> None:
        """Take no more messages."""
        self._losses.log(self.lost)
        leave(self.subscription)
        self._runner.origins.leave(self._publisher, self)

    def retire(self, *, at_once: bool) -> None:
        """Remove the handler from the runner: ``at_once``, or when its subscription has ended."""
        self.retired = True
        end_with_topic(self.subscription)
        if at_once:
            self.leave()
        if not self.serving:
            self._runner.forget(self)


class _Each:
    """The messages of a subscription for several tasks: each message goes to one of them."""

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
        self.origins: Origins = Origins(needed=runtime.in_process)
        self._runtime = runtime
        self._dispatchers: dict[str, TypeDispatcher[LiveHandler]] = {}

    def start(self) -> None:
        """Note the context in which handlers are called. After that `add` starts handlers at once."""
        plain = copy_context()
        self._runtime.context = base = plain.copy()
        base.run(serving.set, self._runtime)
        base.run(current.set, None)
        self.origins.open(plain, base)

    def add(self, spec: HandlerSpec) -> None:
        """Start a handler, if the hub is open."""
        if not self._runtime.serves:
            return
        for pattern in spec.patterns:
            dispatcher = self._dispatchers.setdefault(pattern, TypeDispatcher()) if spec.types else None
            handler = LiveHandler(spec, pattern, self._runtime, self, dispatcher)
            handler.start()
            self.handlers.append(handler)
            if dispatcher is not None:
                dispatcher.add(handler)

    def forget(self, handler: LiveHandler) -> None:
        """Remove a handler that has ended. May be called twice."""
        if handler in self.handlers:
            self.handlers.remove(handler)

    def retire(self, spec: HandlerSpec, *, at_once: bool) -> None:
        """Remove a handler: ``at_once``, or when its subscription has ended."""
        self.declarations[:] = [each for each in self.declarations if each is not spec]
        for handler in [handler for handler in self.handlers if handler.spec is spec]:
            handler.retire(at_once=at_once)

    # -- closing

    @property
    def idle(self) -> bool:
        """True when every handler has finished its waiting messages."""
        return all(handler.idle for handler in self.handlers)

    @property
    def unfinished(self) -> int:
        """The number of messages that wait for a handler or are being handled."""
        return sum(handler.waiting + handler.running for handler in self.handlers)

    def leave(self) -> None:
        """End all subscriptions, so that a handler that swallows its cancellation finds no more messages."""
        for handler in list(self.handlers):
            handler.leave()

    # -- statistics

    @property
    def unhandled(self) -> int:
        """The number of messages that no typed handler of their pattern took."""
        return sum(dispatcher.unhandled for dispatcher in self._dispatchers.values())

    def statistics(self) -> tuple[HandlerStatistics, ...]:
        """Return the counts of every live handler, in the order of declaration."""
        return tuple(handler.statistics() for handler in self.handlers)
