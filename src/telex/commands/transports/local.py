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
from telex.commands.transports.worker import CommandWorker
from telex.errors import TelexError
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
        "parked",
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
        self.running: int = 0  # runners with a run
        self.parked: list[CommandWorker] = []  # those without
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
        self.running += 1
        while self.parked:
            runner = self.parked.pop()
            if runner.is_parked:
                break
        else:
            self._hire(run)
            return
        turn = self._turn
        if at_once and not turn.taken and not turn.given and self._runtime.progress is None:
            self._begin(runner, run)
        else:
            turn.given += 1
            runner.give(run)

    def _hire(self, run: Invocation) -> None:
        """One more runner."""
        self._turn.given += 1
        task = CommandWorker(self.served, self._runtime, self._work, run).task
        self._runtime.own(task)

    def _begin(self, runner: CommandWorker, run: Invocation) -> None:
        """Carry out a command as far as it goes without waiting, now."""
        self._turn.taken = True  # what is called meanwhile is not: it would be one within the other without end
        try:
            outcome = runner.begin(run)
        except BaseException as error:  # which ends the program: it is told, and whoever catches it finds all in order
            self._settle(run, self.served.ended(run, failure_of(error)))
            self.running -= 1
            self.parked.append(runner)
            raise
        finally:
            self._turn.taken = False
        if outcome is None:
            return
        run.task = None
        self._settle(run, outcome)
        spent = runner.is_spent()
        if self.waiting:
            following = self._next()
            if spent:
                self._hire(following)
            else:
                self._turn.given += 1
                runner.give(following)
            return
        self.running -= 1
        if not spent:
            self.parked.append(runner)

    def _next(self) -> Invocation:
        run = self.waiting.popleft()
        if self.blocked and len(self.waiting) < BACKLOG:
            self.unblock()
        return run

    async def _work(self, runner: CommandWorker, run: Invocation) -> None:
        """Carry out what comes, one after the other, until the hub closes. There are as many of these as calls ever
        ran at once.
        """
        busy = True
        self._turn.given -= 1
        try:
            while True:
                try:
                    outcome = await runner.carry_out(run)
                except asyncio.CancelledError:
                    raise  # the hub closes
                except BaseException as error:  # which ends the program: as in `_begin`
                    self._settle(run, self.served.ended(run, failure_of(error)))
                    raise
                run.task = None
                self._settle(run, outcome)
                if self._runtime.ends:
                    return  # its handler has an outcome though it was cancelled, and nobody cancels it again
                if self.waiting:
                    run = self._next()
                    continue
                self.running -= 1
                busy = False
                self._runtime.moved()
                self.parked.append(runner)
                run = await runner.park()
                busy = True
                self._turn.given -= not runner.has_begun
        finally:
            self.running -= busy
            if runner in self.parked:
                self.parked.remove(runner)
            self._runtime.moved()

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
