"""`CommandWorker`: a task that carries out the commands of one name in this process, one after the other."""

from __future__ import annotations

import asyncio
import logging
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from telex.commands.outcome import Outcome, failure_of
from telex.process.tasks import start_task
from telex.topics.publisher import serving

if TYPE_CHECKING:
    from telex.commands.server import CommandServer, Invocation
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.commands")


class CommandWorker:
    """Parked, it waits for a run. It may be begun in the turn of whoever asks for it, as that task's own work would be:
    what never waits has its outcome then, and no task is switched to. What does is gone on with in its own task, which
    is the current one all the while (`asyncio.current_task`): so it may be cancelled, and not with who asked.
    """

    __slots__ = ("_begun", "_context", "_loop", "_run", "_runtime", "_seat", "_served", "task")

    def __init__(
        self,
        served: CommandServer,
        runtime: Runtime,
        work: Callable[[CommandWorker, Invocation], Coroutine[Any, Any, None]],
        run: Invocation,
    ) -> None:
        self._served = served
        self._runtime = runtime
        self._loop = asyncio.get_running_loop()
        self._seat: ParkedFuture | None = None  # where it is parked
        self._run: Invocation | None = None  # that it was given there
        self._begun: StartedCoroutine | None = None  # what was begun of that
        context = copy_context()
        context.run(serving.set, runtime)
        self._context: Context | None = context
        doing, name = work(self, run), served.command.name
        self.task: asyncio.Task[None]
        try:
            self.task = start_task(doing, name=name, context=context)
        except TypeError:  # of a loop whose task factory knows of no contexts
            self._context = None
            self.task = context.run(partial(asyncio.create_task, doing, name=name))

    # -- in its task

    async def park(self) -> Invocation:
        """Wait for a run."""
        self._seat = seat = ParkedFuture(loop=self._loop)
        try:
            await seat
        except asyncio.CancelledError as error:
            if self._begun is not None:
                self._begun.interrupted = error  # it is what was begun that is cancelled
            elif self._run is None or self._runtime.progress is not None:
                raise  # it is the task itself, or the hub closes
            else:
                self.task.uncancel()  # meant for what it did before, and too late
        finally:
            self._seat = None
        run, self._run = self._run, None
        if run is None:
            raise AssertionError("who wakes it gives it a run")
        return run

    @property
    def has_begun(self) -> bool:
        """Whether what it was given was begun by `begin`."""
        return self._begun is not None

    async def carry_out(self, run: Invocation) -> Outcome[Any]:
        """What becomes of a run. Raises `asyncio.CancelledError` when the hub closes."""
        begun, self._begun = self._begun, None
        outcome: Outcome[Any]
        try:
            doing = self._served.carry_out(run, self.task) if begun is None else begun
            outcome = doing if isinstance(doing, Outcome) else await doing
        except asyncio.CancelledError as error:
            if self._runtime.progress is not None:
                raise  # the hub closes
            self.task.uncancel()
            return self._came_to_nothing(run, error)
        except Exception as error:  # noqa: BLE001  # a bug, or a store's: whoever waits has to know
            return self._came_to_nothing(run, error)
        if self._is_cancelled and self._runtime.progress is None:
            await self._forget_it()
        return outcome

    async def _forget_it(self) -> None:
        """A run that has ended has cancelled its task: that is not for the next one."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.task.uncancel()

    def _came_to_nothing(self, run: Invocation, error: BaseException) -> Outcome[Any]:
        if isinstance(error, asyncio.CancelledError):
            logger.error("the task of command %s %s was cancelled by its handler", run.command, run.id)
        else:
            logger.error("command %s %s came to nothing", run.command, run.id, exc_info=error)
        return self._served.ended(run, failure_of(error))

    # -- in another one, while it is parked

    @property
    def is_parked(self) -> bool:
        """Whether it can be given a run: not when its task was cancelled as it waited."""
        return self._seat is not None and not self._seat.done()

    def give(self, run: Invocation) -> None:
        """Have it carry out a run."""
        if self._seat is None:
            raise AssertionError("only who is parked is given a run")
        self._run = run
        self._seat.set_result(None)

    def begin(self, run: Invocation) -> Outcome[Any] | None:
        """Carry out a run as far as it goes without waiting: its outcome, or None when its task goes on with it."""
        loop, task, seat, asker = self._loop, self.task, self._seat, asyncio.current_task()
        if seat is None:
            raise AssertionError("only who is parked begins a run")
        if asker is None or self._context is None:  # no task asks, but a coroutine that is driven by hand
            self.give(run)
            return None
        seat.held = True  # or who cancels the task meanwhile would cancel its parking
        _leave_task(loop, asker)
        _enter_task(loop, task)
        try:
            doing: Any = self._served.carry_out(run, task)
            if doing.__class__ is Outcome:
                return doing
            waits_for = self._context.run(doing.send, None)
        except StopIteration as end:
            outcome: Outcome[Any] = end.value
            return outcome
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # as in `carry_out`
            return self._came_to_nothing(run, error)
        finally:
            _leave_task(loop, task)
            _enter_task(loop, asker)
            seat.held = False
        self._begun = StartedCoroutine(doing, waits_for)
        self.give(run)
        return None

    def is_spent(self) -> bool:
        """Whether what it has begun and ended has cancelled its task. Then it ends."""
        if self._is_cancelled:
            self.task.cancel()
            return True
        return False

    @property
    def _is_cancelled(self) -> bool:
        """Whether its task would be interrupted by what it waits for next, whatever that is."""
        return getattr(self.task, "_must_cancel", False)  # nothing public tells


class ParkedFuture(asyncio.Future[None]):
    """Where a runner is parked."""

    held: bool = False

    def cancel(self, msg: Any | None = None) -> bool:
        """Not while something is done in the name of the task that waits here: it hears of it when it goes on."""
        return not self.held and super().cancel(msg)


class StartedCoroutine:
    """A coroutine that has run until it waits for something. Awaited, it goes on from there."""

    __slots__ = ("_blocks", "_coroutine", "_waits_for", "interrupted")

    def __init__(self, coroutine: Any, waits_for: Any) -> None:
        self.interrupted: asyncio.CancelledError | None = None  # before it could go on
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._blocks = getattr(waits_for, "_asyncio_future_blocking", None) is not None
        if self._blocks:
            waits_for._asyncio_future_blocking = False  # or another task that waits for the same would be disturbed

    def __await__(self) -> Generator[Any, None, Any]:
        coroutine, waits_for = self._coroutine, self._waits_for
        error: BaseException | None = self.interrupted
        if error is not None and waits_for is not None and waits_for.cancel():
            error = None  # as when a task is cancelled: what it waits for is, and tells it
        if error is None and self._blocks:
            waits_for._asyncio_future_blocking = True  # what a task that is told of it expects
        while True:
            if error is None:
                try:
                    yield waits_for
                except BaseException as thrown:  # noqa: BLE001  # what it waited for has raised, and it is told
                    error = thrown
                else:
                    return (yield from coroutine.__await__())
            try:
                waits_for, error = coroutine.throw(error), None
            except StopIteration as end:
                return end.value
