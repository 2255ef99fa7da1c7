"""`LimitedExecutor`: calls one handler of a group as often as its limit allows."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from telex.engines.contract.groups import Delivery
from telex.groups.executor import DeliveryExecutor
from telex.handlers.context import Context, shaped
from telex.limits.gate import Gate, Waiting
from telex.limits.limit import key_of
from telex.limits.passage import Released
from telex.process.tasks import LastingTask, start_task

if TYPE_CHECKING:
    from telex.groups.leased import LeasedDeliveries
    from telex.handlers.spec import GroupSpec, HandlerSpec


class LimitedExecutor(DeliveryExecutor):
    """The calls of a handler with a limit. Each delivery waits at ``gate`` for the limit of its key, and its call is a
    task of its own.
    """

    def __init__(self, spec: HandlerSpec, group: GroupSpec, leased: LeasedDeliveries, gate: Gate[Delivery]) -> None:
        super().__init__(spec, group, leased)
        if spec.limit is None:
            raise AssertionError("a gate belongs to a limit")
        self._limit = spec.limit
        self._gate = gate
        self._at_gate: dict[int, tuple[str, Waiting[Delivery]]] = {}  # by token
        if gate.is_keyed:
            gate.moved.append(leased.moved)

    def begin(self) -> None:
        """Let the fetched deliveries wait for the limits of their keys."""
        while self.ready:
            self._arrive(self.ready.popleft())

    def _arrive(self, delivery: Delivery) -> None:
        message = delivery.message
        try:
            content = message.content if self._shape is None else shaped(message, self._shape).content
            key = key_of(self._limit, content, message.key)
        except Exception as error:  # noqa: BLE001  # an exception of `by` is a failed attempt
            failing = self._failed_with_task(delivery, None, error)
            name, context = f"telex handler {self.spec.name}", self._runtime.context.copy()
            self._runtime.own(start_task(failing, name=name, context=context))
            return
        waiting = Waiting(self, delivery)
        self._at_gate[delivery.token] = key, waiting
        self._gate.add(key, waiting)

    # -- called by the gate

    def start(self, item: Delivery, key: str) -> None:
        """Call the handler for a delivery."""
        del self._at_gate[item.token]
        began = asyncio.get_running_loop().time()
        task = self._start(self._work(deque((item,))))
        task.add_done_callback(partial(self._call_ended, item, key, began))

    def _call_ended(self, delivery: Delivery, key: str, began: float, task: LastingTask) -> None:
        self._gate.ended(key, seconds=asyncio.get_running_loop().time() - began)
        if task.cancelled() and not self._leased.closing and self._is_unbegun(delivery):
            self.ready.append(delivery)  # code of the program has cancelled the task before its first step
            self.begin()

    def _is_unbegun(self, delivery: Delivery) -> bool:
        return delivery.token in self._leased.by_token and delivery.token not in self.running

    def spill(self, item: Delivery, seconds: float) -> None:
        """Return a delivery to the group, which delivers it again when its limit may allow a call."""
        del self._at_gate[item.token]
        self._leased.release(item, seconds)

    # --

    def lose(self, delivery: Delivery) -> None:
        """Cancel the call of a delivery whose lease was lost, or drop the delivery if no call has begun."""
        found = self._at_gate.pop(delivery.token, None)
        if found is not None:
            self._gate.remove(*found)
            self.ready.append(delivery)  # from which it is removed, with a warning
        super().lose(delivery)

    def unbegun(self) -> list[Delivery]:
        """Remove and return the deliveries that no call has begun. No call begins any more."""
        self._gate.close()
        found = [waiting.item for _, waiting in self._at_gate.values()]
        self._at_gate.clear()
        return [*super().unbegun(), *found]

    @property
    def waiting(self) -> int:
        """The number of deliveries that no call has begun."""
        return len(self.ready) + len(self._at_gate)

    @property
    def limited(self) -> int:
        """The number of deliveries that wait for their limit."""
        return min(len(self._at_gate), self._gate.lines.blocked)


class WaitingExecutor(DeliveryExecutor):
    """The calls of a handler that waits for its limit itself, at ``gate``. The gate bounds the calls that run, and the
    consumer those that wait.
    """

    def __init__(self, spec: HandlerSpec, group: GroupSpec, leased: LeasedDeliveries, gate: Gate[Any]) -> None:
        super().__init__(spec, group, leased)
        if gate.is_keyed:
            gate.moved.append(leased.moved)
        self._most = math.inf

    async def _failed(self, delivery: Delivery, context: Context[Any] | None, error: BaseException) -> None:
        """Settle the delivery of a failed call, or return the delivery of a call that has left its gate."""
        if isinstance(error, Released):
            self._leased.release(delivery, error.seconds)
        else:
            await super()._failed(delivery, context, error)
