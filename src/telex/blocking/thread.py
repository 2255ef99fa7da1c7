"""`HubThread`: the thread that runs the hub of a program without asyncio."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar

from telex.errors import Closed, WrongThread

R = TypeVar("R")
CLOSED = ("this hub", "it was closed; make another with telex.blocking.Hub()")
"""The arguments of `Closed` after the end of the event loop."""


class HubThread:
    """A thread with an event loop that runs calls of other threads. `start` starts it, once."""

    def __init__(self, name: str, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Make a thread, which runs ``close`` when a function that is called in it ends the program."""
        self.started: bool = False
        self._name = name
        self._close = close
        self._end: BaseException | None = None  # the SystemExit or KeyboardInterrupt that ended the program
        self._over = False  # True when the thread has ended, or is about to
        self._waits: dict[Future[Any], int] = {}  # the running calls, with the thread of each caller
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, whose loop runs calls from then on. Raises `OSError` when the system has no loop."""
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
        try:
            self._thread.start()
        except BaseException:
            loop.close()
            raise
        self._loop, self.started = loop, True

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        main, waits = threading.main_thread().ident, False
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            try:
                runner.get_loop().run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                self._end = error
                # A main thread that waits for a call gets the error from that call.
                waits = any(thread == main and not future.done() for future, thread in list(self._waits.items()))
                runner.run(self._close())
        self._over = True
        for future in list(self._waits):
            future.cancel()
        if self._end is not None and main is not None and not waits:
            # If the main thread waits for anything else, only a signal interrupts it.
            signal.pthread_kill(main, signal.SIGINT)

    def opened(self) -> Self:
        """Return this thread. Raises `Closed` before `start`."""
        if not self.started:
            raise Closed("this hub", "it is not open yet: `with hub:`")
        return self

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine in the thread, and return its result or raise its exception. An interrupt of the caller
        cancels the coroutine.
        """
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or self._over or not thread.is_alive():
            work.close()
            self._raise_end()
            self.opened()
            raise Closed(*CLOSED)
        if self.is_current():
            work.close()
            raise WrongThread("wait for the blocking hub")
        future = submit(work, loop)
        self._waits[future] = threading.get_ident()
        if self._over:
            future.cancel()
        try:
            result = future.result()
        except BaseException as error:
            future.cancel()
            if self._over:
                work.close()  # the loop may have ended before the work began
            self._raise_end()
            if isinstance(error, CancelledError) and self._loop is None:
                raise Closed(*CLOSED) from None
            raise
        finally:
            del self._waits[future]
        self._raise_end()
        return result

    def iterate(self, items: AsyncIterator[R]) -> Iterator[R]:
        """Iterate over ``items``, whose steps run in the thread."""

        async def step() -> R | None:
            return await anext(items, None)

        while (item := self.wait(step())) is not None:
            yield item

    def is_current(self) -> bool:
        """Return true in the thread itself."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[[], R]) -> R:
        """Call a plain function in the thread, or in the caller's thread before `start`. Return its result or raise its
        exception.
        """
        if not self.started:
            return function()

        async def work() -> R:
            return function()

        return self.wait(work())

    def stop(self) -> None:
        """End the loop, and wait until the thread has ended. It may be called twice."""
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        if self._end is None:
            loop.call_soon_threadsafe(loop.stop)
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self._raise_end()
            raise
        self._raise_end()

    def _raise_end(self) -> None:
        if self._end is not None:
            raise self._end


def submit(work: Coroutine[Any, Any, R], loop: asyncio.AbstractEventLoop) -> Future[R]:
    """Run a coroutine in the loop of another thread. Raises `Closed` when the loop was closed."""
    try:
        return asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:
        work.close()
        raise Closed(*CLOSED) from None


class CallThread(HubThread):
    """The event loop of an open hub, as a thread uses it in which the hub calls a sync function. ``loop`` returns the
    loop.
    """

    def __init__(
        self, loop: Callable[[], asyncio.AbstractEventLoop | None], close: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        super().__init__("telex call", close)
        self.started: bool = True
        self._loop_of_hub = loop

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        loop = self._loop_of_hub()
        if loop is None or self.is_current():
            work.close()
            raise WrongThread("wait for the blocking hub")
        return submit(work, loop).result()

    def is_current(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop_of_hub()
        except RuntimeError:
            return False
