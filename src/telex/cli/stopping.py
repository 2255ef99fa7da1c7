"""The signals of ``telex run``: at the first Ctrl-C handlers finish, at the second they are cancelled."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from telex.cli.exits import Exit
from telex.cli.output import report

END_SECONDS = 1.0
"""The time from the second signal until the process ends."""
HINT_SECONDS = 0.5
"""The time from the first signal until the hint is printed."""
HINT = "handlers are finishing; Ctrl-C again stops at once"


class Stopping:
    """The signals of a process that runs a hub. The first one sets ``asked``.

    The second one cancels the task that made this object. `END_SECONDS` later the process ends, even if a handler
    blocks the event loop. A terminal sends SIGINT both to a worker (``is_worker``) and to its supervisor, so a worker
    never counts SIGINT as the second signal; the supervisor sends SIGTERM.
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
        """Handle SIGINT and SIGTERM inside of the block."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        # Not loop.add_signal_handler: a handler may block the loop.
        before = [signal.signal(number, self.signalled) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
            if self._hint is not None:
                self._hint.cancel()
                self._hint.join()

    def signalled(self, number: int, frame: FrameType | None) -> None:
        """Handle one signal. Called by the interpreter, between any two of its instructions."""
        if number == signal.SIGINT and self._is_worker:
            self._loop.call_soon_threadsafe(self.asked.set)
            return
        self._count += 1
        if self._count == 1:
            self._loop.call_soon_threadsafe(self.asked.set)
            if not self._is_worker:
                self._hint = call_later(HINT_SECONDS, lambda: report(HINT))
            return
        self.at_once = True
        call_later(END_SECONDS, end_process)  # never cancelled: closing may hang too
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)


def call_later(seconds: float, function: Callable[[], None]) -> threading.Timer:
    """Call a function after ``seconds`` in a thread, since the loop may be blocked."""
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()
    return timer


def end_process() -> None:
    """End the process at once, as the shell does for Ctrl-C."""
    sys.stdout.flush()
    os._exit(Exit.INTERRUPTED)
