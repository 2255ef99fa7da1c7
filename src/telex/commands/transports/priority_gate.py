"""`PriorityGate`: shares the calls of one command between its priorities, in the process of a worker."""

from __future__ import annotations

import asyncio

from telex.commands.levels import LeveledQueue
from telex.commands.plan import Priority
from telex.commands.server import CommandServer


class PriorityGate:
    """The calls that may run at once, counted in `CommandServer.running`. Commands that wait begin by priority."""

    def __init__(self, server: CommandServer) -> None:
        self._server = server
        self._joined: set[Priority] = {"normal"}
        self._waiting: LeveledQueue[asyncio.Future[None]] = LeveledQueue()

    def joins(self, level: Priority) -> bool:
        """Return true the first time that a level is named, so that the worker joins its group once."""
        new = level not in self._joined
        self._joined.add(level)
        return new

    async def enter(self, level: Priority) -> None:
        """Count one running call, after waiting for its turn. Cancelled, it counts nothing."""
        server = self._server
        if server.running < server.command.concurrency and not self._waiting:
            server.running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn, level)
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

    def _begin(self) -> None:
        server = self._server
        while self._waiting and server.running < server.command.concurrency:
            turn = self._waiting.popleft()
            if not turn.done():
                server.running += 1
                turn.set_result(None)
