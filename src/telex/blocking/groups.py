"""`BlockingGroups`: consumer groups and dead letters, for a program that is not async."""

from __future__ import annotations

import builtins

from telex.blocking.thread import Thread
from telex.engines.contract.groups import DeadLetter, GroupInfo
from telex.groups.admin import GroupAdmin


class BlockingGroups:
    """``hub.groups`` of a `telex.Hub` behind a thread. Each method is as the coroutine of its name."""

    def __init__(self, groups: GroupAdmin, thread: Thread) -> None:
        self._groups = groups
        self._thread = thread

    def list(self) -> list[GroupInfo]:
        """All groups, each with its lag."""
        return self._thread.wait(self._groups.list())

    def pause(self, group: str, pattern: str | None = None) -> bool:
        """Stop the group from claiming messages, in all processes. Whether there is one."""
        return self._thread.wait(self._groups.pause(group, pattern))

    def resume(self, group: str, pattern: str | None = None) -> bool:
        """Let the group claim messages again. Whether there is one."""
        return self._thread.wait(self._groups.resume(group, pattern))

    def forget(self, group: str, pattern: str) -> bool:
        """Remove a group with its dead letters. Whether there was one."""
        return self._thread.wait(self._groups.forget(group, pattern))

    def dead(self, group: str | None = None, limit: int = 1000) -> builtins.list[DeadLetter]:
        """Dead letters, of one group or all, the oldest first."""
        return self._thread.wait(self._groups.dead(group, limit))

    def retry(self, letter: DeadLetter) -> bool:
        """Deliver a dead letter to its group again, as if for the first time. Whether it was still there."""
        return self._thread.wait(self._groups.retry(letter))

    def drop(self, letter: DeadLetter) -> bool:
        """Delete a dead letter. Whether it was still there."""
        return self._thread.wait(self._groups.drop(letter))
