"""`LocalTransport`: a command that this process alone carries out, and its calls in flight; `CommandStatistics`."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from telex.commands.outcome import Outcome, Progress, failure_of, tells_all
from telex.commands.progress import ProgressThrottle
from telex.commands.server import CONFLICTING, CommandServer, Invocation
from telex.errors import TelexError
from telex.process.tasks import start_task, start_task_at_once
from telex.topics.publisher import FAIR
from telex.topics.topic import Topic

if TYPE_CHECKING:
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.commands")
SHARE = 0.005
"""Seconds for which commands are begun in one turn, before other tasks have theirs."""
BACKLOG = 10_000
"""How many accepted commands of one name wait for a call that may begin; with more, `Hub.send` waits."""


class CommandStatistics(msgspec.Struct, frozen=True):
    """A command that a hub serves, at one moment; the counts are of this process.

    ``running`` and ``waiting`` now; ``executed`` is how often its handler was called, ``failed`` how many outcomes were
    errors, ``expired`` how many commands nobody waited for any more when they were to begin. For those that run once:
    ``replayed`` outcomes that were there, ``waited`` duplicates that waited for one, ``conflicted`` keys that came with
    other content, ``taken_over`` leases that had run out, ``fenced`` results that came too late.
    """

    command: str
    running: int
    waiting: int
    executed: int
    failed: int
    expired: int
    replayed: int
    waited: int
    conflicted: int
    taken_over: int
    fenced: int


class TurnBudget:
    """The turn of the event loop in which commands of a hub are called for, and begun."""

    __slots__ = ("_began", "_calls", "given", "taken")

    def __init__(self) -> None:
        self.taken: bool = False  # one is being begun
        self.given: int = 0  # commands that were accepted and are begun in another turn: none is begun before them
        self._began = 0.0
        self._calls = 0

    def offers(self) -> bool:
        """Whether one more may be called for in it: not for long, so that who calls and calls does not keep other tasks
        from theirs.
        """
        self._calls += 1
        return self._calls < FAIR and monotonic() - self._began < SHARE

    def begin(self) -> None:
        """It is a new one."""
        self._calls, self._began = 0, monotonic()


class LocalTransport:
    """What a command that is carried out in this process alone has in hand. ``runs`` are those of all commands, by id,
    until they have their outcome.
    """

    __slots__ = (
        "_runs",
        "_runtime",
        "_turn",
        "blocked",
        "keys",
        "outcomes",
        "running",
        "served",
        "steps",
        "waiting",
    )

    def __init__(
        self,
        served: CommandServer,
        runtime: Runtime,
        runs: dict[str, Invocation],
        turn: TurnBudget,
        outcomes: Topic[Any],
        steps: Topic[Any],
    ) -> None:
        self.served: CommandServer = served
        self.running: int = 0
        self.waiting: deque[Invocation] = deque()
        self.keys: dict[str, list[Invocation]] = {}  # the first works on the key, the others wait for its outcome
        self.blocked: list[asyncio.Future[None]] = []  # senders that wait for room
        self.outcomes: Topic[Any] = outcomes
        self.steps: Topic[Any] = steps
        self._runtime = runtime
        self._runs = runs
        self._turn = turn

    @property
    def is_full(self) -> bool:
        """Whether who sends one more has to wait for `room`."""
        return len(self.waiting) >= BACKLOG

    async def room(self) -> None:
        """Wait until there may be room, or none is needed any more."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.blocked.append(future)
        await future

    def unblock(self) -> None:
        """There is room: whoever waits for it looks again."""
        blocked, self.blocked = self.blocked, []
        for future in blocked:
            if not future.done():
                future.set_result(None)

    # -- carrying out

    def submit(self, run: Invocation, *, at_once: bool = False) -> None:
        """Have a command carried out; ``at_once``: it may be begun before this returns. When the hub ends its calls it
        is not begun any more, and its ticket is closed with the others.
        """
        if self._runtime.ends:
            return
        if run.fingerprint:
            key = run.key or ""
            others = self.keys.get(key)
            if others is not None and others[0].fingerprint != run.fingerprint:
                self.served.tally.conflicted += 1
                self._runs.pop(run.id, None)
                run.reply.settle(self.served.ended(run, CONFLICTING))
                return
            if others is not None:
                self.served.tally.waited += 1
                others.append(run)
                return
            self.keys[key] = [run]
        if self.running >= self.served.command.concurrency:
            self.waiting.append(run)
            return
        self._begin(run, at_once=at_once)

    def _begin(self, run: Invocation, *, at_once: bool = False) -> None:
        """Call the handler in a task; ``at_once``: in this turn, unless that would be before commands that were
        accepted earlier, or within another such call.
        """
        self.running += 1
        turn, name, context = self._turn, self.served.command.name, self._runtime.context.copy()
        if not at_once or turn.taken or turn.given:
            turn.given += 1
            self._runtime.tasks.add(start_task(self._work(run, given=1), name=name, context=context))
            return
        turn.taken = True
        try:
            task = start_task_at_once(self._work(run), name=name, context=context)
        finally:
            turn.taken = False
        if not task.done():
            self._runtime.tasks.add(task)

    async def _work(self, run: Invocation, given: int = 0) -> None:
        """Carry out one command, and begin the next that waits."""
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # this one
        self._turn.given -= given
        try:
            outcome = self.served.carry_out(run, task)
            self._settle(run, outcome if isinstance(outcome, Outcome) else await outcome)
        except asyncio.CancelledError:
            if self._runtime.progress is not None:
                raise  # the hub closes
            task.uncancel()
            logger.error("the task of command %s %s was cancelled by its handler", run.command, run.id)
            self._settle(run, self.served.ended(run, failure_of(asyncio.CancelledError())))
        except Exception as error:  # a bug, or a store's: the sender has to know
            logger.error("command %s %s came to nothing", run.command, run.id, exc_info=error)
            self._settle(run, self.served.ended(run, failure_of(error)))
        except BaseException as error:
            self._settle(run, self.served.ended(run, failure_of(error)))
            raise  # it ends the program
        finally:
            self.running -= 1
            self._runtime.tasks.discard(task)
            if self.waiting and not self._runtime.ends:
                self._begin(self._next())
            self._runtime.moved()

    def _next(self) -> Invocation:
        run = self.waiting.popleft()
        if self.blocked and len(self.waiting) < BACKLOG:
            self.unblock()
        return run

    def _settle(self, run: Invocation, outcome: Outcome[Any]) -> None:
        if run.fingerprint:
            for other in self.keys.pop(run.key or "", ()):
                if other is not run:
                    self._answer(other, run, outcome)
        if run.pace is not None:
            step = run.pace.close()
            if step is not None:  # what is told of it comes before its outcome
                run.pace.pass_on(step)
        if not outcome.replayed and not run.announced and (outcome.error is None or tells_all(outcome)):
            try:
                self.outcomes.publish_nowait(outcome)
            except TelexError as error:
                logger.error("the outcome of command %s %s was not published: %s", outcome.command, outcome.id, error)
        self._runs.pop(outcome.id, None)
        run.reply.settle(outcome, run.cause)

    def _answer(self, other: Invocation, run: Invocation, outcome: Outcome[Any]) -> None:
        """Tell one that waited what became of the key that it waited for."""
        if outcome.error is not None and not outcome.error.final:
            self.submit(other)  # nothing was recorded: it is its turn
            return
        self.served.tally.replayed += 1
        del self._runs[other.id]
        other.reply.settle(msgspec.structs.replace(outcome, id=other.id, replayed=True), run.cause)

    # -- what those who sent it ask and are told

    def cancel(self, run: Invocation) -> None:
        """End it, begun or not."""
        if run.fingerprint:
            run = self.keys[run.key or ""][0]  # the command of all who sent it
        run.cancel()

    def report(self, run: Invocation, step: Progress) -> None:
        """It has come so far: tell its senders, and those who follow."""
        for each in self.keys.get(run.key or "", (run,)) if run.fingerprint else (run,):
            each.reply.tell(step)
        if run.pace is None:
            run.pace = ProgressThrottle(self.steps.publish_nowait)
        run.pace.tell(step)
