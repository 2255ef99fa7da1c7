"""`BlockingSchedules`: schedules that programs add at run time, without asyncio."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any

from telex.blocking.thread import HubThread
from telex.schedules.plan import ScheduleInfo
from telex.schedules.schedules import Schedules


class BlockingSchedules:
    """``hub.schedules`` of a blocking hub. Each method does what the method of the same name of `telex.Schedules`
    does.
    """

    def __init__(self, schedules: Schedules, thread: HubThread) -> None:
        self._schedules = schedules
        self._thread = thread

    def fire(self) -> None:
        """Fire the due schedules in this process until the hub closes."""
        self._thread.call(self._schedules.fire)

    def add(self, name: str, when: str | datetime, **options: Any) -> ScheduleInfo:
        """Store a schedule. ``options`` are those of `telex.Schedules.add`."""
        return self._thread.wait(self._schedules.add(name, when, **options))

    def change(self, name: str, when: str | datetime | None = None, **options: Any) -> ScheduleInfo:
        """Change a schedule. ``options`` are those of `telex.Schedules.change`."""
        return self._thread.wait(self._schedules.change(name, when, **options))

    def list(self) -> builtins.list[ScheduleInfo]:
        """Return all schedules, sorted by name."""
        return self._thread.wait(self._schedules.list())

    def get(self, name: str) -> ScheduleInfo | None:
        """Return a schedule, or None when it does not exist."""
        return self._thread.wait(self._schedules.get(name))

    def pause(self, name: str) -> ScheduleInfo:
        """Stop a schedule in all processes until `resume`."""
        return self._thread.wait(self._schedules.pause(name))

    def resume(self, name: str) -> ScheduleInfo:
        """Continue a paused schedule."""
        return self._thread.wait(self._schedules.resume(name))

    def delete(self, name: str) -> bool:
        """Delete a schedule in all processes. Return false when it does not exist."""
        return self._thread.wait(self._schedules.delete(name))
