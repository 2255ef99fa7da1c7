"""`Snapshots`: the state of an engine at one moment, as the page shows it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from telex.dashboard.jobs import MAX_TEXT, JobReader, JobState, short
from telex.engines.contract.groups import DeadLetter, GroupInfo
from telex.errors import Closed, EngineFailed, Misuse, TelexError
from telex.hub import Hub, scheduler_of
from telex.schedules.plan import ScheduleInfo
from telex.schedules.schedules import store_of
from telex.triggers.admin import stored_triggers
from telex.triggers.trigger import TriggerStatistics

T = TypeVar("T")
MAX_TOPICS = 200
"""The largest number of topics that a snapshot shows; the others are counted."""
MAX_SAMPLE = 200
"""The largest number of messages that are read of a topic for its rate."""
RATE_SECONDS = 10.0
"""The time over which a rate is measured."""
MAX_DEAD = 100
"""The largest number of dead letters that a snapshot shows."""
MAX_ROWS = 200
"""The largest numbers of groups, of commands, of triggers and of schedules that a snapshot shows."""
TAKE_SECONDS = 10.0
"""The time that the engine has for one snapshot."""
WORKERS = "$workers"
"""The group of the workers of commands."""


class TopicState(msgspec.Struct, frozen=True):
    """A topic: ``rate`` is in messages a second, ``last`` the time of its last message, None when it is unknown."""

    topic: str
    rate: float
    last: datetime | None


class CommandState(msgspec.Struct, frozen=True):
    """A command: the numbers of commands without an outcome, of those that a worker has leased, which run or are
    prefetched, and of dead ones; and the outcomes since the dashboard opened.
    """

    command: str
    unfinished: int
    leased: int
    dead: int
    ok: int
    failed: int


class ScheduleState(msgspec.Struct, frozen=True):
    """A schedule that a program has added. ``target`` is a command or a topic, and ``content`` is shortened."""

    schedule: str
    when: str
    tz: str
    target: str
    content: str
    next: datetime | None
    last: datetime | None
    fired: int
    missed: int
    paused: bool
    ended: bool


class DeadState(msgspec.Struct, frozen=True):
    """A dead letter. ``content`` and ``reason`` are shortened."""

    id: str
    group: str
    pattern: str
    topic: str
    attempts: int
    reason: str
    content: str
    died: datetime


class Snapshot(msgspec.Struct, frozen=True):
    """The state of an engine. ``lacking`` are the parts that could not be read, with the reason, and ``more`` are the
    numbers of what is not shown; ``more_jobs`` are the states with more commands than ``jobs`` has. With a ``problem``
    the engine could not be read now: the state is that of ``at``.
    """

    url: str
    at: datetime
    problem: str = ""
    topics: list[TopicState] = []
    groups: list[GroupInfo] = []
    dead: list[DeadState] = []
    commands: list[CommandState] = []
    triggers: list[TriggerStatistics] = []
    schedules: list[ScheduleState] = []
    jobs: list[JobState] = []
    more_jobs: list[str] = []
    more: dict[str, int] = {}
    lacking: dict[str, str] = {}


class Snapshots:
    """Reads the state of the engine of a hub, which is open."""

    def __init__(self, hub: Hub, address: str, *, max_rows: int = MAX_ROWS, within: float = TAKE_SECONDS) -> None:
        self.letters: dict[str, DeadLetter] = {}
        """The dead letters of the last snapshot, by the id of `DeadState`."""
        self.ok: Counter[str] = Counter()
        """The numbers of results by command, counted by the app."""
        self.failed: Counter[str] = Counter()
        """The numbers of errors by command, counted by the app."""
        self.jobs: JobReader = JobReader(hub)
        """The reader of the commands by id."""
        self._hub = hub
        self._address = address
        self._max_rows = max_rows
        self._within = within
        self._last: dict[str, datetime] = {}  # by topic, the time of the last message
        self._state = Snapshot(address, datetime.now(UTC))

    async def take(self) -> Snapshot:
        """Return the state now, or the last one with a ``problem`` when the engine does not answer. A part that the
        engine does not have is empty and named in ``lacking``. Raises `Closed`.
        """
        try:
            async with asyncio.timeout(self._within):
                self._state = await self._read()
        except Closed:
            raise
        except (TelexError, TimeoutError) as error:
            problem = str(error) or f"it has not answered within {self._within:g} seconds"
            return msgspec.structs.replace(self._state, problem=problem)
        return self._state

    async def _read(self) -> Snapshot:
        lacking: dict[str, str] = {}

        async def part(name: str, work: Awaitable[T], without: T) -> T:
            """Return a part of the state; ``without`` when the engine does not have it."""
            try:
                return await work
            except (Misuse, EngineFailed) as error:
                lacking[name] = str(error)
                return without

        names = await self._hub.topics()
        shown_names = names[:MAX_TOPICS]
        self._last = {name: self._last[name] for name in shown_names if name in self._last}
        groups = await part("groups", self._hub.groups.list(), [])
        dead = self._dead(await part("groups", self._hub.groups.dead(limit=MAX_DEAD), []))
        triggers = await part("triggers", self._triggers(), [])
        schedules, schedule_count = await part("schedules", self._schedules(), ([], 0))
        jobs, more_jobs = await part("jobs", self.jobs.read(), ([], []))
        programs = [info for info in groups if not info.group.startswith("$")]
        commands = self._commands(groups)
        more = {
            "topics": max(0, len(names) - MAX_TOPICS),
            "groups": max(0, len(programs) - self._max_rows),
            "dead": max(0, sum(info.dead for info in groups) - len(dead)),
            "commands": max(0, len(commands) - self._max_rows),
            "triggers": max(0, len(triggers) - self._max_rows),
            "schedules": max(0, schedule_count - len(schedules)),
        }
        return Snapshot(
            self._address,
            datetime.now(UTC),
            "" if self._hub.connected else "it is not connected to its server, and tries again",
            [await self._topic(name) for name in shown_names],
            programs[: self._max_rows],
            dead,
            commands[: self._max_rows],
            triggers[: self._max_rows],
            schedules,
            jobs,
            more_jobs,
            more,
            lacking,
        )

    async def _triggers(self) -> list[TriggerStatistics]:
        found = {each.trigger: each for each in await stored_triggers(scheduler_of(self._hub))}
        found |= {each.trigger: each for each in self._hub.triggers()}
        return [found[name] for name in sorted(found)]

    async def _schedules(self) -> tuple[list[ScheduleState], int]:
        infos, count = await store_of(self._hub.schedules).first(self._max_rows)
        return [_schedule_state(each) for each in infos], count

    async def _topic(self, name: str) -> TopicState:
        times = await self._times(name, timedelta(seconds=RATE_SECONDS))
        if not times and name not in self._last:
            self._last.update((name, last) for last in await self._times(name, 1))
        if times:
            self._last[name] = times[-1]
        seconds = RATE_SECONDS
        if len(times) == MAX_SAMPLE:  # there were more: these tell their own time
            seconds = max((times[-1] - times[0]).total_seconds(), 0.001)
        return TopicState(name, len(times) / seconds, self._last.get(name))

    async def _times(self, name: str, start: timedelta | int) -> list[datetime]:
        """Return the times of the messages from ``start``; none when their content is damaged."""
        try:
            history = self._hub.topic(name).history(start=start, limit=MAX_SAMPLE)
            return [message.timestamp async for message in history]
        except EngineFailed:
            return []  # its content is damaged; `telex check` tells more

    def _dead(self, letters: list[DeadLetter]) -> list[DeadState]:
        self.letters = {f"{each.group} {each.pattern} {each.position}": each for each in letters}
        return [
            DeadState(
                id,
                each.group,
                each.pattern,
                each.message.topic,
                each.attempts,
                each.reason[:MAX_TEXT],
                short(each.message.content),
                datetime.fromtimestamp(each.died, UTC),
            )
            for id, each in self.letters.items()
        ]

    def _commands(self, groups: list[GroupInfo]) -> list[CommandState]:
        served = self._hub.statistics().commands
        states = {each.command: (each.waiting + each.running + each.limited, each.running, 0) for each in served}
        stored: dict[str, tuple[int, int, int]] = {}
        for info in groups:
            if info.group == WORKERS:  # each priority has a topic
                name = info.pattern.removeprefix("$command:").rpartition(":")[0]
                lag, leased, dead = stored.get(name, (0, 0, 0))
                stored[name] = (lag + info.lag, leased + info.leased, dead + info.dead)
        states |= stored
        names = sorted({*states, *self.ok, *self.failed})
        return [CommandState(name, *states.get(name, (0, 0, 0)), self.ok[name], self.failed[name]) for name in names]


def _schedule_state(info: ScheduleInfo) -> ScheduleState:
    return ScheduleState(
        schedule=info.name,
        when=info.when,
        tz=info.tz,
        target=info.command or info.topic or "",
        content="" if info.content is None else short(info.content),
        next=info.next,
        last=info.last,
        fired=info.fired,
        missed=info.missed,
        paused=info.paused,
        ended=info.ended,
    )
