"""How those who wait for a log's next message are woken: the asyncio side of `Log.parked`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from telex.room import wake

if TYPE_CHECKING:
    from telex.log import Log

FEW = 8
"""So many are woken by the publisher itself, which saves one of them a turn of the loop; more, by one callback for
all, so that publishing costs the same however many wait."""


class Wakeup:
    """The waking side of one log; `after_append` is its `Log.wake`."""

    __slots__ = ("_log",)

    def __init__(self, log: Log) -> None:
        self._log = log

    def after_append(self) -> None:
        """Wake who is parked: at once when they are few, else in one callback of the loop."""
        log = self._log
        parked = log.parked
        if len(parked) == 1:
            future, _ = parked.popitem()
            if not future.done():
                future.set_result(None)
            return
        # Whoever parks from now on waits for the next append, which finds nobody to wake a second time.
        log.parked = {}
        if len(parked) <= FEW:
            _wake_all(parked)
        else:
            next(iter(parked)).get_loop().call_soon(_wake_all, parked)


def _wake_all(parked: Iterable[asyncio.Future[None]]) -> None:
    for future in parked:
        wake(future)


async def park(log: Log, timeout: float | None = None) -> bool:
    """Wait for something to happen to ``log``; False when ``timeout`` seconds passed first.

    Whatever ends it, nothing of it stays in the log or on the loop.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    log.parked[future] = None
    if timeout is None:
        try:
            await future
        except BaseException:
            log.parked.pop(future, None)
            raise
        return True
    timer = loop.call_later(max(0.0, timeout), wake, future)
    try:
        await future
        return future not in log.parked
    finally:
        timer.cancel()
        log.parked.pop(future, None)
