"""`ThreadPool`: the bounded threads in which a hub calls sync functions."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

from telex.checks import whole
from telex.errors import BadHandler, Closed

logger: logging.Logger = logging.getLogger("telex.handlers")
DEFAULT_THREADS = 32
"""The largest number of threads of a pool by default."""


def check_size(size: object, option: str) -> int:
    """Return the size of a pool. Raises `BadOption`."""
    return whole(size, option, "it must be at least 1, the largest number of calls at once")


def not_coroutine(result: Any, name: str) -> Any:
    """Return the ``result`` of the sync function ``name``. Raises `BadHandler` for a coroutine, which only the event
    loop could await.
    """
    if not inspect.iscoroutine(result):
        return result
    result.close()
    raise BadHandler(
        name,
        f"it returned the coroutine {result.__qualname__}, which was not awaited, since no event loop called it: make "
        "it `async def`, give run_in='loop', or use a telex.blocking.Hub",
    )


class ThreadCall(asyncio.Future[Any]):
    """The result of one call in a thread, to be awaited in the event loop.

    A call that has begun cannot be stopped. Cancelling it calls ``stop``, and the future is cancelled when the call has
    ended, so that the caller's place stays taken for as long as the thread works.
    """

    def __init__(self, pool: ThreadPool, function: Callable[[Any], Any], argument: Any, name: str) -> None:
        super().__init__(loop=pool.loop)
        self.function: Callable[[Any], Any] = function
        self.argument: Any = argument
        self.name: str = name
        self.context: Context = copy_context()
        self.stop: Callable[[], object] | None = None
        """Ends the work of the thread early, where that is possible."""
        self.wanted: bool = True
        """False after the call was cancelled."""
        self._pool = pool

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel a call that has not begun. For a call that runs, call `stop`, and cancel the future when the call has
        ended.
        """
        if self.done():
            return False
        if self._pool.withdraw(self):
            return super().cancel(msg)
        self.wanted = False
        if self.stop is not None:
            self.stop()
        return True

    def abandon(self) -> None:
        """Cancel the future, although the call may still run."""
        super().cancel()


class ThreadPool:
    """At most ``size`` daemon threads, each started when a call finds no free thread.

    All methods are called in the event loop. ``moved`` is called after each call, and ``leave`` by each thread before
    it ends.
    """

    def __init__(self, size: int, moved: Callable[[], None], leave: Callable[[], None] = lambda: None) -> None:
        self.size: int = size
        self.loop: asyncio.AbstractEventLoop | None = None
        self._moved = moved
        self._leave = leave
        self._calls: set[ThreadCall] = set()  # those that have not ended
        self._waiting: deque[ThreadCall] = deque()
        self._tickets: SimpleQueue[bool] = SimpleQueue()  # True for each call that was added to `_waiting`
        self._threads = 0
        self._stuck = 0  # the number of threads whose call was abandoned
        self._closed = False
        self._ended: asyncio.Future[None] | None = None

    @property
    def idle(self) -> bool:
        """True when no call runs or waits, and no thread is about to end."""
        return not self._calls and (self._ended is None or self._ended.done())

    def submit(self, function: Callable[[Any], Any], argument: Any, name: str) -> ThreadCall:
        """Call ``function(argument)`` in a thread, in a copy of the current `contextvars` context. Return a future of
        its result. ``name`` is for messages. Raises `Closed` after `abandon`; `RuntimeError` when the system starts no
        thread and there is none yet.
        """
        if self._closed:
            raise Closed("this hub", "it is closing and begins no more calls")
        if self.loop is None:
            self.loop = asyncio.get_running_loop()
        call = ThreadCall(self, function, argument, name)
        calls = self._calls
        if len(calls) >= self._threads < self.size:
            self._start()
        calls.add(call)
        self._waiting.append(call)
        self._tickets.put(True)
        return call

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"telex call {self._threads + 1}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads: the call waits for one of this pool
            if not self._threads:
                raise
        else:
            self._threads += 1

    def withdraw(self, call: ThreadCall) -> bool:
        """Remove a call that no thread has begun. Return false when it has begun."""
        try:
            self._waiting.remove(call)
        except ValueError:
            return False
        self._calls.discard(call)
        return True

    def _work(self) -> None:
        """Carry out calls. Runs in each thread."""
        get, waiting, loop = self._tickets.get, self._waiting, self.loop
        if loop is None:
            raise AssertionError("a thread is started for a call")
        while get():
            try:
                call = waiting.popleft()
            except IndexError:
                continue  # it was withdrawn
            result, error = None, None
            try:
                result = not_coroutine(call.context.run(call.function, call.argument), call.name)
            except BaseException as raised:  # noqa: BLE001  # the caller gets it
                error = raised
            try:
                loop.call_soon_threadsafe(self._finish, call, result, error)
            except RuntimeError:
                return  # the loop was closed, and nobody waits for this call
            del call, result, error
        self._leave()
        try:
            loop.call_soon_threadsafe(self._thread_ended)
        except RuntimeError:
            return  # the loop was closed

    def _finish(self, call: ThreadCall, result: Any, error: BaseException | None) -> None:
        self._calls.discard(call)
        if call.done():
            return  # it was abandoned
        if not call.wanted:
            call.abandon()
            if isinstance(error, Exception):
                logger.debug("%s raised after it was cancelled", call.name, exc_info=error)
        elif error is None:
            call.set_result(result)
        elif isinstance(error, StopIteration):  # a future cannot carry it
            call.set_exception(RuntimeError(f"{call.name} raised StopIteration"))
        else:
            call.set_exception(error)
        self._moved()

    def _thread_ended(self) -> None:
        self._threads -= 1
        if self._ended is not None and not self._ended.done() and self._threads <= self._stuck:
            self._ended.set_result(None)

    # -- closing

    def abandon(self) -> None:
        """Begin no more calls. Cancel all calls, also those that cannot be stopped and run on alone: log a warning for
        each of these.
        """
        self._closed = True
        for call in list(self._calls):
            call.cancel()
            if not call.done() and call.stop is None:
                text = (
                    "the hub was closed while %s still runs in a thread, which cannot be stopped: its result is "
                    "dropped; give a longer close_timeout=, or have it look at hub.closed and lease_lost of its context"
                )
                logger.warning(text, call.name)
                self._calls.discard(call)
                self._stuck += 1
                call.abandon()

    async def close(self) -> None:
        """End the threads, and wait until they have ended, except those whose call was abandoned: each of these ends
        when its call returns.
        """
        self.abandon()
        if self.loop is None or self._ended is not None:
            return
        self._ended = self.loop.create_future()
        for _ in range(self._threads):
            self._tickets.put(False)
        if self._threads <= self._stuck:
            self._ended.set_result(None)
        await self._ended
