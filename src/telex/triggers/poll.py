"""`Poll`: a function that is looked at again and again."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from telex.errors import BadHandler
from telex.handlers.signature import calls_async, name_of
from telex.process.supervision import is_end
from telex.process.tasks import start_task
from telex.triggers.conditions.evaluator import Fired
from telex.triggers.conditions.schedule import Every

logger: logging.Logger = logging.getLogger("telex.triggers")
PATIENCE = 1.0
"""Seconds for which the closing of a hub waits for a function that does not let itself be cancelled."""
MEND = "give a function of no arguments that says whether it is time"
Look = Callable[[], bool] | Callable[[], Awaitable[bool]]


class Looker(Protocol):
    """Whose function is looked at."""

    name: str
    failed: int
    next: float | None

    def tell(self, fired: list[Fired]) -> None:
        """It has returned true."""

    def fell(self) -> None:
        """It has returned false after it had returned true."""

    def alarm(self, at: float | None) -> None:
        """It is to be looked at ``at``."""

    def do(self, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do what takes a while."""


class Poll:
    """A function of nothing that is called once in ``period`` seconds, the first time one period after the start. It
    fires when what it returns becomes true. An async one that is not done when it is to be called again is left to
    it; what it raises is logged and counted, and it is called again.
    """

    def __init__(self, function: Look, period: float) -> None:
        if not callable(function):
            raise BadHandler(repr(function), MEND)
        try:
            inspect.signature(function).bind()
        except TypeError as error:
            raise BadHandler(name_of(function), f"{error}: {MEND}") from None
        except ValueError:
            pass  # a builtin that does not tell what it takes
        self._function = function
        self._is_async = calls_async(function)
        self._every = Every(period)
        self._start = 0.0
        self._looks = False
        self.holds: bool | None = None  # None: it was not looked at yet
        self._owner: Looker | None = None

    def describe(self) -> str:
        """What is looked at, for people."""
        return f"when {name_of(self._function).rpartition('.')[2]}(), looked at {self._every.describe()}"

    def begin(self, owner: Looker, start: float, now: float) -> None:
        """Look from now on, at ``start`` and whole numbers of periods."""
        self._owner, self._start = owner, start
        self._wait(now)

    def _wait(self, now: float) -> None:
        if self._owner is not None:
            self._owner.next = self._every.after(now, self._start)
            self._owner.alarm(self._owner.next)

    def rearm(self, now: float) -> None:
        """Go on, after a pause."""
        self._wait(now)

    def ring(self, now: float) -> None:
        """Its time has come."""
        instant = self._every.latest(now, self._start)
        self._wait(now)
        if self._looks or instant is None or self._owner is None:
            return
        if self._is_async:
            self._looks = True
            self._owner.do(partial(self._look, instant))
            return
        try:
            found = bool(self._function())
        except Exception as error:  # noqa: BLE001  # the program's own function: it is told, and looked at again
            self._raised(error)
        else:
            self._found(found, instant)

    async def _look(self, instant: float) -> None:
        looking = start_task(self._call(), name=f"telex trigger looks at {name_of(self._function)}")
        try:
            await asyncio.wait((looking,))
            self._found(looking.result(), instant)
        except asyncio.CancelledError as error:
            if not looking.done():
                await self._cancel(looking)
                raise
            self._raised(error)  # something that it awaited was
        except BaseException as error:  # as above
            if is_end(error):
                raise
            self._raised(error)
        finally:
            self._looks = False

    async def _call(self) -> bool:
        looked = self._function()
        return bool(await looked if isinstance(looked, Awaitable) else looked)

    async def _cancel(self, looking: asyncio.Task[bool]) -> None:
        """The hub is closed: the function is waited for, but not for ever."""
        looking.add_done_callback(lambda task: task.cancelled() or task.exception())  # what it raises now is nobody's
        looking.cancel()
        if (await asyncio.wait((looking,), timeout=PATIENCE))[1]:
            text = "the hub was closed while a trigger looked at %s, which did not let itself be cancelled in %g s"
            logger.error(text, name_of(self._function), PATIENCE)

    def _raised(self, error: BaseException) -> None:
        if self._owner is not None:
            self._owner.failed += 1
            logger.error("trigger %s: %s raised", self._owner.name, name_of(self._function), exc_info=error)

    def _found(self, holds: bool, instant: float) -> None:
        was, self.holds = self.holds, holds
        if self._owner is None or was is holds:
            return  # a first look that finds it false tells so: it may have been true when another process looked
        if holds:
            self._owner.tell([Fired(instant)])
        else:
            self._owner.fell()
