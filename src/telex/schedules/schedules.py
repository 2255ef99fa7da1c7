"""`Schedules`: the schedules that programs add, change and delete at run time."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import TYPE_CHECKING, Any

from telex.durations import Duration
from telex.errors import BadOption
from telex.schedules.plan import ScheduleInfo, ScheduleRecord, check_schedule_name, jitter_of, text_of_when
from telex.schedules.runner import ScheduleRunner
from telex.schedules.store import ScheduleStore
from telex.triggers.conditions.schedule import Misfire

if TYPE_CHECKING:
    from telex.commands.dispatcher import CommandDispatcher
    from telex.runtime import Runtime
    from telex.triggers.timers import Timers


class Schedules:
    """``hub.schedules``: the schedules of an engine, shared by all its processes.

    A process fires schedules while its hub is open, when it runs by ``telex run``, or after it has called `fire` or
    `add`. Each instant fires once, whatever the number of processes. Every method raises `Closed`, `EngineFailed`, and
    `Misuse` on an engine without the guarantees of schedules.
    """

    def __init__(self, runtime: Runtime, timers: Timers, commands: CommandDispatcher) -> None:
        self._store = ScheduleStore(runtime, commands)
        self._runner = ScheduleRunner(runtime, timers, self._store, commands)

    def fire(self) -> None:
        """Fire the due schedules in this process, as one of all that do, until the hub closes. It may be called before
        the hub is opened, and more than once.
        """
        self._runner.want()

    async def add(
        self,
        name: str,
        when: str | datetime,
        *,
        command: str | None = None,
        topic: str | None = None,
        content: object = None,
        tz: str = "UTC",
        misfire: Misfire = "once",
        jitter: Duration = 0.0,
    ) -> ScheduleInfo:
        """Store a schedule that sends ``command``, or publishes to ``topic``, with ``content``, which is stored as
        JSON. Return its state.

        ``when`` is a cron expression on the clocks of ``tz``, text such as ``"every 10s"``, or an aware datetime for
        one run. ``misfire`` decides about runs that were missed by more than a second, as for `telex.Hub.every`;
        ``jitter`` delays each run by a random time of at most that length.

        Raises `BadName`; `BadOption` for a taken name, unknown times, zones and policies, and too many schedules;
        `ContentError`.
        """
        record = ScheduleRecord(
            start=0.0,
            when=text_of_when(when),
            tz=tz,
            command=command or "",
            topic=topic or "",
            content=content,
            misfire=misfire,
            jitter=jitter_of(jitter),
        )
        info = await self._store.add(check_schedule_name(name), record)
        self._runner.want()
        return info

    async def change(
        self,
        name: str,
        when: str | datetime | None = None,
        *,
        command: str | None = None,
        topic: str | None = None,
        content: object = ...,
        tz: str | None = None,
        misfire: Misfire | None = None,
        jitter: Duration | None = None,
    ) -> ScheduleInfo:
        """Change the given fields of a schedule, in all processes. Return its state. New times count from now; runs of
        the old times that were missed are discarded. Raises as `add`, and `BadOption` when it does not exist.
        """
        given = {
            "when": None if when is None else text_of_when(when),
            "command": command,
            "topic": topic,
            "tz": tz,
            "misfire": misfire,
            "jitter": None if jitter is None else jitter_of(jitter),
        }
        changes: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
        if content is not ...:
            changes["content"] = content
        return _existing(name, await self._store.change(name, changes))

    async def list(self) -> builtins.list[ScheduleInfo]:
        """Return all schedules, sorted by name; a schedule that has ended for seven days after its last run."""
        return await self._store.list()

    async def get(self, name: str) -> ScheduleInfo | None:
        """Return a schedule, or None when it does not exist."""
        return await self._store.get(name)

    async def pause(self, name: str) -> ScheduleInfo:
        """Stop a schedule in all processes until `resume`. Raises `BadOption` when it does not exist."""
        return _existing(name, await self._store.set_paused(name, paused=True))

    async def resume(self, name: str) -> ScheduleInfo:
        """Continue a paused schedule. Its ``misfire`` decides about the runs that it missed. Raises `BadOption` when it
        does not exist.
        """
        return _existing(name, await self._store.set_paused(name, paused=False))

    async def delete(self, name: str) -> bool:
        """Delete a schedule in all processes. Return false when it does not exist."""
        return await self._store.delete(name)


def _existing(name: str, info: ScheduleInfo | None) -> ScheduleInfo:
    if info is None:
        raise BadOption("name", name, "no schedule has this name; hub.schedules.list() returns them")
    return info


def store_of(schedules: Schedules) -> ScheduleStore:
    """Return the records behind the schedules of a hub."""
    return schedules._store


def runner_of(schedules: Schedules) -> ScheduleRunner:
    """Return the part that fires the schedules of a hub."""
    return schedules._runner
