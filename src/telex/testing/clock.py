"""`VirtualClock`: an event loop on which waiting takes no time, and its clock."""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

R = TypeVar("R")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RESOLUTION = time.get_clock_info("monotonic").resolution
"""The seconds by which an event loop may run timers early."""
THREAD_SECONDS = 0.05
"""The seconds of real time for which the clock waits for threads before it advances. A thread may itself wait for a
timer, so the clock advances after that.
"""


class VirtualClock:
    """A clock for tests: ``clock.run(main())`` runs a coroutine on a loop that advances to the next timer at once when
    no task can run, and ``telex.Hub(clock=clock)`` uses the same clock. A week of timers takes milliseconds.

    Use it in one process, on ``memory://``: work of threads, processes and sockets takes real time. The clock waits for
    sync functions of a hub that run in threads, at most `THREAD_SECONDS` at each advance.
    """

    def __init__(self, begin: datetime = BEGIN) -> None:
        self._begin = begin.timestamp()
        self._passed = 0.0
        self._busy: list[Callable[[], bool]] = []
        self._loading: list[Callable[[], bool]] = []

    def hold(self, busy: Callable[[], bool], loading: Callable[[], bool] = bool) -> None:
        """Have the clock wait before it advances: at most `THREAD_SECONDS` while ``busy()`` is true, and without a
        bound while ``loading()`` is true, which means that a thread works that never waits for a timer. A hub calls
        this for its threads.
        """
        self._busy.append(busy)
        self._loading.append(loading)

    def __call__(self) -> float:
        """Return seconds since 1970."""
        return self._begin + self._passed

    @property
    def now(self) -> datetime:
        """The time as an aware datetime."""
        return datetime.fromtimestamp(self(), UTC)

    def run(self, main: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine to its end, as `asyncio.run`, in virtual time."""
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            return runner.run(main)

    def advance(self, by: float) -> None:
        """Set the clock forward by ``by`` seconds while no task runs, as when the machine sleeps."""
        self._passed += by


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        super().__init__(_Selector(clock))

    def time(self) -> float:
        passed = self._clock._passed
        if passed + RESOLUTION == passed:
            # After half a year floats are coarser than the resolution, and a timer runs only when its time is past.
            self._clock._passed = passed = math.nextafter(passed, math.inf)
        return passed


class _Selector(selectors.DefaultSelector):
    """A selector that advances the clock instead of waiting."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        real = None if timeout is None else 0.0
        if timeout and any(loading() for loading in self._clock._loading):
            real = None  # until the thread calls back
        elif timeout and any(busy() for busy in self._clock._busy):
            real = THREAD_SECONDS
        ready = super().select(real)
        if not ready and timeout is not None and timeout > 0:
            self._clock._passed += timeout
        return ready
