"""`Notifier` and `Waiter`: how tasks that wait for a log's next message are woken.

A waiting task awaits a `Waiter`, which asyncio takes for a future (`asyncio.isfuture`). A waiter is used again and
again, and when many are woken, one callback of the loop takes a step of every task, instead of one callback each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from weakref import ref

from telex.errors import Timeout

if TYPE_CHECKING:
    from telex.log.log import Log
    from telex.topics.connection import EngineConnection

T = TypeVar("T")
Callback = Callable[["Waiter"], object]

FEW = 8
"""The publisher itself wakes at most so many, which saves a turn of the loop; more are woken by one callback for all,
so that publishing costs the same however many wait."""


_woken = repeat(None).__next__


class Waiter:
    """One task awaits it until it is woken: once at a time, as often as it likes.

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
        # The task is handed the waiter, waits, and comes to the iterator's end: as with a generator that yields once.
        self._asyncio_future_blocking = True
        return repeat(self, 1)

    @property
    def taken(self) -> bool:
        """True while a task waits."""
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


def wake_all(waiters: Iterable[Waiter]) -> None:
    """Take a step of every task that waits. Called by the loop, and never by a task, which cannot step another."""
    rest = iter(waiters)
    try:
        for waiter in rest:
            callback, context = waiter._callback, waiter._context
            if callback is not None and context is not None:
                waiter._callback = None
                context.run(callback, waiter)
    except BaseException:
        # A task ended the program, as SystemExit does. The others are not forgotten if somebody goes on.
        for waiter in rest:
            waiter.wake()
        raise


class Notifier:
    """The `LogObserver` of one log in an event loop: it wakes the tasks that wait for messages, or for room."""

    __slots__ = ("blocked", "waiters")

    def __init__(self) -> None:
        self.waiters: dict[Waiter, None] = {}
        self.blocked: dict[Any, None] = {}

    def notify(self) -> None:
        """Wake the waiting readers: at once when they are few, else in one callback of the loop."""
        waiters = self.waiters
        if len(waiters) == 1:
            waiters.popitem()[0].wake()
            return
        # Readers that wait from now on wait for the next append, which finds nobody to wake a second time.
        self.waiters = {}
        if len(waiters) > FEW:
            next(iter(waiters)).loop.call_soon(wake_all, waiters)
        else:
            for waiter in waiters:
                waiter.wake()

    def room_made(self) -> None:
        """Publishers that wait for room look again."""
        for publisher in list(self.blocked):
            publisher.wake()


async def within(
    limit: float | None, what: str, awaitable: Awaitable[T], connection: EngineConnection | None = None
) -> T:
    """Await at most ``limit`` seconds. Raises `Timeout` of ``what`` after that, and no `TimeoutError` of its own. The
    error says when ``connection`` is lost.
    """
    try:
        async with asyncio.timeout(limit) as clock:
            return await awaitable
    except TimeoutError as error:
        if isinstance(error, Timeout) or limit is None or not clock.expired():
            raise
        raise Timeout(what, limit, "" if connection is None else connection.problem) from None


async def park(log: Log, timeout: float | None = None) -> bool:
    """Wait for something to happen to ``log``; False when ``timeout`` seconds passed first.

    Whatever ends it, nothing of it stays in the log or on the loop.
    """
    loop = asyncio.get_running_loop()
    waiter = Waiter(loop)
    log.observer.waiters[waiter] = None
    timer = None if timeout is None else loop.call_later(max(0.0, timeout), waiter.wake)
    try:
        await waiter
        return waiter not in log.observer.waiters
    finally:
        log.observer.waiters.pop(waiter, None)
        if timer is not None:
            timer.cancel()
