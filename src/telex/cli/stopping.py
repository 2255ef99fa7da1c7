"""How ``telex run`` is stopped: the first Ctrl-C lets handlers finish, the second stops at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from telex.cli.exits import Exit, tell

AT_ONCE = 1.0
"""Seconds that cancelled handlers have after the second signal, before the process ends."""
HINT_AFTER = 0.5
HINT = "handlers are finishing what they have; Ctrl-C again stops at once"


class Stopping:
    """Signals of a process that runs a hub, counted. ``asked`` is set at the first one.

    At the second one the task that made this is cancelled, and `AT_ONCE` seconds later the process ends whatever
    still runs, even a handler that blocks the event loop. ``is_worker``: SIGINT, which a terminal sends to a worker and
    its supervisor alike, is never the second one; the supervisor sends SIGTERM.
    """

    def __init__(self, *, is_worker: bool) -> None:
        self.asked: asyncio.Event = asyncio.Event()
        self.at_once: bool = False
        self._is_worker = is_worker
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._count = 0
        self._hint: threading.Timer | None = None

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM meanwhile."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        # Not through the loop: a handler may block that.
        before = [signal.signal(number, self._signalled) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
            if self._hint is not None:
                self._hint.cancel()
                self._hint.join()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._is_worker:
            self._loop.call_soon_threadsafe(self.asked.set)
            return
        self._count += 1
        if self._count == 1:
            self._loop.call_soon_threadsafe(self.asked.set)
            if not self._is_worker:
                self._hint = _later(HINT_AFTER, lambda: tell(HINT))
            return
        self.at_once = True
        _later(AT_ONCE, _end)  # not cancelled: whatever is done after this may hang, too
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)


def _later(seconds: float, function: Callable[[], None]) -> threading.Timer:
    # In a thread, for the loop may be blocked.
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()
    return timer


def _end() -> None:
    sys.stdout.flush()
    os._exit(Exit.INTERRUPTED)
