"""`Thread`: the thread in which the hub of a program that is not async runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from telex.errors import Closed, WrongThread

R = TypeVar("R")


class Thread:
    """An event loop in a thread, and calls into it."""

    def __init__(self, name: str) -> None:
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(self._ready.set)
            self._loop.run_forever()

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        """What a coroutine returns or raises in there. Interrupted, it is cancelled."""
        loop = self._loop
        if loop is None or not self._thread.is_alive():
            work.close()
            raise Closed("this hub", "it was closed; make another with telex.blocking.Hub()")
        if self.is_current():
            work.close()
            raise WrongThread("wait for the blocking hub")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

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
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
