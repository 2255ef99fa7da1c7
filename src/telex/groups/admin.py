"""`GroupAdmin`: lists and changes the groups of an engine, and their dead letters."""

from __future__ import annotations

import builtins

from telex.engines.contract import Groups
from telex.engines.contract.groups import Action, Change, DeadLetter, GroupInfo, Settlement
from telex.errors import BadOption
from telex.log.start import Start, check_seek, check_start
from telex.runtime import Runtime


class GroupAdmin:
    """The consumer groups of a hub, and their dead letters: ``hub.groups``.

    Every method waits for the engine, and raises `EngineFailed`, `Closed`; `Misuse` on an engine without groups.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def _groups(self) -> Groups:
        return self._runtime.groups("groups")

    async def list(self) -> list[GroupInfo]:
        """Return all groups with their lag, sorted by name and pattern."""
        return await self._groups.groups()

    async def pause(self, group: str, pattern: str | None = None) -> bool:
        """Stop all consumers of a group, in all processes, from fetching. Running calls finish.

        Without ``pattern`` this applies to all patterns of the group. Return false when there is no such group.
        """
        return await self._change(group, pattern, "pause")

    async def resume(self, group: str, pattern: str | None = None) -> bool:
        """Let the consumers of a group fetch again. Return false when there is no such group."""
        return await self._change(group, pattern, "resume")

    async def _change(self, group: str, pattern: str | None, change: Change) -> bool:
        if pattern is not None:
            return await self._groups.change(group, pattern, change)
        return any([await self._groups.change(group, each, change) for each in await self._patterns(group)])

    async def _patterns(self, group: str) -> builtins.list[str]:
        return [info.pattern for info in await self._groups.groups() if info.group == group]

    async def seek(self, group: str, start: Start, pattern: str | None = None) -> bool:
        """Move a group to another start, in all processes. Its consumers continue there.

        ``start`` is as for ``topic.subscribe``: a position or time, messages back, ``"earliest"`` or ``"new"``. Without
        ``pattern`` this applies to all patterns of the group. Leased messages are finished as before, dead letters
        stay, and messages that waited for a retry are delivered only if they are after the new start.

        Return false when there is no such group. Raises `BadOption`, also for a `Position` with a pattern, which then
        moves nothing.
        """
        start = check_start(start)
        patterns = [pattern] if pattern is not None else await self._patterns(group)
        for each in patterns:
            check_seek(each, start)
        return any([await self._groups.seek(group, each, start) for each in patterns])

    async def forget(self, group: str, pattern: str) -> bool:
        """Remove a group with its dead letters, and the messages that were kept only for this group.

        Return false when there was no such group.
        """
        return await self._groups.change(group, pattern, "forget")

    async def dead(self, group: str | None = None, limit: int = 1000) -> builtins.list[DeadLetter]:
        """Return at most ``limit`` dead letters of one group or of all, the oldest first."""
        return await self._groups.dead(group, limit)

    async def retry(self, letter: DeadLetter) -> bool:
        """Deliver a dead letter to its group again, with attempt 1. Return false when it was gone."""
        return await self._settle(letter, "retry")

    async def drop(self, letter: DeadLetter) -> bool:
        """Delete a dead letter. Return false when it was gone."""
        return await self._settle(letter, "drop")

    async def _settle(self, letter: DeadLetter, action: Action) -> bool:
        if not isinstance(letter, DeadLetter):
            raise BadOption("letter", letter, "it must be a dead letter of `await hub.groups.dead(...)`")
        settlement = Settlement(letter.position, 0, action)
        return (await self._groups.settle(letter.group, letter.pattern, (settlement,)))[0]
