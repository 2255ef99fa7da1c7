"""`Timers`: the one timer of a hub, which wakes only when a trigger is due, and the background tasks of triggers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from telex.process.supervision import is_end, keep_doing
from telex.process.tasks import start_task
from telex.triggers.timer_queue import Queued, TimerQueue

if TYPE_CHECKING:
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.triggers")
MAX_FIRINGS_PER_TURN = 1000
"""The number of firings after which other callbacks of the event loop get their turn."""
MAX_SLEEP_SECONDS = 60.0
"""The longest time until the clock is read again, since the clock of the machine may be set."""


class Armed(Queued, Protocol):
    """A trigger, as `Timers` uses it."""

    name: str
    fired: int
    failed: int
    paused: bool
    ended: bool

    def due(self, now: float) -> None:
        """Fire, or find the next instant."""


class Timers:
    """The timer of a hub, which calls `Armed.due` of each trigger at its instant, between `start` and `stop`."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime: Runtime = runtime
        self.clock: Callable[[], float] = runtime.clock
        self.chance: Callable[[], float] = runtime.chance
        self.running: bool = False
        self.queue: TimerQueue[Armed] = TimerQueue()
        self.tasks: set[asyncio.Task[None]] = set()
        """The running background tasks."""
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = inf  # the instant of `_timer`
        self._firing = False

    def start(self) -> None:
        """Start. Called in the event loop of the hub."""
        self.running = True

    def stop(self) -> None:
        """Cancel the timer."""
        self.running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._wakes = None, inf

    async def cancel_tasks(self) -> None:
        """Cancel the background tasks, and wait until they have ended."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` in a background task until `cancel_tasks`."""
        task = start_task(keep_doing("the triggers of a hub", work), name="telex triggers")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def arm(self, trigger: Armed, at: float | None) -> None:
        """Set the instant of a trigger to ``at``, in place of any other; None, or a paused trigger, has no instant."""
        if at is None or trigger.paused or trigger.ended or not self.running:
            self.queue.drop(trigger)
            return
        self.queue.put(at, trigger)
        if at < self._wakes and not self._firing:
            self._set_timer()

    def disarm(self, trigger: Armed) -> None:
        """Remove the instant of a trigger."""
        self.queue.drop(trigger)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wakes = first = self.queue.first() if self.running else inf
        if first < inf:
            wait = min(max(first - self.clock(), 0.0), MAX_SLEEP_SECONDS)
            self._timer = asyncio.get_running_loop().call_later(wait, self._fire_due)

    def _fire_due(self) -> None:
        now, left, take = self.clock(), MAX_FIRINGS_PER_TURN, self.queue.take
        self._firing = True
        try:
            while left > 0 and (trigger := take(now)) is not None:
                if trigger.paused:
                    continue
                fired = trigger.fired
                try:
                    trigger.due(now)
                except BaseException as error:  # the other triggers fire all the same
                    trigger.failed += 1
                    logger.error("trigger %s raised", trigger.name, exc_info=error)
                    self.arm(trigger, now + self.runtime.bounds.engine_retry_seconds)
                    if is_end(error):
                        raise
                left -= trigger.fired - fired or 1
        finally:
            self._firing = False
            self._set_timer()
