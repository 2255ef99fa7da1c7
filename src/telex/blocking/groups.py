"""`BlockingGroups`: consumer groups and dead letters, without asyncio."""

from __future__ import annotations

import builtins

from telex.blocking.thread import HubThread
from telex.engines.contract.groups import DeadLetter, GroupInfo
from telex.groups.admin import GroupAdmin
from telex.log.start import Start


class BlockingGroups:
    """``hub.groups`` of a blocking hub. Each method does what the coroutine of the same name does."""

    def __init__(self, groups: GroupAdmin, thread: HubThread) -> None:
        self._groups = groups
        self._thread = thread

    def list(self) -> list[GroupInfo]:
        """Return all groups, each with its lag."""
        return self._thread.wait(self._groups.list())

    def pause(self, group: str, pattern: str | None = None) -> bool:
        """Stop the group from claiming messages, in all processes. Return False when there is no such group."""
        return self._thread.wait(self._groups.pause(group, pattern))

    def resume(self, group: str, pattern: str | None = None) -> bool:
        """Let the group claim messages again. Return False when there is no such group."""
        return self._thread.wait(self._groups.resume(group, pattern))

    def seek(self, group: str, start: Start, pattern: str | None = None) -> bool:
        """Move a group to another start, in all processes. Return False when there is no such group."""
        return self._thread.wait(self._groups.seek(group, start, pattern))

    def forget(self, group: str, pattern: str) -> bool:
        """Remove a group with its dead letters. Return False when there is no such group."""
        return self._thread.wait(self._groups.forget(group, pattern))

    def dead(self, group: str | None = None, limit: int = 1000) -> builtins.list[DeadLetter]:
        """Return at most ``limit`` dead letters of one group or of all, the oldest first."""
        return self._thread.wait(self._groups.dead(group, limit))

    def retry(self, letter: DeadLetter) -> bool:
        """Deliver a dead letter to its group again, with the attempt counter at 1. Return False when it is gone."""
        return self._thread.wait(self._groups.retry(letter))

    def drop(self, letter: DeadLetter) -> bool:
        """Delete a dead letter. Return False when it is gone."""
        return self._thread.wait(self._groups.drop(letter))
