"""What a hub does with the groups of its engine."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from time import time

from telex.engines.contract import Engine, Groups
from telex.engines.contract.groups import DeadLetter, GroupInfo
from telex.errors import Misuse


class GroupAdmin:
    """Groups, paused and resumed, and their dead letters: ``hub.groups``. All of it waits for the engine, and raises
    `EngineFailed`, `Closed`; `Misuse` for an engine without groups.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._engine = engine

    @property
    def _groups(self) -> Groups:
        if self._engine.groups is None:
            raise Misuse(f"use groups on {type(self._engine).__name__}", "this engine has no groups")
        return self._engine.groups

    async def list(self) -> list[GroupInfo]:
        """All groups, with how far they are behind."""
        return await self._groups.groups()

    async def pause(self, group: str, pattern: str | None = None) -> bool:
        """Let the group claim nothing more, in all processes; what it works on it finishes. Without ``pattern``, on
        all patterns that it takes from. Whether there is one."""
        return await self._pause(group, pattern, True)

    async def resume(self, group: str, pattern: str | None = None) -> bool:
        """Let it go on. Whether there is one."""
        return await self._pause(group, pattern, False)

    async def _pause(self, group: str, pattern: str | None, paused: bool) -> bool:
        if pattern is not None:
            return await self._groups.pause(group, pattern, paused)
        found = [info.pattern for info in await self._groups.groups() if info.group == group]
        return any([await self._groups.pause(group, each, paused) for each in found])

    async def forget(self, group: str, pattern: str) -> bool:
        """Remove a group with its dead letters; what was kept for it alone is let go. Whether there was one."""
        return await self._groups.forget(group, pattern)

    async def dead(self, group: str | None = None, limit: int = 1000) -> builtins.list[DeadLetter]:
        """Dead letters, of one group or all, the oldest first."""
        return await self._groups.dead(group, limit)

    async def retry(self, letter: DeadLetter) -> bool:
        """Deliver a dead letter to its group again, as if for the first time. Whether it was still there."""
        return await self._groups.revive(letter.group, letter.pattern, letter.position, self._clock())

    async def drop(self, letter: DeadLetter) -> bool:
        """Forget a dead letter. Whether it was still there."""
        return await self._groups.drop(letter.group, letter.pattern, letter.position)
