"""How those who wait for a log's next message are woken: the asyncio side of `Log.parked`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from telex.room import wake

if TYPE_CHECKING:
    from telex.log import Log

FEW = 8
"""So many are woken by the publisher itself, which saves one of them a turn of the loop; more, by one callback for all, so
that publishing costs the same however many wait."""


class Wakeup:
    """What `Log.wake` calls after an append when somebody waits."""

    __slots__ = ("_log", "_scheduled")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._scheduled = False

    def __call__(self) -> None:
        parked = self._log.parked
        if len(parked) <= FEW:
            self._flush()
        elif not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        parked = self._log.parked
        waiting = list(parked)
        parked.clear()
        for future in waiting:
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
