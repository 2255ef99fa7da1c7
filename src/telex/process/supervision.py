"""Supervision of background tasks: an exception is logged, and then the task runs again or its owner fails.

`watched` runs a coroutine once, and passes its exception to the owner. `keep_doing` runs a coroutine again after a
pause, until it returns. Both let `KeyboardInterrupt` and `SystemExit` through, which end the program.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from telex.errors import Closed, reason_of

logger: logging.Logger = logging.getLogger("telex")
PAUSE_SECONDS = 1.0
"""The pause in seconds before work that raised runs again."""
Work = Callable[[], Coroutine[Any, Any, None]]


def is_end(error: BaseException) -> bool:
    """Return true when an exception ends the task or the program on purpose, so that the caller has to raise it. Call
    this in an except clause of a task: `asyncio.CancelledError` counts only when the task itself was cancelled.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit))


async def watched(what: str, work: Coroutine[Any, Any, None], failed: Callable[[BaseException], object]) -> None:
    """Run ``work`` once. Log its exception, and pass it to ``failed``, which fails the operations that wait for this
    task.
    """
    try:
        await work
    except BaseException as error:
        if is_end(error):
            raise
        logger.error("%s has failed", what, exc_info=error)
        failed(error)


async def keep_doing(
    what: str, work: Work, *, pause: float | None = None, ended: Callable[[], bool] = lambda: False
) -> None:
    """Run ``work()`` until it returns, raises `Closed`, or ``ended()`` is true. Log any other exception, once for the
    same text in a row, and run ``work`` again after ``pause`` seconds (`PAUSE_SECONDS` by default).
    """
    logged = ""
    pause = PAUSE_SECONDS if pause is None else pause
    while True:
        try:
            await work()
        except Closed:
            return
        except BaseException as error:
            if is_end(error):
                raise
            if ended():
                return
            text = reason_of(error)
            if text != logged:
                logger.error("%s: %s; telex tries again every %g s", what, text, pause)
            logged = text
        else:
            return
        await asyncio.sleep(pause)
