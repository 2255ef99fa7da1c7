"""`HubWork`: the calls of one hub, of handlers, groups and commands; `HubStatistics`: its counts."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from telex.commands.dispatcher import CommandDispatcher
from telex.commands.server import CommandStatistics
from telex.errors import Closed, Misuse, Timeout
from telex.groups.runner import GroupRunner
from telex.handlers.runner import HandlerRunner
from telex.handlers.statistics import HandlerStatistics
from telex.runtime import Runtime

LAG_CHECK_SECONDS, MOST_LAG_CHECK_SECONDS = 0.005, 1.0
"""The first and the longest time after which `HubWork.wait` reads the lag of groups again, while no call of this hub
ends.
"""

logger: logging.Logger = logging.getLogger("telex.handlers")


class HubStatistics(msgspec.Struct, frozen=True):
    """The state of a hub now. ``unhandled`` counts messages on patterns with typed handlers that no handler took."""

    topics: int
    patterns: int
    subscribers: int
    unhandled: int
    handlers: tuple[HandlerStatistics, ...]
    commands: tuple[CommandStatistics, ...] = ()
    connected: bool = True


class HubWork:
    """The messages and commands of a hub that are not finished."""

    def __init__(
        self, runtime: Runtime, handlers: HandlerRunner, groups: GroupRunner, commands: CommandDispatcher
    ) -> None:
        self._runtime = runtime
        self._handlers = handlers
        self._groups = groups
        self._commands = commands
        self._cut_short = False  # True when the hub was closed with unfinished work

    def idle(self) -> bool:
        """Return true when no call runs, and no message that this process holds waits for a call."""
        idle = self._handlers.idle and self._groups.idle and not self._commands.unfinished
        return idle and self._runtime.calls_nothing

    async def wait(self, limit: float | None) -> None:
        """Wait until all messages are finished, also those that groups have not leased yet; see `telex.Hub.idle`.
        ``limit`` is in seconds. Raises `Timeout`, `EngineFailed`; `Misuse` in a call of the hub; `Closed` when the hub
        is closed with unfinished messages.
        """
        if asyncio.current_task() in self._runtime.tasks:
            raise Misuse(
                "wait in a handler until the hub is idle", "the handler itself is not finished; wait elsewhere"
            )
        lagging: list[str] = []
        clock = asyncio.timeout(limit)
        try:
            async with clock:
                pause = LAG_CHECK_SECONDS
                while True:
                    await self._runtime.until(self.idle)
                    if self._cut_short:
                        raise Closed("this hub", "it was closed with unfinished messages; give a longer close_timeout=")
                    lagging = await self._lagging()
                    if not lagging and self.idle():
                        return
                    # A message that waits for its next attempt is handled here, which ends the pause.
                    ended = await self._runtime.call_ends(pause if lagging else 0.0)
                    pause = LAG_CHECK_SECONDS if ended else min(2 * pause, MOST_LAG_CHECK_SECONDS)
        except TimeoutError:
            if limit is None or not clock.expired():
                raise
            here = f"unfinished messages: {self._handlers.unfinished} of handlers, {self._groups.unfinished} of groups"
            raise Timeout(
                "waiting until the hub is idle", limit, ", ".join((here, *lagging, "give idle(timeout=) more time"))
            ) from None

    async def _lagging(self) -> list[str]:
        """Return a text for each group with unfinished messages that this hub serves."""
        served = self._groups.served()
        if not served:
            return []
        infos = {(info.group, info.pattern): info for info in await self._runtime.groups("groups").groups()}
        missing = [f"the group {group!r} has not begun on {pattern!r}" for group, pattern in served - infos.keys()]
        return missing + [
            f"the group {info.group!r} has {info.lag} of {info.pattern!r}"
            for takes_from, info in infos.items()
            if info.lag and not info.paused and takes_from in served
        ]

    async def finish(self, seconds: float) -> None:
        """Finish the calls of a hub that closes: wait at most ``seconds``, cancel the others, and return unsettled
        deliveries to their groups.
        """
        self._groups.drain()
        try:
            if not await self._runtime.wait_until(self.idle, seconds):
                self._cut_short = True
                text = "the hub was closed with unfinished messages and commands after %g s: %d"
                count = self._handlers.unfinished + self._groups.unfinished + self._commands.unfinished
                logger.warning(text, seconds, count)
        finally:
            self._handlers.leave()
            await self._runtime.cancel()
            await self._groups.finish()
