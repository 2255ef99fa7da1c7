"""`AckBatcher`: sends the settlements of one consumer to the engine in batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context

from telex.engines.contract.groups import Action, Delivery, Groups, Settlement
from telex.errors import reason_of, text_of
from telex.process.supervision import is_end
from telex.process.tasks import LastingTask

logger: logging.Logger = logging.getLogger("telex.handlers")
Answer = asyncio.Future[bool]
Waiting = tuple[Settlement, Answer | None, Delivery | None]
"""A settlement with its answer from `ask`, or with its delivery from `put`."""


class AckBatcher:
    """The settlements of one consumer, in the order of `put` and `ask`. While the engine settles a batch, new
    settlements wait for the next batch. ``settled`` is called after each batch, ``late`` with each delivery that `put`
    settled after another consumer got its lease.
    """

    def __init__(
        self, groups: Groups, group: str, pattern: str, settled: Callable[[], None], late: Callable[[Delivery], None]
    ) -> None:
        self._groups = groups
        self._group = group
        self._pattern = pattern
        self._settled = settled
        self._late = late
        self._waiting: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self.pending: int = 0
        """The number of settlements that the engine has not stored yet."""

    def put(
        self, delivery: Delivery, action: Action, seconds: float = 0.0, reason: str = "", *, held: bool = True
    ) -> None:
        """Settle a delivery without waiting for the result. ``held`` is false for a delivery whose lease may be lost
        without a call of ``late``.
        """
        settlement = Settlement(delivery.position, delivery.token, action, seconds, text_of(reason))
        self._add((settlement, None, delivery if held else None))

    def ask(self, delivery: Delivery, action: Action, seconds: float = 0.0, reason: str = "") -> Answer:
        """Settle a delivery. Return a future, to be awaited: true when the settlement won, or the exception of the
        engine.
        """
        answer: Answer = asyncio.get_running_loop().create_future()
        self._add((Settlement(delivery.position, delivery.token, action, seconds, text_of(reason)), answer, None))
        return answer

    def _add(self, waiting: Waiting) -> None:
        self._waiting.append(waiting)
        self.pending += 1
        if self._task is None:
            self._begin()

    def _begin(self) -> None:
        loop, name = asyncio.get_running_loop(), f"telex settles {self._group}"
        self._task = task = LastingTask(self._run(), loop=loop, name=name, context=Context())
        task.add_done_callback(self._ended)

    def _ended(self, task: LastingTask) -> None:
        if not task.failed:
            return
        self._task = None
        where = (self._group, self._pattern)
        logger.error("group %s on %s was interrupted while settling messages", *where, exc_info=task.error)
        if self._waiting and not task.over:
            self._begin()
        self._settled()

    async def finish(self) -> None:
        """Wait until no settlement is pending."""
        while self._task is not None:
            await finished(self._task)

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._settle(batch)
            finally:
                self.pending -= len(batch)
            self._settled()
        self._task = None
        self._settled()

    async def _settle(self, batch: list[Waiting]) -> None:
        try:
            won = await self._groups.settle(self._group, self._pattern, [settlement for settlement, _, _ in batch])
        except BaseException as error:
            # Callers wait for an answer, whatever the exception is.
            if is_end(error):
                for _, answer, _ in batch:
                    if answer is not None:
                        answer.cancel()
                raise
            # No message is lost: a delivery that is not settled is redelivered when its lease ends.
            count = len(batch)
            where = (self._group, self._pattern, count, reason_of(error))
            logger.error("group %s on %s could not settle %d messages: %s", *where)
            for _, answer, _ in batch:
                if answer is not None and not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer, delivery), result in zip(batch, won, strict=True):
            if answer is not None and not answer.done():
                answer.set_result(result)
            elif delivery is not None and not result:
                self._late(delivery)


async def finished(task: asyncio.Task[None]) -> None:
    """Wait until a task has ended. Cancelling the wait cancels the task."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
