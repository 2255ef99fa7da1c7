"""`BatchExecutor`: calls a handler for several deliveries of a consumer at once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from telex.engines.contract.groups import Action, Delivery
from telex.errors import Reject
from telex.groups.executor import DeliveryExecutor
from telex.handlers.batches import BatchContext, BatchSpec, message_of
from telex.handlers.call import CallEnd, end_of, is_pending
from telex.handlers.carrying import Expired
from telex.handlers.context import Misfit, shaped
from telex.message import has_expired

if TYPE_CHECKING:
    from telex.groups.leased import LeasedDeliveries
    from telex.handlers.spec import GroupSpec, HandlerSpec
    from telex.message import Message

logger: logging.Logger = logging.getLogger("telex.handlers")


class BatchExecutor(DeliveryExecutor):
    """The calls of a handler of batches.

    A call begins when a batch is full, or when its first delivery has waited for `BatchSpec.within`. Invariant:
    `running` has the deliveries of running calls that are not settled.
    """

    handled: int
    failed: int
    lapsed: int

    def __init__(self, spec: HandlerSpec, group: GroupSpec, leased: LeasedDeliveries) -> None:
        super().__init__(spec, group, leased)
        self._bounds: BatchSpec = spec.batch or BatchSpec(1, 0.0)
        self._arrived: deque[tuple[int, float]] = deque()  # tokens of `ready`, and of deliveries that have left it
        self._contexts: dict[asyncio.Task[Any], BatchContext[Any]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Start calls for the full batches, and set the timer for another batch."""
        ready, arrived = self.ready, self._arrived
        if ready and (not arrived or arrived[-1][0] != ready[-1].token):
            arrived.append((ready[-1].token, asyncio.get_running_loop().time()))
        self._start_calls(float("-inf"))

    def _start_calls(self, now: float) -> None:
        """Start calls for the batches that are full, or due at ``now``."""
        ready, size = self.ready, self._bounds.size
        while ready and len(self._tasks) < self._most and not self._ended_program:
            due = self._due()
            if len(ready) < size and now < due:
                if self._timer is None:
                    # Also when it is due: the rest of the fetched deliveries comes first.
                    self._timer = asyncio.get_running_loop().call_at(due, self._ring, due)
                return
            batch = [ready.popleft() for _ in range(min(len(ready), size))]
            task = self._start(self._call(batch))
            for delivery in batch:
                self.running[delivery.token] = (delivery, task, None)

    def _ring(self, now: float) -> None:
        self._timer = None
        if not self._leased.closing:
            self._start_calls(now)

    def _due(self) -> float:
        """Return the time at which the first ready delivery has waited long enough."""
        arrived, first = self._arrived, self.ready[0].token
        while arrived[0][0] != first:  # it was taken, returned or lost
            arrived.popleft()
        return arrived[0][1] + self._bounds.within

    async def _call(self, batch: Sequence[Delivery]) -> None:
        """Call the handler for one batch, and settle the deliveries that it has not settled."""
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # this one
        found = [(message, each) for each in batch if (message := await self._usable(each)) is not None]
        self._contexts[task] = context = BatchContext[Any](self.group.name, found, self._settle_by_hand)
        try:
            if found:
                await self._invoke_for(context)
            for delivery in self._unsettled(task):
                self._leased.settle(delivery, "ack")
                self.handled += 1
                del self.running[delivery.token]
        except BaseException as error:
            if task.cancelling() or end_of(error) is not CallEnd.FAILED:
                raise  # `_ended` settles the deliveries
            await self._batch_failed(self._unsettled(task), error)
        finally:
            del self._contexts[task]
        self._leased.moved()

    async def _invoke_for(self, context: BatchContext[Any]) -> None:
        result = self._calls.start_apart(message_of(context, context.messages[0].topic))
        if is_pending(result):
            await result

    async def _usable(self, delivery: Delivery) -> Message[Any] | None:
        """Return the message of a delivery as the handler gets it. Settle a delivery that it cannot get."""
        try:
            if delivery.attempt > self._max_attempts:
                raise Reject(f"it was claimed {delivery.attempt} times and never settled")
            if has_expired(delivery.message, self._runtime.clock()):
                raise Expired
            return delivery.message if self._shape is None else shaped(delivery.message, self._shape)
        except (Reject, Misfit, Expired) as error:
            await self._failed(delivery, None, error)
            self.running.pop(delivery.token, None)
            return None

    def _unsettled(self, task: asyncio.Task[Any]) -> list[Delivery]:
        return [delivery for delivery, by, _ in self.running.values() if by is task]

    async def _batch_failed(self, batch: Sequence[Delivery], error: BaseException) -> None:
        """Settle the deliveries of a failed call: they are redelivered together, or are dead letters."""
        if not batch:
            self._failed_settled(error)
            return
        before = self.failed
        reason, delay = self._failure(batch[0], error)
        if self.failed > before:
            self.failed = before + len(batch)
        for delivery in batch:
            await self._settle_failed(delivery, reason, delay)
            self.running.pop(delivery.token, None)

    def _failed_settled(self, error: BaseException) -> None:
        self.failed += 1
        logger.error("handler %s raised after it had settled its batch", self.spec.name, exc_info=error)

    def _log_raised(self, delivery: Delivery, error: BaseException) -> None:
        count = sum(by is self.running[delivery.token][1] for _, by, _ in self.running.values())
        where = (self.spec.name, count, delivery.message.topic, delivery.message.id, delivery.attempt)
        text = "handler %s raised for %d messages of %s, the first is %s, attempt %d"
        logger.error(text, *where, exc_info=error)

    def _settle_by_hand(self, delivery: Delivery, action: Action, delay: float, reason: str) -> Awaitable[bool]:
        settling = super()._settle_by_hand(delivery, action, delay, reason)
        if self.running.pop(delivery.token, None) is not None and action == "ack":
            self.handled += 1
        return settling

    def lose(self, delivery: Delivery) -> None:
        """Take a delivery whose lease was lost out of its batch, and cancel a call that has no other delivery."""
        found = self.running.pop(delivery.token, None)
        if found is None:
            super().lose(delivery)
            return
        self.lapsed += 1
        task = found[1]
        if task in self._contexts:
            self._contexts[task].lease_lost = True
        if not self._unsettled(task):
            task.cancel()
        where = (self.spec.name, delivery.message.id, self.group.name)
        logger.warning("handler %s lost its lease of message %s of group %s, a message of a batch", *where)
