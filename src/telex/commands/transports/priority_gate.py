"""`PriorityGate`: shares the calls of one command between its priorities, in the process of a worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from telex.commands.levels import LeveledQueue
from telex.commands.plan import LEVELS, Priority
from telex.commands.server import CommandServer
from telex.errors import EngineFailed
from telex.process.tasks import start_task

logger: logging.Logger = logging.getLogger("telex.commands")
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.001, 0.25
"""The first and the longest pause before the engine is asked again, while it has commands with a higher priority."""
MAX_HELD_SECONDS = 5.0
"""The longest time for which a free call is held for commands with a higher priority that do not come."""
HasCommands = Callable[[Collection[Priority]], Awaitable[bool]]
"""Returns true when commands of these priorities are on their way to the gate."""


class PriorityGate:
    """The calls that may run at once, counted in `CommandServer.running`. Commands that wait begin by priority.

    A command begins when ``has_commands`` returns false for the higher priorities. A command with only one priority has
    no gate.
    """

    def __init__(self, server: CommandServer, has_commands: HasCommands) -> None:
        self._server = server
        self._has_commands = has_commands
        self._joined: set[Priority] = {"normal"}
        self._waiting: LeveledQueue[asyncio.Future[None]] = LeveledQueue()
        self._asking: asyncio.Task[None] | None = None

    def joins(self, level: Priority) -> bool:
        """Return true the first time that a level is named, so that the worker joins its group once."""
        new = level not in self._joined
        self._joined.add(level)
        return new

    def _above(self, level: Priority) -> list[Priority]:
        """Return the priorities in use that are higher than ``level``."""
        return [higher for higher in LEVELS[: LEVELS.index(level)] if higher in self._joined]

    def waiting(self, level: Priority) -> int:
        """Return the number of commands of a priority that wait here."""
        return self._waiting.count(level)

    async def enter(self, level: Priority) -> None:
        """Count one running call, after waiting for its turn. Cancelled, it counts nothing."""
        server = self._server
        if server.running < server.command.concurrency and not self._waiting and not self._above(level):
            server.running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn, level)
        self.notify()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                server.running -= 1  # its turn had come
                self.notify()
            elif turn in self._waiting:
                self._waiting.remove(turn, level)
            raise

    def notify(self) -> None:
        """Begin the next calls, after a call has ended. This happens in the next turn of the event loop: the task of
        the ended call may bring a command with a higher priority before.
        """
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)

    @property
    def _free(self) -> int:
        """The number of waiting commands for which calls are free."""
        return min(self._server.command.concurrency - self._server.running, len(self._waiting))

    def _higher(self) -> list[Priority]:
        """Return the priorities of which the engine must have no commands before the next command begins."""
        level, passed = self._waiting.next()
        return [] if passed else self._above(level)

    def _begin(self) -> None:
        while self._free > 0 and not self._higher():
            self._begin_next()
        if self._free > 0 and self._asking is None:
            self._asking = start_task(self._ask(), name=f"telex priorities {self._server.command.name}")

    def _begin_next(self) -> None:
        turn = self._waiting.popleft()
        if not turn.done():
            self._server.running += 1
            turn.set_result(None)

    async def _ask(self) -> None:
        """Begin waiting commands when the engine has none of higher priorities."""
        time = asyncio.get_running_loop().time
        pause, until = FIRST_PAUSE_SECONDS, time() + MAX_HELD_SECONDS
        try:
            while (free := self._free) > 0:
                higher = self._higher()
                if higher and time() < until and await self._is_held(higher):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, MAX_PAUSE_SECONDS)
                    continue
                for _ in range(min(free, self._free)):  # a call that ended meanwhile, or a lower level, asks again
                    if not set(self._higher()).issubset(higher):
                        break
                    self._begin_next()
                pause, until = FIRST_PAUSE_SECONDS, time() + MAX_HELD_SECONDS
        finally:
            self._asking = None

    async def _is_held(self, higher: Collection[Priority]) -> bool:
        try:
            return await self._has_commands(higher)
        except EngineFailed as error:
            logger.warning("commands %s begin in any order: %s", self._server.command.name, error)
            return False

    async def close(self) -> None:
        """Stop asking the engine."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
