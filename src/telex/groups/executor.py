"""`DeliveryExecutor`: one handler of a group's member, and the calls of it that run."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable
from contextvars import copy_context
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from telex.durations import seconds
from telex.engines.contract.groups import Action, Delivery
from telex.errors import BadName, BadOption, ContentError, Nack, Reject, TelexError, reason_of, text_of
from telex.handlers.call import ENDS_PROGRAM, CallEnd, HandlerCalls, ProgramEnded, end_of
from telex.handlers.context import Context, Misfit, current
from telex.handlers.spec import GroupSpec, HandlerSpec
from telex.handlers.statistics import HandlerStatistics
from telex.process.tasks import LastingTask, last, start_task
from telex.topics.publisher import FAIR

if TYPE_CHECKING:
    from telex.groups.consumer import GroupConsumer
    from telex.handlers.origins import Origins
    from telex.message import Message
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.handlers")
SPARE = 10
"""So many attempts more than `Retry` says a message is given whose attempts were not seen to fail: members that were
closed or killed had it. Then it is taken for what kills them."""


class DeliveryExecutor:
    """One handler of a member.

    Invariant: what is in `ready` and `working` is leased to the member, unless its lease has just been lost.
    """

    def __init__(
        self, declaration: HandlerSpec, membership: GroupSpec, member: GroupConsumer, runtime: Runtime, origins: Origins
    ) -> None:
        self.declaration = declaration
        self.membership = membership
        self.ready: deque[Delivery] = deque()
        self.working: dict[int, tuple[Delivery, asyncio.Task[Any], Context[Any] | None]] = {}  # by token
        self.handled: int = 0
        self.failed: int = 0
        self.retried: int = 0
        self.dead: int = 0
        self.lapsed: int = 0
        self._member = member
        self._runtime = runtime
        self._calls = HandlerCalls(declaration.bind(runtime), declaration.is_async, declaration.name, runtime, origins)
        self._most = membership.retry.attempts + SPARE
        self._over = False  # that it ended the program
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def dead_letter(self) -> str:
        """The topic of the copies of its dead letters."""
        return self.membership.dead_letter or f"dead:{self.membership.group}"

    # -- calling

    def begin(self) -> None:
        """Work on what is ready, if anything is and a call may begin."""
        if self.ready and len(self._tasks) < self.declaration.concurrency and not self._over:
            task = last(
                self._work(), name=f"telex handler {self.declaration.name}", context=self._runtime.context.copy()
            )
            for group in (self._tasks, self._runtime.tasks):
                group.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._runtime.tasks.discard(task)
        error: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._over = self._over or isinstance(error, (*ENDS_PROGRAM, ProgramEnded))
        if self._member.stopping or (isinstance(task, LastingTask) and task.over):
            return  # what it had in hand is given back when the member finishes
        for delivery, by, context in list(self.working.values()):
            if by is task and error is not None:
                failing = start_task(
                    self._failed(delivery, context, error), name=task.get_name(), context=self._runtime.context.copy()
                )
                self._runtime.own(failing)
        if isinstance(error, Exception):
            logger.error("handler %s was interrupted, and goes on", self.declaration.name, exc_info=error)
        self.begin()

    async def _work(self) -> None:
        """Call the handler until nothing is ready. Several of these run, as many as there is work for."""
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # this one
        declaration, member, ready, working = self.declaration, self._member, self.ready, self.working
        calls, fresh = self._calls, copy_context()
        is_async, several = declaration.is_async, declaration.concurrency > 1
        context_wanted = "context" in declaration.wants
        shape = declaration.content(self._runtime) if context_wanted else None
        context: Context[Any] | None = None
        done = 0
        while ready:
            delivery = ready.popleft()
            if several and ready:
                self.begin()  # which goes on with the next one, should this one wait
            if context_wanted:
                context = Context(delivery, self.membership.group, self._by_hand, shape)
                current.set(context)
                fresh = copy_context()
            working[delivery.token] = (delivery, task, context)
            try:
                if delivery.attempt > self._most:
                    raise Reject(f"it was claimed {delivery.attempt} times and never settled")
                result = calls.start(delivery.message, context)
                if is_async or (result is not None and inspect.isawaitable(result)):
                    await result
                self.handled += 1
                if context is None or context.settled is None:
                    member.settle(delivery, "ack")
            except BaseException as error:
                if task.cancelling() or end_of(error) is not CallEnd.FAILED:
                    raise  # `_ended` sees to what it had in hand
                await self._fail(delivery, context, error)
            if not calls.apart:
                calls.look(fresh)
            working.pop(delivery.token, None)
            member.moved()
            done += 1
            if task.cancelling():
                return
            if not done % FAIR:
                await asyncio.sleep(0)

    # -- what becomes of it

    def _by_hand(self, delivery: Delivery, action: Action, delay: float, reason: str) -> Awaitable[bool]:
        self._member.check_outside()  # before anything is done
        return self._settle_by_hand(delivery, action, delay, reason)

    async def _settle_by_hand(self, delivery: Delivery, action: Action, delay: float, reason: str) -> bool:
        if action == "extend":
            return await self._member.extend(delivery, delay)
        if action == "nack" and delivery.attempt >= self.membership.retry.attempts:
            action = "reject" if await self._publish_copy(delivery, reason) else "nack"
        elif action == "reject":
            await self._publish_copy(delivery, reason)
        won = await self._member.ask(delivery, action, delay, reason)
        if won:
            self.retried += action == "nack"
            self.dead += action == "reject"
        return won

    async def _failed(self, delivery: Delivery, context: Context[Any] | None, error: BaseException) -> None:
        """A call was ended together with its task."""
        await self._fail(delivery, context, error)
        self.working.pop(delivery.token, None)
        self._member.moved()

    async def _fail(self, delivery: Delivery, context: Context[Any] | None, error: BaseException) -> None:
        if isinstance(error, Nack):
            try:
                delay = None if error.delay is None else seconds(error.delay, "delay")
            except BadOption as mistake:
                self.failed += 1
                logger.error("handler %s raised a Nack: %s", self.declaration.name, mistake)
                delay = None
            await self._again(delivery, context, text_of(error), delay)
        elif isinstance(error, Reject):
            self.failed += 1
            await self._bury(delivery, context, text_of(error.reason))
        elif isinstance(error, Misfit):
            self.failed += 1
            await self._bury(delivery, context, f"ContentError: {text_of(error)}")  # another try finds it the same
        else:
            self.failed += 1
            where = (self.declaration.name, delivery.message.id, delivery.message.topic, delivery.attempt)
            logger.error("handler %s raised for message %s of %s, attempt %d", *where, exc_info=error)
            await self._again(delivery, context, reason_of(error), None)

    async def _again(self, delivery: Delivery, context: Context[Any] | None, reason: str, delay: float | None) -> None:
        if delivery.attempt >= self.membership.retry.attempts:
            await self._bury(delivery, context, reason)
        elif context is None or context.settled is None:
            self.retried += 1
            self._member.settle(delivery, "nack", self._wait(delivery) if delay is None else delay, reason)

    def _wait(self, delivery: Delivery) -> float:
        return self.membership.retry.delay(delivery.attempt, self._runtime.chance())

    async def _bury(self, delivery: Delivery, context: Context[Any] | None, reason: str) -> None:
        if context is not None and context.settled is not None:
            return
        # The copy comes first, so that nothing is dead that nobody heard of.
        if await self._publish_copy(delivery, reason):
            self.dead += 1
            self._member.settle(delivery, "reject", 0.0, reason)
        else:
            self.retried += 1
            self._member.settle(delivery, "nack", self._wait(delivery), reason)

    async def _publish_copy(self, delivery: Delivery, reason: str) -> bool:
        """Whether all is done that can be done: False when it may be possible later."""
        message, group = delivery.message, self.membership.group
        logger.warning(
            "message %s of %s is a dead letter of group %s after %d attempts: %s",
            *(message.id, message.topic, group, delivery.attempt, reason),
        )
        if _is_copy(message):
            return True  # or two groups that fail would go on with each other's for ever
        told = {
            "telex-group": group,
            "telex-reason": _line(reason),
            "telex-attempts": str(delivery.attempt),
            "telex-topic": message.topic,
            "telex-seq": str(message.seq),
            "telex-id": message.id,
        }
        headers = {name: value for name, value in message.headers.items() if name.lower() not in told} | told
        try:
            topic = self._runtime.topic(self.dead_letter)
            await topic.publish_held(message.content, id=_copy_id(group, message.id), headers=headers, key=message.key)
        except (BadName, BadOption, ContentError) as error:
            logger.error("the dead letter %s of group %s cannot be published: %s", message.id, group, error)
        except TelexError as error:
            logger.error("the dead letter %s of group %s was not published: %s", message.id, group, error)
            return False
        return True

    def lose(self, delivery: Delivery) -> None:
        """The lease of ``delivery`` is lost: it is somebody else's now."""
        found = self.working.pop(delivery.token, None)
        if found is not None:
            self.lapsed += 1
            found[1].cancel()
        elif delivery in self.ready:
            self.ready.remove(delivery)
        else:
            return
        where = (self.declaration.name, delivery.message.id, self.membership.group)
        logger.warning("handler %s lost its lease of message %s of group %s, and lets go of it", *where)

    def statistics(self) -> HandlerStatistics:
        """The handler at this moment."""
        return HandlerStatistics(
            self.declaration.name,
            self._member.pattern,
            self.handled,
            self.failed,
            len(self.ready),
            0,
            self.membership.group,
            self._member.lag,
            self.retried,
            self.dead,
            self.lapsed,
            "stopped" if self._over or self._member.stopping else "running" if self.working else "idle",
        )


def _copy_id(group: str, id: str) -> str:
    """The id of the copy of a dead letter, so that it is stored once."""
    text = f"{group}:{id}"
    return text if len(text) <= 255 else sha256(text.encode()).hexdigest()


def _is_copy(message: Message[Any]) -> bool:
    headers = message.headers
    return message.id == _copy_id(headers.get("telex-group", ""), headers.get("telex-id", ""))


def _line(text: str) -> str:
    """Text that may stand in a header."""
    return "".join(c if c.isprintable() else " " for c in text)[:500]
