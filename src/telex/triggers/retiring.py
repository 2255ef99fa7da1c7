"""`Retiring`: functions of triggers that have ended leave their groups, and groups that nobody takes from rest."""

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
LOOK = 1.0
"""Seconds until it is looked whether what an ended trigger has fired is settled; then twice that, up to `LONGEST`."""
LONGEST = 60.0


def free_groups(infos: Sequence[GroupInfo]) -> set[tuple[str, str]]:
    """Which groups nobody is behind with: nothing waits, or nobody works on what does. A paused one is to go on."""
    return {
        (info.group, info.pattern)
        for info in infos
        if not info.paused and (not info.leased or info.lag <= info.leased + info.delayed)
    }


class Retiring:
    """What is left of triggers of a file that have ended, or were cancelled, in this process.

    A group that this process has left rests, so that topics keep nothing for it. It stays, since its place is needed
    where the trigger is declared again. A process that takes from it still ends the rest with the next message.
    """

    def __init__(
        self, runtime: Runtime, groups: GroupRunner, do: Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
    ) -> None:
        self.settling: list[HandlerSpec] = []  # handlers of triggers that have ended
        self._left: set[tuple[str, str]] = set()  # groups and topics
        self._more = asyncio.Event()  # there is another one to look after
        self._runtime = runtime
        self._groups = groups
        self._do = do
        self._looks = False

    def settle(self, handlers: Sequence[HandlerSpec]) -> None:
        """Their trigger has fired for the last time. They are called no more when every firing is settled: until then
        it may come to this process, should another die that has it.
        """
        self.settling += handlers
        self._look()

    def cancel(self, handler: HandlerSpec) -> None:
        """It is called no more, apart from a call that runs."""
        self._leave(handler)
        self._do(partial(self._retire, handler))

    async def finish(self) -> None:
        """The hub closes, and nobody in it takes from a group any more."""
        if self.settling or self._left:
            try:
                infos = await self._runtime.groups("triggers").groups()
                for handler in self._settled(infos):
                    self._leave(handler)
                going_on = [each for each in self._groups.declarations if each not in self.settling]
                names = {each.group.name for each in going_on if each.group is not None}
                await self._rest(infos, {name for name in self._left if name[0] in names})
            except TelexError as error:
                logger.error("topics may go on to keep messages for triggers that have ended: %s", error)

    async def _retire(self, handler: HandlerSpec) -> None:
        await self._groups.retire(handler)
        self._look()

    def _leave(self, handler: HandlerSpec) -> None:
        if handler.group is not None:
            self._left.update((handler.group.name, topic) for topic in handler.patterns)

    def _look(self) -> None:
        self._more.set()
        if not self._looks:
            self._looks = True
            self._do(self._look_after)

    async def _look_after(self) -> None:
        wait = LOOK
        while self.settling or self._left:
            await self._wait(wait)
            asked = frozenset(self._left)
            try:
                infos = await self._runtime.groups("triggers").groups()
                moved = await self._leave_settled(infos)
                if asked:
                    self._left -= asked - {(info.group, info.pattern) for info in infos}  # these were forgotten
                    moved = await self._rest(infos, self._groups.served()) or moved
            except Closed:
                raise
            except TelexError as error:
                logger.error("it is not known whether what triggers have fired is settled: %s", error)
                moved = False
            wait = LOOK if moved else min(2 * wait, LONGEST)
        self._looks = False

    async def _wait(self, seconds: float) -> None:
        """That long, but not much longer than `LOOK` when there is more to look after."""
        self._more.clear()
        await asyncio.sleep(LOOK)
        try:
            async with asyncio.timeout(seconds - LOOK):
                await self._more.wait()
        except TimeoutError:
            return

    async def _leave_settled(self, infos: Sequence[GroupInfo]) -> bool:
        """Whether there was any to leave."""
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
        """Have groups rest that were left, and that nobody takes from; whether there were any."""
        groups = self._runtime.engine.groups
        assert groups is not None, "without groups, none is left"
        found = (self._left & free_groups(infos)) - served
        for group, topic in found:
            await groups.rest(group, topic)
            self._left.discard((group, topic))
        return bool(found)
