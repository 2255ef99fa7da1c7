"""`DeliveryExecutor`: calls one handler for the deliveries of a consumer, and settles them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from telex.durations import seconds
from telex.engines.contract.groups import Action, Delivery, Settlement
from telex.errors import BadOption, Nack, Reject, reason_of, text_of
from telex.groups.dead_letters import DeadLetters
from telex.handlers.call import ENDS_PROGRAM, CallEnd, HandlerCalls, ProgramEnded, end_of, result_of
from telex.handlers.carrying import Expired, carried_of
from telex.handlers.context import Context, Misfit, ThreadContext, current, delivery_of, entered
from telex.handlers.spec import GroupSpec, HandlerSpec
from telex.handlers.statistics import HandlerStatistics
from telex.process.tasks import LastingTask, start_task
from telex.topics.publisher import FAIR
from telex.topics.transaction import engine_of

if TYPE_CHECKING:
    from telex.groups.leased import LeasedDeliveries
    from telex.message import Message

logger: logging.Logger = logging.getLogger("telex.handlers")
SPARE_ATTEMPTS = 10
"""The attempts beyond those of `Retry` that are allowed for attempts without a seen failure, whose consumers were
closed or killed. After that the message counts as their cause, and becomes a dead letter.
"""


class _LeaseLost(Exception):
    """Raised to roll back a transaction whose delivery is leased to another consumer."""


class DeliveryExecutor:
    """The calls of one handler of a consumer.

    Invariant: every delivery in `ready` and `running` is leased to the consumer, unless its lease was just lost.
    """

    def __init__(self, spec: HandlerSpec, group: GroupSpec, leased: LeasedDeliveries) -> None:
        runtime, origins = leased.runtime, leased.origins
        self.spec = spec
        self.group = group
        self.dead_letters: DeadLetters = DeadLetters(group, runtime)
        self.ready: deque[Delivery] = deque()
        self.running: dict[int, tuple[Delivery, asyncio.Task[Any], Context[Any] | None]] = {}  # by token
        self.handled: int = 0
        self.failed: int = 0
        self.retried: int = 0
        self.dead: int = 0
        self.lapsed: int = 0
        self.expired: int = 0
        self._leased = leased
        self._runtime = runtime
        self._origins = origins
        self._invoke = spec.bind(runtime)
        invoke = self._invoke_in_transaction if group.tx else self._invoke
        self._calls = HandlerCalls(invoke, spec.is_async, spec.name, runtime, origins)
        self._calls.apart = group.tx  # a transaction is entered in the context of its own call
        self._shape = spec.content(runtime)
        self._max_attempts = group.retry.attempts + SPARE_ATTEMPTS
        self._ended_program = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._most: float = spec.concurrency  # of `_tasks`

    # -- calling

    def begin(self) -> None:
        """Start tasks that call the handler, if deliveries are ready and more calls may run."""
        if self.ready and len(self._tasks) < self._most and not self._ended_program:
            self._start(self._work(self.ready))

    def _start(self, work: Coroutine[Any, Any, None]) -> LastingTask:
        """Start a task that calls the handler."""
        loop, name = asyncio.get_running_loop(), f"telex handler {self.spec.name}"
        task = LastingTask(work, loop=loop, name=name, context=self._runtime.context.copy())
        for tasks in (self._tasks, self._runtime.tasks):
            tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: LastingTask) -> None:
        self._tasks.discard(task)
        self._runtime.tasks.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.error
        self._ended_program = self._ended_program or isinstance(error, (*ENDS_PROGRAM, ProgramEnded))
        if self._leased.closing or task.over:
            return  # its deliveries are returned when the consumer finishes
        for delivery, by, context in list(self.running.values()):
            if by is task and error is not None:
                failing = self._failed_with_task(delivery, context, error)
                self._runtime.own(start_task(failing, name=task.get_name(), context=self._runtime.context.copy()))
        if isinstance(error, Exception):
            logger.error("handler %s was interrupted, and is restarted", self.spec.name, exc_info=error)
        self.begin()

    async def _work(self, ready: deque[Delivery]) -> None:
        """Call the handler until no delivery is ready. Several tasks run this, at most one per ready delivery."""
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # this one
        spec, leased, running = self.spec, self._leased, self.running
        calls, invoke, known, fresh = self._calls, self._calls.invoke, self._origins.known, copy_context()
        is_async, several = spec.is_async, spec.concurrency > 1
        takes_context = "context" in spec.wants or self.group.tx
        context: Context[Any] | None = None
        make = ThreadContext if spec.run_in == "thread" else Context
        done = 0
        while ready and not task.cancelling():
            delivery = ready.popleft()
            if several and ready:
                self.begin()  # another task takes the next delivery, if this one waits
            if takes_context:
                context = make(delivery, self.group.name, self._settle_by_hand, self._shape)
                current.set(context)
                fresh = copy_context()
            running[delivery.token] = (delivery, task, context)
            try:
                if delivery.attempt > self._max_attempts:
                    raise Reject(f"it was claimed {delivery.attempt} times and never settled")
                message = delivery.message
                if calls.apart or (known and message in known):
                    result = calls.start_apart(message, context)
                else:
                    result = invoke(message)
                if is_async or (result is not None and inspect.isawaitable(result)):
                    await result
                self.handled += 1
                if context is None or context.settled is None:
                    leased.settle(delivery, "ack")
            except BaseException as error:
                if task.cancelling() or end_of(error) is not CallEnd.FAILED:
                    raise  # `_ended` settles the delivery
                await self._failed(delivery, context, error)
            if not calls.apart:
                calls.look(fresh)
            running.pop(delivery.token, None)
            leased.moved()
            done += 1
            if not done % FAIR:
                await asyncio.sleep(0)

    async def _invoke_in_transaction(self, message: Message[Any]) -> None:
        """Call the handler in a transaction that also acknowledges the delivery."""
        context = current.get()
        if context is None:
            raise AssertionError("the delivery of a transaction is in its context")
        delivery = delivery_of(context)
        try:
            async with self._runtime.transaction() as tx:
                entered.set(tx)
                await result_of(self._invoke, message)
                ack = Settlement(delivery.position, delivery.token, "ack")
                if not await engine_of(tx).settle(self.group.name, self._leased.pattern, ack):
                    raise _LeaseLost
        except _LeaseLost:
            self.lapsed += 1
            self.handled -= 1
            text = "handler %s lost its lease of message %s of group %s, and its transaction was rolled back"
            logger.warning(text, self.spec.name, message.id, self.group.name)
        context.settled = "ack"  # or another consumer has the message
        self._leased.forget(delivery)

    # -- settling

    async def _failed_with_task(self, delivery: Delivery, context: Context[Any] | None, error: BaseException) -> None:
        await self._failed(delivery, context, error)
        self.running.pop(delivery.token, None)
        self._leased.moved()

    async def _failed(self, delivery: Delivery, context: Context[Any] | None, error: BaseException) -> None:
        """Settle the delivery of a failed call, unless the handler has settled it: nack it for another attempt, or
        reject it after the last attempt and publish the copy of the dead letter.
        """
        if isinstance(error, Expired):
            self.expired += 1
            self._leased.settle(delivery, "ack")
            return
        reason, delay = self._failure(delivery, error)
        if context is None or context.settled is None:
            await self._settle_failed(delivery, reason, delay)

    async def _settle_failed(self, delivery: Delivery, reason: str, delay: float | None) -> None:
        if delay is None or delivery.attempt >= self.group.retry.attempts:
            # The copy comes first: a crash in between leaves no dead letter without a copy.
            if await self.dead_letters.publish(delivery, reason):
                self.dead += 1
                self._leased.settle(delivery, "reject", 0.0, reason)
                return
            delay = self._retry_delay(delivery)
        self.retried += 1
        self._leased.settle(delivery, "nack", delay, reason)

    def _failure(self, delivery: Delivery, error: BaseException) -> tuple[str, float | None]:
        """Count and log the error of a call. Return its text, and the seconds until the next attempt (None: no further
        attempt).
        """
        if isinstance(error, Nack):
            return text_of(error), self._nack_delay(delivery, error)
        self.failed += 1
        if isinstance(error, Reject):
            return text_of(error.reason), None
        if isinstance(error, Misfit):
            return f"ContentError: {text_of(error)}", None  # the next attempt would get the same content
        self._log_raised(delivery, error)
        return reason_of(error), self._retry_delay(delivery)

    def _log_raised(self, delivery: Delivery, error: BaseException) -> None:
        where = (self.spec.name, delivery.message.id, delivery.message.topic, delivery.attempt)
        with carried_of(delivery.message):
            logger.error("handler %s raised for message %s of %s, attempt %d", *where, exc_info=error)

    def _nack_delay(self, delivery: Delivery, nack: Nack) -> float:
        try:
            return self._retry_delay(delivery) if nack.delay is None else seconds(nack.delay, "delay")
        except BadOption as error:
            self.failed += 1
            logger.error("handler %s raised a Nack: %s", self.spec.name, error)
            return self._retry_delay(delivery)

    def _retry_delay(self, delivery: Delivery) -> float:
        return self.group.retry.delay(delivery.attempt, self._runtime.chance())

    def _settle_by_hand(self, delivery: Delivery, action: Action, delay: float, reason: str) -> Awaitable[bool]:
        self._leased.check_outside()  # at once, and not when the result is awaited
        if action == "extend":
            return self._leased.extend(delivery, delay)
        return self._settle_as_asked(delivery, action, delay, reason)

    async def _settle_as_asked(self, delivery: Delivery, action: Action, delay: float, reason: str) -> bool:
        if action == "reject" or (action == "nack" and delivery.attempt >= self.group.retry.attempts):
            again = self._retry_delay(delivery)
            try:
                action = "reject" if await self.dead_letters.publish(delivery, reason) else "nack"
            except BaseException:  # cancelled, as by a timeout of the handler
                self._leased.settle(delivery, "nack", again, reason)
                raise
            delay = max(delay, again)  # of a nack, when the copy was not published
        won = await self._leased.ask(delivery, action, delay, reason)
        if won:
            self.retried += action == "nack"
            self.dead += action == "reject"
        return won

    def lose(self, delivery: Delivery) -> None:
        """Cancel the call of a delivery whose lease was lost, or drop the delivery if no call has begun."""
        found = self.running.pop(delivery.token, None)
        if found is not None:
            self.lapsed += 1
            if found[2] is not None:
                found[2].lease_lost = True
            found[1].cancel()
        elif delivery in self.ready:
            self.ready.remove(delivery)
        else:
            return
        where = (self.spec.name, delivery.message.id, self.group.name)
        logger.warning("handler %s lost its lease of message %s of group %s, and stops handling the message", *where)

    def unbegun(self) -> list[Delivery]:
        """Remove and return the deliveries that no call has begun."""
        found = list(self.ready)
        self.ready.clear()
        return found

    def note_late(self, delivery: Delivery) -> None:
        """Count and log a delivery that was settled after its lease was lost."""
        self.lapsed += 1
        text = (
            "handler %s settled message %s of %s, group %s, too late: its lease had ended and another member has the "
            "message, or the group was removed; give a longer lease=, and do not block the event loop"
        )
        logger.warning(text, self.spec.name, delivery.message.id, delivery.message.topic, self.group.name)

    @property
    def waiting(self) -> int:
        """The number of deliveries that no call has begun."""
        return len(self.ready)

    @property
    def limited(self) -> int:
        """The number of deliveries that wait for their limit."""
        return 0

    def statistics(self) -> HandlerStatistics:
        """Return the counts of the handler now."""
        stopped = self._ended_program or self._leased.closing
        return HandlerStatistics(
            self.spec.name,
            self._leased.pattern,
            self.handled,
            self.failed,
            self.waiting - self.limited,
            0,
            self.group.name,
            self._leased.lag,
            self.retried,
            self.dead,
            self.lapsed,
            "stopped" if stopped else "running" if self.running else "idle",
            len(self.running),
            self.expired,
            self.limited,
        )
