"""`Trigger`: one that was declared; `Firing`: what it publishes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from telex.errors import BadHandler, BadOption
from telex.functions import name_of
from telex.names import check_topic
from telex.triggers.schedule import GRACE, Misfire, Schedule, due

if TYPE_CHECKING:
    from telex.triggers.scheduler import Scheduler

F = TypeVar("F", bound=Callable[..., object])


class Firing(msgspec.Struct, frozen=True):
    """What a trigger publishes: its name, the instant for which it was meant, and which of its firings it is, the first
    being 1.
    """

    trigger: str
    scheduled: datetime
    number: int


class TriggerStatistics(msgspec.Struct, frozen=True):
    """A trigger at one moment; ``next`` and ``last`` are the instants for which firings are meant, ``late`` by how many
    seconds the last one came later."""

    trigger: str
    schedule: str
    topic: str
    next: datetime | None
    last: datetime | None
    fired: int
    late: float
    paused: bool
    ended: bool


class Trigger:
    """Made by ``hub.every``, ``hub.cron``, ``hub.at`` and ``hub.after``. It publishes a `Firing` to its topic each time
    that it is due; as a decorator it has a function called with that, a handler of the topic like any other.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        schedule: Schedule,
        name: str | None,
        topic: str | None,
        misfire: Misfire,
        jitter: float,
    ) -> None:
        if misfire not in ("skip", "once", "all"):
            raise BadOption("misfire", misfire, "it is 'skip', 'once' or 'all'")
        self.schedule = schedule
        self.misfire: Misfire = misfire
        self.jitter = jitter
        self.name: str = ""
        self.topic: str = "" if topic is None else check_topic(topic)
        self.start: float = 0.0  # the instant at which it began
        self.last: float | None = None  # for which it fired last
        self.next: float | None = None
        self.at: float = 0.0  # when that is done: later by the jitter
        self.fired: int = 0
        self.late: float = 0.0
        self.paused: bool = False
        self.ended: bool = False
        self.entry: int = 0  # of the heap: what was put there before is passed over
        self._scheduler = scheduler
        if name is not None or topic is not None:
            self._named(check_topic(name if name is not None else self.topic))

    def _named(self, name: str) -> None:
        self.name = name
        self.topic = self.topic or check_topic(f"$trigger:{name}")
        self._scheduler.add(self)

    def __call__(self, function: F) -> F:
        """Have ``function`` called at each firing. Raises `BadHandler`, `BadName`, `BadOption`."""
        if not callable(function):
            raise BadHandler(repr(function), "decorate a function with the trigger")
        if not self.name:
            self._named(name_of(function).rpartition(".")[2])
        self._scheduler.handle(self, function)
        return function

    def due(self, last: float | None, now: float) -> tuple[list[float], float | None]:
        """Which instants are to be fired now, and when the next one is."""
        grace = GRACE + self.jitter
        return due(self.schedule, last, self.start, now, self.misfire, grace)

    def pause(self) -> None:
        """Fire no more, until `resume`. What is missed meanwhile is as ``misfire`` says."""
        self.paused = True

    def resume(self) -> None:
        """Go on."""
        self.paused = False
        self._scheduler.arm(self)

    async def fire(self) -> None:
        """Fire now, by hand, beside its schedule."""
        await self._scheduler.fire_by_hand(self)

    def cancel(self) -> None:
        """End it in this process."""
        self._scheduler.remove(self)

    def statistics(self) -> TriggerStatistics:
        """The trigger at this moment."""
        return TriggerStatistics(
            self.name,
            self.schedule.describe(),
            self.topic,
            None if self.next is None else moment(self.next),
            None if self.last is None else moment(self.last),
            self.fired,
            self.late,
            self.paused,
            self.ended,
        )

    def __repr__(self) -> str:
        return f"<Trigger {self.name!r}, {self.schedule.describe()}>"


def moment(instant: float) -> datetime:
    """An instant as people write it."""
    return datetime.fromtimestamp(instant, UTC)


def firing_of(trigger: Trigger, instant: float, number: int) -> tuple[Firing, str]:
    """What is published for an instant, and the id of that message: the same in every process."""
    when = moment(instant)
    return Firing(trigger.name, when, number), f"{trigger.name}@{when.isoformat()}"
