"""`DelayedMessages`: the delayed messages of topics whose logs are in this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from telex.message import Draft, Message

logger: logging.Logger = logging.getLogger("telex")
MAX_WAIT_SECONDS = 3600.0
"""The seconds after which a timer checks the clock again, since the clock of the machine may be set."""

SPARE = 64
"""The number of cancelled messages that are kept at least."""


class DelayedMessages:
    """Keeps delayed messages until they are due, in the order of their times. ``publish`` publishes one, and ``clock``
    returns seconds since 1970.
    """

    def __init__(self, publish: Callable[[Draft], Message[Any]], clock: Callable[[], float]) -> None:
        self._publish = publish
        self._clock = clock
        self._waiting: list[tuple[float, int, Draft, Context]] = []  # a heap; cancelled items are discarded later
        self._numbers: dict[tuple[str, str | None], int] = {}  # by topic and id, the second part of its item
        self._count = count()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, draft: Draft, due: float) -> Message[Any]:
        """Publish ``draft`` at ``due``, or at once if ``due`` is past. Return the message, with its id; its number is 0
        until it is published. A message whose id waits already is not kept.
        """
        draft = draft.with_id()
        if due <= self._clock():
            return self._publish(draft)
        name = draft.topic, draft.id
        if name not in self._numbers:
            self._numbers[name] = number = next(self._count)
            heappush(self._waiting, (due, number, draft, copy_context()))
            self._arm()
        return draft.numbered(0, 0)

    def cancel(self, topic: str, id: str) -> bool:
        """Discard a message that waits. Return false when there is none."""
        if self._numbers.pop((topic, id), None) is None:
            return False
        if len(self._waiting) > 2 * len(self._numbers) + SPARE:
            self._waiting = [item for item in self._waiting if self._is_kept(item[1], item[2])]
            heapify(self._waiting)
            self._arm()
        return True

    def _is_kept(self, number: int, draft: Draft) -> bool:
        return self._numbers.get((draft.topic, draft.id)) == number

    def close(self) -> None:
        """Discard the messages that are not due yet."""
        self._waiting.clear()
        self._numbers.clear()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            wait = min(max(0.0, self._waiting[0][0] - self._clock()), MAX_WAIT_SECONDS)
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        now = self._clock()
        while self._waiting and self._waiting[0][0] <= now:
            _, number, draft, context = heappop(self._waiting)
            if not self._is_kept(number, draft):
                continue
            del self._numbers[draft.topic, draft.id]
            try:
                context.run(self._publish, draft)
            except Exception as error:  # the error of one message; the others are due as well
                logger.error("message %s of %s is due and cannot be published", draft.id, draft.topic, exc_info=error)
        self._arm()
