"""How telex starts a task: the same on every version of Python and with every task factory of the program's loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def start_task(work: Coroutine[Any, Any, T], *, name: str, context: Context | None = None) -> asyncio.Task[T]:
    """A task that takes its first step in the next turn of the running loop, in ``context`` or in a copy of this one.

    `asyncio.create_task` asks the loop's task factory, and an eager one runs the work before the caller has noted the
    task.
    """
    return asyncio.Task(work, loop=asyncio.get_running_loop(), name=name, context=context)


def start_task_at_once(work: Coroutine[Any, Any, T], *, name: str, context: Context) -> asyncio.Task[T]:
    """Start a task that runs ``work`` in ``context`` until it waits for the first time, before this returns. On Python
    3.11, which has no eager tasks, it begins in the next turn of the running loop.
    """
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=asyncio.get_running_loop(), name=name, context=context, eager_start=True)
    return start_task(work, name=name, context=context)


class LastingTask(asyncio.Task[None]):
    """A task that is begun anew when code of the program cancels it. ``over`` says that the program's end did: then
    the loop is not running, and nothing may be begun in it.
    """

    over: bool = False

    def cancel(self, msg: Any | None = None) -> bool:
        """As `asyncio.Task.cancel`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.over = True
        return super().cancel(msg)


def last(work: Coroutine[Any, Any, None], *, name: str, context: Context) -> LastingTask:
    """As `start_task`; its done callback can tell whether to begin it anew."""
    return LastingTask(work, loop=asyncio.get_running_loop(), name=name, context=context)
