"""`HandlerCalls`: the calls of one handler, each in a context of its own (`contextvars`)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from telex.engines.contract.store import inside
from telex.handlers.context import Context, current
from telex.handlers.origins import Origins, same
from telex.process.tasks import start_task
from telex.topics.publisher import serving

if TYPE_CHECKING:
    from contextvars import Context as Variables

    from telex.handlers.spec import HandlerSpec, Invoke
    from telex.message import Message
    from telex.runtime import Runtime

ENDS_PROGRAM = (SystemExit, KeyboardInterrupt)
"""What a handler raises to end the program: it goes on to the event loop, which raises it where the loop is run."""


class ProgramEnded(BaseException):
    """A call ended the program, and its own task has told the loop so."""


class HandlerCalls:
    """How a handler is called: directly, in the context of the task that serves it, as long as that is as good as a
    fresh one. It is not when the call before set a context variable, or when the publisher had.
    """

    def __init__(self, declaration: HandlerSpec, runtime: Runtime, origins: Origins) -> None:
        self.invoke: Invoke = declaration.bind(runtime)
        self.is_async: bool = declaration.is_async
        self.apart: bool = False
        """Whether its calls are known to set context variables: from then on each has a context, and a task where it
        waits."""
        self._name = f"telex handler {declaration.name}"
        self._runtime = runtime
        self._origins = origins

    def look(self, fresh: Variables) -> None:
        """After a direct call in the context ``fresh`` was copied from: whether that is as it was."""
        if not same(copy_context(), fresh):
            self.apart = True

    def begin(self, message: Message[Any], given: Context[Any] | None = None) -> Any:
        """Call it in a fresh context, or in a copy of the publisher's. What it returns has to be awaited if it can be.

        Cancelling who awaits it cancels the call. `ProgramEnded` comes from there when the call ends the program.
        """
        runtime = self._runtime
        context = self._origins.of(message)
        if context is None:
            context = runtime.context.copy()
        else:
            context.run(serving.set, runtime)
            context.run(inside.set, ())  # a transaction is the publisher's own
        context.run(current.set, given)
        result = context.run(self.invoke, message)
        if not self.is_async and not inspect.isawaitable(result):
            return result
        work: Coroutine[Any, Any, object] = result if inspect.iscoroutine(result) else _waits(result)
        task = start_task(work, name=self._name, context=context)
        runtime.own(task)
        return _joined(task)


async def _waits(result: Awaitable[object]) -> object:
    return await result


async def _joined(task: asyncio.Task[object]) -> object:
    try:
        return await task
    except ENDS_PROGRAM:
        raise ProgramEnded from None
