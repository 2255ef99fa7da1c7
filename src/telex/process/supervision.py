"""Supervision of background work: whatever a task raises is logged, and then the task runs again or its owner fails.

No task of telex ends in silence. `watched` runs work once, and tells its owner what it raised; `keep_doing` runs it
again after a pause, until it returns. Both leave alone what ends a program: `KeyboardInterrupt` and `SystemExit`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from telex.errors import Closed

logger: logging.Logger = logging.getLogger("telex")
PAUSE = 1.0
"""Seconds until work that raised is begun again."""
Work = Callable[[], Coroutine[Any, Any, None]]


def is_end(error: BaseException) -> bool:
    """Whether an exception ends the task or the program on purpose, and is to be raised on. In an except clause of a
    task: `asyncio.CancelledError` counts only when the task itself was cancelled, not something that it awaited.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit))


def describe(error: BaseException) -> str:
    """The class and the text of an exception, also of one whose text cannot be made."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # its own __str__ raised
        return type(error).__name__


async def watched(what: str, work: Coroutine[Any, Any, None], failed: Callable[[BaseException], object]) -> None:
    """Run ``work`` once. What it raises is logged and handed to ``failed``, which ends all that waits for it."""
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
    """Run ``work()`` until it returns, raises `Closed`, or ``ended()`` is true. Whatever else it raises is logged, and
    ``pause`` seconds (`PAUSE` unless given) later it runs again; the same text is logged once in a row.
    """
    said = ""
    pause = PAUSE if pause is None else pause
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
            text = describe(error)
            if text != said:
                logger.error("%s: %s; it is tried again every %g s", what, text, pause)
            said = text
        else:
            return
        await asyncio.sleep(pause)
