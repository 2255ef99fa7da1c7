"""How those who wait for a log's next message are woken: the asyncio side of `Log.parked`.

A task that waits sits on a `Seat`, which is to asyncio a future (`asyncio.isfuture`). What it saves: a seat is used
again and again, and when many are woken, one callback of the loop takes a step of every task, instead of one callback
each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import ref

if TYPE_CHECKING:
    from telex.log import Log

Callback = Callable[["Seat"], object]

FEW = 8
"""So many are woken by the publisher itself, which saves one of them a turn of the loop; more, by one callback for all,
so that publishing costs the same however many wait."""


_woken = repeat(None).__next__


class Seat:
    """What one task awaits until it is woken: once at a time, as often as it likes.

    It does of a future what a task asks of one (PEP 3156; `asyncio.Task` calls `get_loop`, `add_done_callback`,
    `cancel` and `result`). Invariant: a callback is taken from it by exactly one of `wake`, `wake_all` and `cancel`.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "get_loop", "result")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._callback: Callback | None = None
        self._context: Context | None = None
        # What a task calls at every wait is in slots, so that it can be something that runs no Python. A loop has one
        # such reference for all who ask.
        self.get_loop: Callable[[], asyncio.AbstractEventLoop | None] = ref(loop)
        """The loop of the task that waits."""
        self.result: Callable[[], object] = _woken
        """Nothing, or `asyncio.CancelledError`."""

    def __await__(self) -> Any:
        # The task is handed the seat, waits, and comes to the iterator's end: as with a generator that yields once.
        self._asyncio_future_blocking = True
        return repeat(self, 1)

    @property
    def taken(self) -> bool:
        """Whether a task waits."""
        return self._callback is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the task that waits."""
        loop = self.get_loop()
        if loop is None:
            raise AssertionError("a loop outlives the tasks that wait in it")
        return loop

    def wake(self) -> None:
        """Let the task that waits, if any, take its next step in this turn of the loop."""
        callback, self._callback = self._callback, None
        if callback is not None:
            self.loop.call_soon(callback, self, context=self._context)

    # -- what a task asks of a future

    def add_done_callback(self, callback: Callback, *, context: Context) -> None:
        """The task says how it is woken."""
        self._callback = callback
        self._context = context

    def cancel(self, msg: object = None) -> bool:
        """The task is cancelled: it is woken to find that out. False when it was woken already."""
        if self._callback is None:
            return False
        self.result = partial(self._cancelled, () if msg is None else (msg,))
        self.wake()
        return True

    def _cancelled(self, message: tuple[object, ...]) -> NoReturn:
        self.result = _woken
        raise asyncio.CancelledError(*message)


def wake_all(seats: Iterable[Seat]) -> None:
    """Take a step of every task that waits. Called by the loop, and never by a task, which cannot step another."""
    rest = iter(seats)
    try:
        for seat in rest:
            callback, context = seat._callback, seat._context
            if callback is not None and context is not None:
                seat._callback = None
                context.run(callback, seat)
    except BaseException:
        # A task ended the program, as SystemExit does. The others are not forgotten if somebody goes on.
        for seat in rest:
            seat.wake()
        raise


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
            seat: Seat = parked.popitem()[0]
            seat.wake()
            return
        # Whoever parks from now on waits for the next append, which finds nobody to wake a second time.
        log.parked = {}
        if len(parked) > FEW:
            next(iter(parked)).loop.call_soon(wake_all, parked)
        else:
            for seat in parked:
                seat.wake()


async def park(log: Log, timeout: float | None = None) -> bool:
    """Wait for something to happen to ``log``; False when ``timeout`` seconds passed first.

    Whatever ends it, nothing of it stays in the log or on the loop.
    """
    loop = asyncio.get_running_loop()
    seat = Seat(loop)
    log.parked[seat] = None
    timer = None if timeout is None else loop.call_later(max(0.0, timeout), seat.wake)
    try:
        await seat
        return seat not in log.parked
    finally:
        log.parked.pop(seat, None)
        if timer is not None:
            timer.cancel()
