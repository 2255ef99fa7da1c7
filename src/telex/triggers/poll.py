"""`Poll`: a function that is called again and again until it returns true."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from telex.errors import BadHandler
from telex.handlers.call import CallEnd, end_of, is_pending
from telex.handlers.signature import calls_async, name_of
from telex.process.tasks import start_task
from telex.process.threads import ThreadPool
from telex.triggers.conditions.evaluator import Fired
from telex.triggers.conditions.schedule import Every

logger: logging.Logger = logging.getLogger("telex.triggers")
CANCEL_SECONDS = 1.0
"""The time for which a closing hub waits for a function that swallows its cancellation."""
FIX = "give a function without arguments that returns true when it is time"
PolledFunction = Callable[[], bool] | Callable[[], Awaitable[bool]]


class PollOwner(Protocol):
    """The trigger of a polled function."""

    name: str
    failed: int
    next: float | None

    def tell(self, fired: list[Fired]) -> None:
        """Fire: the function has returned true."""

    def fell(self) -> None:
        """Note that the function has returned false after it had returned true."""

    def alarm(self, at: float | None) -> None:
        """Have the function called at ``at``."""

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` in a background task."""


class Poll:
    """A function without arguments that is called every ``period`` seconds, first one period after the start, in a
    thread of ``threads`` if given. It fires when its result becomes true. A call is skipped while an earlier call runs.
    Exceptions are logged and counted, and the function is called again.
    """

    is_polled: bool = True
    lost: int = 0
    forgotten: int = 0
    known: float = 0.0

    def __init__(self, function: PolledFunction, period: float, threads: ThreadPool | None = None) -> None:
        if not callable(function):
            raise BadHandler(repr(function), FIX)
        try:
            inspect.signature(function).bind()
        except TypeError as error:
            raise BadHandler(name_of(function), f"{error}: {FIX}") from None
        except ValueError:
            pass  # a builtin without a signature
        self._function = function
        self._threads = threads
        self._is_async = calls_async(function) or threads is not None
        self._every = Every(period)
        self._start = 0.0
        self._calling = False
        self.holds: bool | None = None  # None before the first call
        self._owner: PollOwner | None = None

    def describe(self) -> str:
        """Return the function and the period as text for people."""
        return f"when {name_of(self._function).rpartition('.')[2]}(), called {self._every.describe()}"

    def begin(self, owner: PollOwner, start: float) -> None:
        """Set the start, from which the periods are counted. `rearm` schedules the first call."""
        self._owner, self._start = owner, start

    async def resume(self, owner: PollOwner, start: float, *, fresh: bool) -> None:
        """Set the start, as `begin`, on a shared engine."""
        self.begin(owner, start)

    def readers(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Return the coroutine functions to run in the background: none."""
        return []

    def look(self) -> None:
        """Do nothing: the first call is one period after the start."""

    def catch_up(self, now: float) -> None:
        """Do nothing: calls during a pause are skipped."""

    def close(self) -> None:
        """Do nothing: the trigger is no longer due."""

    def rearm(self, now: float) -> None:
        """Ask the owner to call `due` at the next instant."""
        if self._owner is not None:
            self._owner.next = self._every.after(now, self._start)
            self._owner.alarm(self._owner.next)

    def due(self, now: float) -> None:
        """Call the function."""
        instant = self._every.latest(now, self._start)
        self.rearm(now)
        if self._calling or instant is None or self._owner is None:
            return
        if self._is_async:
            self._calling = True
            self._owner.run(partial(self._await, instant))
            return
        try:
            holds = bool(self._function())
        except Exception as error:  # noqa: BLE001  # the program's function may raise anything
            self._raised(error)
        else:
            self._returned(holds, instant)

    async def _await(self, instant: float) -> None:
        call = start_task(self._call(), name=f"telex trigger looks at {name_of(self._function)}")
        try:
            await asyncio.wait((call,))
            self._returned(call.result(), instant)
        except BaseException as error:
            if end_of(error) is not CallEnd.FAILED:
                if not call.done():
                    await self._cancel(call)
                raise
            self._raised(error)
        finally:
            self._calling = False

    async def _call(self) -> bool:
        if self._threads is not None:
            return bool(await self._threads.submit(self._call_in_thread, None, name_of(self._function)))
        result: Any = self._function()
        return bool(await result if is_pending(result) else result)

    def _call_in_thread(self, _: None) -> bool:
        return bool(self._function())

    async def _cancel(self, call: asyncio.Task[bool]) -> None:
        # its exception is retrieved, and ignored
        call.add_done_callback(lambda task: task.cancelled() or task.exception())
        call.cancel()
        if (await asyncio.wait((call,), timeout=CANCEL_SECONDS))[1]:
            text = "the hub was closed while a trigger looked at %s, which did not let itself be cancelled in %g s"
            logger.error(text, name_of(self._function), CANCEL_SECONDS)

    def _raised(self, error: BaseException) -> None:
        if self._owner is not None:
            self._owner.failed += 1
            logger.error("trigger %s: %s raised", self._owner.name, name_of(self._function), exc_info=error)

    def _returned(self, holds: bool, instant: float) -> None:
        before, self.holds = self.holds, holds
        if self._owner is None or before is holds:
            return
        if holds:
            self._owner.tell([Fired(instant)])
        else:
            self._owner.fell()  # also after the first call: another process may have fired
