"""`Notifier` and `Waiter`: wake the tasks that wait for a log's next message.

A waiting task awaits a `Waiter`, which asyncio accepts as a future (`asyncio.isfuture`). A waiter is reused. When many
tasks are woken, one callback of the loop runs a step of every task, instead of one callback each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from functools import partial
from itertools import repeat
from time import time
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar
from weakref import ref

from telex.errors import Timeout

if TYPE_CHECKING:
    from telex.log.log import Log

T = TypeVar("T")
Callback = Callable[["Waiter"], object]

FEW = 8
"""The number of tasks that the publisher wakes itself, which saves a turn of the loop. More tasks are woken by one
callback for all, so that the cost of publishing does not depend on their number.
"""


_woken = repeat(None).__next__


class Waiter:
    """An awaitable for one task, which waits until it is woken. It can be awaited again and again, by one task at a
    time.

    It has the parts of a future that a task uses (PEP 3156; `asyncio.Task` calls `get_loop`, `add_done_callback`,
    `cancel` and `result`). Invariant: exactly one of `wake`, `wake_all` and `cancel` takes the callback.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "get_loop", "result")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._callback: Callback | None = None
        self._context: Context | None = None
        # The attributes that a task calls at every wait are in slots, so that they can be callables without Python
        # code. All waiters of a loop share one such reference.
        self.get_loop: Callable[[], asyncio.AbstractEventLoop | None] = ref(loop)
        """Returns the loop of the waiting task."""
        self.result: Callable[[], object] = _woken
        """Returns None, or raises `asyncio.CancelledError`."""

    def __await__(self) -> Any:
        # The task gets the waiter, waits, and comes to the iterator's end, as with a generator that yields once.
        self._asyncio_future_blocking = True
        return repeat(self, 1)

    @property
    def taken(self) -> bool:
        """True while a task waits."""
        return self._callback is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the waiting task."""
        loop = self.get_loop()
        if loop is None:
            raise AssertionError("a loop outlives the tasks that wait in it")
        return loop

    def wake(self) -> None:
        """Let the waiting task, if any, run its next step in this turn of the loop."""
        callback, self._callback = self._callback, None
        if callback is not None:
            loop = self.get_loop()
            assert loop is not None  # it outlives the tasks that wait in it
            loop.call_soon(callback, self, context=self._context)

    # -- what a task asks of a future

    def add_done_callback(self, callback: Callback, *, context: Context) -> None:
        """Register the callback by which the task is woken. Called by the task."""
        self._callback = callback
        self._context = context

    def cancel(self, msg: object = None) -> bool:
        """Wake the task, which is cancelled. Return false when it was woken before."""
        if self._callback is None:
            return False
        self.result = partial(self._cancelled, () if msg is None else (msg,))
        self.wake()
        return True

    def _cancelled(self, message: tuple[object, ...]) -> NoReturn:
        self.result = _woken
        raise asyncio.CancelledError(*message)


def wake_all(waiters: Iterable[Waiter]) -> None:
    """Run a step of every waiting task. Called by the loop, and never by a task, since a task cannot step another
    one.
    """
    rest = iter(waiters)
    try:
        for waiter in rest:
            callback, context = waiter._callback, waiter._context
            if callback is not None and context is not None:
                waiter._callback = None
                context.run(callback, waiter)
    except BaseException:
        # A task ended the program, with SystemExit for example. The others are woken if the loop runs on.
        for waiter in rest:
            waiter.wake()
        raise


class Notifier:
    """The `LogObserver` of one log in an event loop: wakes the tasks that wait for messages, or for room. ``clock``
    returns seconds since 1970.
    """

    __slots__ = ("blocked", "now", "waiters")

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self.waiters: dict[Waiter, None] = {}
        self.blocked: dict[Any, None] = {}
        self.now: Callable[[], float] = clock

    def notify(self) -> None:
        """Wake the waiting readers: at once when they are few, else in one callback of the loop."""
        waiters = self.waiters
        if len(waiters) == 1:
            waiters.popitem()[0].wake()
            return
        # Readers that wait from now on wait for the next append.
        self.waiters = {}
        if len(waiters) > FEW:
            next(iter(waiters)).loop.call_soon(wake_all, waiters)
        else:
            for waiter in waiters:
                waiter.wake()

    def room_made(self) -> None:
        """Let waiting publishers check for room again."""
        for publisher in list(self.blocked):
            publisher.wake()


class Losable(Protocol):
    """A connection that may be lost."""

    @property
    def problem(self) -> str:
        """The reason why it is lost; empty while it is not."""


async def within(limit: float | None, what: str, awaitable: Awaitable[T], connection: Losable | None = None) -> T:
    """Await at most ``limit`` seconds. Raises `Timeout` with ``what`` after that; a `TimeoutError` of the awaitable is
    not changed. The error tells when ``connection`` is lost.
    """
    try:
        async with asyncio.timeout(limit) as clock:
            return await awaitable
    except TimeoutError as error:
        if isinstance(error, Timeout) or limit is None or not clock.expired():
            raise
        raise Timeout(what, limit, "" if connection is None else connection.problem) from None


async def park(log: Log, timeout: float | None = None) -> bool:
    """Wait until ``log`` changes. Return false when ``timeout`` seconds passed before.

    In any case no waiter stays in the log or on the loop.
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
