"""`start_task` and `LastingTask`: tasks that start the same on every version of Python and with every task factory."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def start_task(work: Coroutine[Any, Any, T], *, name: str, context: Context | None = None) -> asyncio.Task[T]:
    """Start a task whose first step runs in the next turn of the running loop. ``context`` is a copy of the current one
    by default.

    `asyncio.create_task` would use the loop's task factory, and an eager factory runs the first step at once.
    """
    return asyncio.Task(work, loop=asyncio.get_running_loop(), name=name, context=context)


if sys.version_info >= (3, 12):

    def start_task_at_once(work: Coroutine[Any, Any, T], *, name: str, context: Context) -> asyncio.Task[T]:
        """Start a task that runs ``work`` in ``context`` up to its first wait before this function returns. Python 3.11
        has no eager tasks: there the task starts in the next turn of the running loop.
        """
        return asyncio.Task(work, loop=asyncio.get_running_loop(), name=name, context=context, eager_start=True)

else:
    start_task_at_once = start_task


class LastingTask(asyncio.Task[None]):
    """A task whose done callback starts it again if code of the program cancelled it."""

    over: bool = False
    """True after the task was cancelled while its loop did not run: the program ends, and no task may be started."""

    @property
    def failed(self) -> bool:
        """True when the task has ended with an exception or a cancellation."""
        return self.cancelled() or self.exception() is not None

    @property
    def error(self) -> BaseException | None:
        """The exception that ended the task; None when it was cancelled."""
        return None if self.cancelled() else self.exception()

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the task as `asyncio.Task.cancel` does, and note whether the program ends."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.over = True
        return super().cancel(msg)
