"""`Thread`: the thread in which the hub of a program that is not async runs."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from telex.errors import Closed, WrongThread

R = TypeVar("R")


class Thread:
    """An event loop in a thread, and calls into it."""

    def __init__(self, name: str, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """``close`` is run in there when a function that is called there ends the program."""
        self._close = close
        self._end: BaseException | None = None  # what ended the program
        self._over = False  # nothing is done in there any more
        self._waits: dict[Future[Any], int] = {}  # what is waited for, and in which thread
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        main, waits = threading.main_thread().ident, False
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(self._ready.set)
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                self._end = error
                # Then it is told by what it waits for.
                waits = any(thread == main and not future.done() for future, thread in list(self._waits.items()))
                runner.run(self._close())
        self._over = True
        for future in list(self._waits):
            future.cancel()
        if self._end is not None and main is not None and not waits:
            # It may wait for anything else: a signal is what ends that.
            signal.pthread_kill(main, signal.SIGINT)

    def raise_end(self) -> None:
        """Raise what ended the program in there, if anything did."""
        if self._end is not None:
            raise self._end

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        """What a coroutine returns or raises in there. Interrupted, it is cancelled."""
        loop = self._loop
        if loop is None or self._over or not self._thread.is_alive():
            work.close()
            self.raise_end()
            raise Closed("this hub", "it was closed; make another with telex.blocking.Hub()")
        if self.is_current():
            work.close()
            raise WrongThread("wait for the blocking hub")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        self._waits[future] = threading.get_ident()
        if self._over:
            future.cancel()
        try:
            result = future.result()
        except BaseException:
            future.cancel()
            if self._over:
                work.close()  # the loop may have ended before it began the work
            self.raise_end()
            raise
        finally:
            del self._waits[future]
        self.raise_end()
        return result

    def is_current(self) -> bool:
        """Whether it is the caller's."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[[], R]) -> R:
        """What a plain function returns or raises in there."""

        async def work() -> R:
            return function()

        return self.wait(work())

    def stop(self) -> None:
        """End the loop and the thread. Twice is fine."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if self._end is None:
            loop.call_soon_threadsafe(loop.stop)
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self.raise_end()
            raise
        self.raise_end()
