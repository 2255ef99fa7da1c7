"""One call of a handler: `HandlerCalls` starts the call, and `end_of` tells how the call has ended."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from telex.engines.contract.store import inside
from telex.handlers.context import Context, current
from telex.process.supervision import is_end
from telex.process.tasks import start_task
from telex.topics.publisher import serving

if TYPE_CHECKING:
    from contextvars import Context as Variables

    from telex.handlers.origins import Origins
    from telex.message import Message
    from telex.runtime import Runtime

A = TypeVar("A")
Invoke = Callable[["Message[Any]"], Any]
"""A bound handler. Its result is awaitable if the function is async."""


ENDS_PROGRAM = (SystemExit, KeyboardInterrupt)
"""Exceptions that end the program: the event loop raises them to its caller."""


class CallEnd(Enum):
    """The ways in which a call ends without a result."""

    FAILED = "failed"
    """The function raised, or something that it awaited was cancelled."""
    CANCELLED = "cancelled"
    """The task that awaits the call was cancelled."""
    PROGRAM = "program"
    """The function ended the program; the exception belongs to the event loop."""


class ProgramEnded(BaseException):
    """A call ended the program: the task of the call has raised its exception in the event loop."""


def end_of(error: BaseException) -> CallEnd:
    """Return how a call that raised ``error`` has ended. Call it in the except clause of the task that awaits the
    call.
    """
    if isinstance(error, ProgramEnded):
        return CallEnd.PROGRAM
    if not is_end(error):
        return CallEnd.FAILED
    return CallEnd.CANCELLED if isinstance(error, asyncio.CancelledError) else CallEnd.PROGRAM


def is_pending(result: object) -> bool:
    """Return true when the value that a function returned has to be awaited."""
    return result is not None and inspect.isawaitable(result)


async def result_of(invoke: Callable[[A], Any], argument: A) -> Any:
    """Call a bound function, sync or async, and return its result."""
    result = invoke(argument)
    return await result if is_pending(result) else result


class HandlerCalls:
    """The calls of one handler.

    A task that serves the handler calls `invoke` directly, in its own context. After a call has set a context variable,
    and for a message whose publisher has set a context variable, it uses `start_apart`.
    """

    def __init__(self, invoke: Invoke, is_async: bool, name: str, runtime: Runtime, origins: Origins) -> None:
        self.invoke: Invoke = invoke
        self.is_async: bool = is_async
        self.apart: bool = False
        """True after a call has set a context variable. Each later call has a context of its own, and a task if it is
        async.
        """
        self._name = f"telex handler {name}"
        self._runtime = runtime
        self._origins = origins

    def start_apart(self, message: Message[Any], given: Context[Any] | None = None) -> Any:
        """Call the handler in a fresh context, or in a copy of the publisher's context. Return its result or an
        awaitable.

        Cancelling the task that awaits the result cancels the call. Awaiting raises `ProgramEnded` when the call ends
        the program.
        """
        runtime = self._runtime
        context = self._origins.of(message)
        if context is None:
            context = runtime.context.copy()
        else:
            context.run(serving.set, runtime)
            context.run(inside.set, ())  # the publisher's transaction does not apply to the handler
        context.run(current.set, given)
        result = context.run(self.invoke, message)
        if not self.is_async and not is_pending(result):
            return result
        work: Coroutine[Any, Any, object] = result if inspect.iscoroutine(result) else _waits(result)
        task = start_task(work, name=self._name, context=context)
        runtime.own(task)
        return _joined(task)

    def look(self, fresh: Variables) -> None:
        """Set `apart` if the current context differs from ``fresh``, a copy from before a direct call."""
        try:
            if copy_context() != fresh:
                self.apart = True
        except Exception:  # noqa: BLE001  # values that cannot be compared count as different
            self.apart = True


async def _waits(result: Awaitable[object]) -> object:
    return await result


async def _joined(task: asyncio.Task[object]) -> object:
    try:
        return await task
    except ENDS_PROGRAM:
        raise ProgramEnded from None
