"""`CommandQueue`: the commands of one name in the process that alone carries them out."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from operator import attrgetter
from typing import Any

import msgspec

from telex.commands.invocation import Invocation
from telex.commands.levels import LeveledQueue
from telex.commands.outcome import Outcome, Progress, failure_of, is_published
from telex.commands.progress import ProgressThrottle
from telex.commands.server import CONFLICTING, CommandServer
from telex.commands.transports.local_jobs import LocalJobs
from telex.commands.transports.turns import TurnBudget
from telex.errors import TelexError
from telex.observe.headers import carried
from telex.observe.instrument import Processing
from telex.process.tasks import start_task, start_task_at_once
from telex.runtime import Runtime
from telex.topics.topic import Topic

logger: logging.Logger = logging.getLogger("telex.commands")


class CommandQueue:
    """The commands of one server: those that run, and those that wait for a call or for the outcome of their key.

    ``invocations`` are the commands of all names, by id, until their outcome.
    """

    def __init__(
        self,
        server: CommandServer,
        runtime: Runtime,
        invocations: dict[str, Invocation],
        turn: TurnBudget,
        jobs: LocalJobs,
    ) -> None:
        name = server.command.name
        self.server: CommandServer = server
        self.waiting: LeveledQueue[Invocation] = LeveledQueue()
        self.keys: dict[str, list[Invocation]] = {}
        """The commands of each key: the first one runs, the others wait for its outcome."""
        self._most: float = server.command.concurrency if server.gate is None else math.inf
        self._senders: OrderedDict[asyncio.Future[None], None] = OrderedDict()  # those that wait for room, in order
        self._outcomes: Topic[Any] = runtime.topic(f"$command:{name}:outcome")
        self._progress: Topic[Any] = runtime.topic(f"$command:{name}:progress")
        of = Processing(name, (f"$command:{name}:request",), None, attrgetter("carried"), attrgetter("message"))
        self._carry_out = runtime.observed(server.carry_out, of)
        self._runtime = runtime
        self._invocations = invocations
        self._turn = turn
        self._jobs = jobs

    @property
    def unfinished(self) -> int:
        """The number of commands that run or wait."""
        return self.server.running + self.waiting.size

    @property
    def is_full(self) -> bool:
        """True when the next sender has to wait for `room`."""
        return self.waiting.size >= self._runtime.bounds.waiting_commands

    async def room(self) -> None:
        """Wait until `admit` or `unblock`. The caller calls `admit` when it has taken the room, or gives up."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._senders[future] = None
        try:
            await future
        finally:
            self._senders.pop(future, None)

    def admit(self) -> None:
        """Wake the first sender that waits for room, if there is room."""
        while self._senders and not self.is_full:
            if self._wake():
                return

    def unblock(self) -> None:
        """Wake all senders that wait for room."""
        while self._senders:
            self._wake()

    def _wake(self) -> bool:
        future, _ = self._senders.popitem(last=False)
        if future.done():  # cancelled
            return False
        future.set_result(None)
        return True

    # -- carrying out

    def submit(self, invocation: Invocation, *, at_once: bool = False) -> None:
        """Accept a command, on a hub that is not closing. ``at_once``: its handler may be called before this method
        returns.
        """
        if invocation.fingerprint:
            key = invocation.key or ""
            others = self.keys.get(key)
            if others is not None and others[0].fingerprint != invocation.fingerprint:
                self.server.counts.conflicted += 1
                self.answer(invocation, self.server.failure(invocation, CONFLICTING))
                return
            if others is not None:
                self.server.counts.waited += 1
                others.append(invocation)
                return
            self.keys[key] = [invocation]
        if self.server.running >= self._most:
            self.waiting.append(invocation, invocation.priority)
        else:
            self._begin(invocation, at_once=at_once)

    def _begin(self, invocation: Invocation, *, at_once: bool = False) -> None:
        """Call the handler in a task. ``at_once``: in this turn of the event loop, unless commands that were accepted
        earlier wait, or another such call is running.
        """
        self.server.running += 1
        turn, name, runtime = self._turn, invocation.command, self._runtime
        context = runtime.context.copy()
        if invocation.carried is not None:
            runtime.topics.carrier.activate()
            context.run(carried.set, invocation.carried)
        if not at_once or turn.nested or turn.scheduled:
            turn.scheduled += 1
            runtime.tasks.add(start_task(self._work(invocation, scheduled=1), name=name, context=context))
            return
        turn.nested = True
        try:
            task = start_task_at_once(self._work(invocation), name=name, context=context)
        finally:
            turn.nested = False
        if not task.done():
            runtime.tasks.add(task)

    async def _work(self, invocation: Invocation, scheduled: int = 0) -> None:
        """Carry out one command, and begin the next waiting command."""
        self._turn.scheduled -= scheduled
        try:
            self._settle(invocation, await self._carry_out(invocation))
        except asyncio.CancelledError as error:
            if self._runtime.closed:
                raise  # the hub closes
            task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # this one
            task.uncancel()
            logger.error("the task of command %s %s was cancelled by its handler", invocation.command, invocation.id)
            self._settle(invocation, self.server.failure(invocation, failure_of(error)))
        except Exception as error:  # a bug in telex or in a store: the sender gets an error
            logger.error(
                "command %s %s ended by an error of telex or of its store",
                invocation.command,
                invocation.id,
                exc_info=error,
            )
            self._settle(invocation, self.server.failure(invocation, failure_of(error)))
        except BaseException as error:
            self._settle(invocation, self.server.failure(invocation, failure_of(error)))
            raise  # the exception ends the program
        finally:
            self.server.running -= 1
            self._runtime.tasks.discard(invocation.task or asyncio.current_task())
            if self.waiting.size and not self._runtime.ends:
                self._begin(self.waiting.popleft())
            self.admit()
            self._runtime.moved()

    def _settle(self, invocation: Invocation, outcome: Outcome[Any]) -> None:
        """Publish an outcome, and give it to the sender and to the commands that wait for the same key."""
        if invocation.fingerprint:
            for other in self.keys.pop(invocation.key or "", ()):
                if other is not invocation:
                    self._share(other, invocation, outcome)
        if invocation.throttle is not None:
            step = invocation.throttle.close()
            if step is not None:
                invocation.throttle.publish(step)
        if not outcome.replayed:
            if outcome.error is None:
                self.server.succeeded += 1
            if not invocation.announced and (outcome.error is None or is_published(outcome)):
                publish_outcome(self._outcomes, outcome)
        self.answer(invocation, outcome)

    def _share(self, other: Invocation, invocation: Invocation, outcome: Outcome[Any]) -> None:
        """Answer a command that waited for the outcome of its key, or run it when no outcome was recorded."""
        if outcome.error is not None and not outcome.error.final:
            if not self._runtime.ends:  # otherwise its ticket is closed later
                self.submit(other)
            return
        self.server.counts.replayed += 1
        self.answer(other, msgspec.structs.replace(outcome, id=other.id, replayed=True), invocation.cause)

    def answer(self, invocation: Invocation, outcome: Outcome[Any], cause: BaseException | None = None) -> None:
        """Give an outcome to the sender."""
        self._invocations.pop(invocation.id, None)
        keep = self.server.command.keep
        if keep is not None or outcome.error is not None:
            self._jobs.end(invocation, outcome, keep)
        if invocation.pending is not None:
            invocation.pending.settle(outcome, cause or invocation.cause)

    # -- requests of senders, and reports of handlers

    def cancel(self, invocation: Invocation) -> None:
        """Cancel a command, for all senders of its key."""
        if invocation.fingerprint:
            invocation = self.keys[invocation.key or ""][0]
        invocation.cancel()

    def report(self, invocation: Invocation, step: Progress) -> None:
        """Report progress to all senders of the key, and to followers."""
        for each in self.keys.get(invocation.key or "", (invocation,)) if invocation.fingerprint else (invocation,):
            if each.pending is not None:
                each.pending.report(step)
        if invocation.throttle is None:
            invocation.throttle = ProgressThrottle(self._progress.publish_nowait)
        invocation.throttle.report(step)


class LimitedQueue(CommandQueue):
    """The commands of a server with a limit: all of them begin at once, and wait at the gate of the server."""

    @property
    def is_full(self) -> bool:
        """True when the next sender has to wait for `room`."""
        gate = self.server.gate
        return gate is not None and gate.waiting >= self._runtime.bounds.waiting_commands


def publish_outcome(topic: Topic[Any], outcome: Outcome[Any]) -> None:
    """Publish an outcome to followers."""
    try:
        topic.publish_nowait(outcome)
    except TelexError as error:
        logger.error("the outcome of command %s %s was not published: %s", outcome.command, outcome.id, error)
