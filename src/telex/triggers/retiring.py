"""`Retiring`: ends the groups of triggers that have ended, so that topics keep no messages for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from telex.errors import Closed, TelexError
from telex.handlers.spec import HandlerSpec

if TYPE_CHECKING:
    from telex.engines.contract.groups import GroupInfo
    from telex.groups.runner import GroupRunner
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.triggers")
MAX_CHECK_SECONDS = 60.0


def free_groups(infos: Sequence[GroupInfo]) -> set[tuple[str, str]]:
    """Return the groups, with their topics, that are not paused and have no message left, or none that is leased."""
    return {
        (info.group, info.pattern)
        for info in infos
        if not info.paused and (not info.leased or info.lag <= info.leased + info.delayed)
    }


class Retiring:
    """The groups of triggers that have ended, or were cancelled, in this process.

    When this process has left a group, the group rests: topics keep no messages for it. It is not deleted, since its
    position is needed when the trigger is declared again. If another process consumes from the group, the next message
    ends the rest.
    """

    def __init__(
        self, runtime: Runtime, groups: GroupRunner, run: Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
    ) -> None:
        self.settling: list[HandlerSpec] = []  # handlers of triggers that have ended
        self.left: set[tuple[str, str]] = set()  # groups and topics
        self._more = asyncio.Event()  # set when there is more to check
        self._runtime = runtime
        self._groups = groups
        self._run = run
        self._checking = False

    def settle(self, handlers: Sequence[HandlerSpec]) -> None:
        """Remove handlers of a trigger that has fired for the last time, when every firing is settled: until then a
        firing may be redelivered to this process.
        """
        self.settling += handlers
        self._check_soon()

    def cancel(self, handler: HandlerSpec) -> None:
        """Remove a handler now. A call that runs is not cancelled."""
        self._leave(handler)
        self._run(partial(self._retire, handler))

    async def finish(self) -> None:
        """Let settled groups rest. Called when the hub closes and has no more consumers."""
        if self.settling or self.left:
            try:
                infos = await self._runtime.groups("triggers").groups()
                for handler in self._settled(infos):
                    self._leave(handler)
                going_on = [each for each in self._groups.declarations if each not in self.settling]
                names = {each.group.name for each in going_on if each.group is not None}
                await self._rest(infos, {name for name in self.left if name[0] in names})
            except TelexError as error:
                logger.error("topics may go on to keep messages for triggers that have ended: %s", error)

    async def _retire(self, handler: HandlerSpec) -> None:
        await self._groups.retire(handler)
        self._check_soon()

    def _leave(self, handler: HandlerSpec) -> None:
        if handler.group is not None:
            self.left.update((handler.group.name, topic) for topic in handler.patterns)

    def _check_soon(self) -> None:
        self._more.set()
        if not self._checking:
            self._checking = True
            self._run(self._check)

    async def _check(self) -> None:
        least = self._runtime.bounds.settled_check_seconds
        wait = least
        while self.settling or self.left:
            await self._wait(wait)
            asked = frozenset(self.left)
            try:
                infos = await self._runtime.groups("triggers").groups()
                moved = await self._leave_settled(infos)
                if asked:
                    self.left -= asked - {(info.group, info.pattern) for info in infos}  # these were forgotten
                    moved = await self._rest(infos, self._groups.served()) or moved
            except Closed:
                raise
            except TelexError as error:
                logger.error("cannot check whether the firings of ended triggers are settled: %s", error)
                moved = False
            wait = least if moved else min(2 * wait, MAX_CHECK_SECONDS)
        self._checking = False

    async def _wait(self, seconds: float) -> None:
        """Sleep, but only for the shortest time when there is more to check."""
        least = self._runtime.bounds.settled_check_seconds
        self._more.clear()
        await asyncio.sleep(least)
        try:
            async with asyncio.timeout(seconds - least):
                await self._more.wait()
        except TimeoutError:
            return

    async def _leave_settled(self, infos: Sequence[GroupInfo]) -> bool:
        """Remove the handlers whose groups are settled. Return true when there were any."""
        found = self._settled(infos)
        for handler in found:
            self.settling.remove(handler)
            self._leave(handler)
            await self._groups.retire(handler)
        return bool(found)

    def _settled(self, infos: Sequence[GroupInfo]) -> list[HandlerSpec]:
        settled = {info.group for info in infos if not info.lag}
        return [each for each in self.settling if each.group is not None and each.group.name in settled]

    async def _rest(self, infos: Sequence[GroupInfo], served: set[tuple[str, str]]) -> bool:
        """Let groups rest that this process has left and that have no consumers. Return true when there were any."""
        groups = self._runtime.groups("triggers")
        found = (self.left & free_groups(infos)) - served
        for group, topic in found:
            await groups.change(group, topic, "rest")
            self.left.discard((group, topic))
        return bool(found)
