"""`TimeTrigger`: a trigger that fires at the instants of a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from telex.triggers.conditions.schedule import GRACE, MAX_MISSED_AT_ONCE, Misfire, Schedule, due, spread
from telex.triggers.scheduled import ScheduledTrigger

if TYPE_CHECKING:
    from telex.triggers.timers import Timers


class TimeFirings(Protocol):
    """The part of `telex.triggers.firings.Firings` for schedules."""

    def begin_schedule(self, trigger: TimeTrigger) -> None:
        """Begin with a trigger: find when it is due first."""

    def fire_due(self, trigger: TimeTrigger, now: float) -> None:
        """Fire the instants that are due, and arm the trigger for the next one."""


class TimeTrigger(ScheduledTrigger):
    """A trigger of a schedule. ``jitter`` is in seconds."""

    __slots__ = ("_firings", "jitter", "misfire", "schedule")

    def __init__(
        self, timers: Timers, firings: TimeFirings, schedule: Schedule, misfire: Misfire, jitter: float
    ) -> None:
        super().__init__(timers)
        self.schedule: Schedule = schedule
        self.misfire: Misfire = misfire
        self.jitter: float = jitter
        self._firings = firings

    def describe(self) -> str:
        """Say when it fires, for people."""
        return self.schedule.describe()

    def begin(self) -> None:
        """Begin: the hub is open."""
        self.start = self.timers.clock()
        self._firings.begin_schedule(self)

    def due(self, now: float) -> None:
        """Handle that its time has come."""
        self._firings.fire_due(self, now)

    def resume(self) -> None:
        """Go on after a pause in this process."""
        self.paused = False
        if self.next is None and not self.ended:
            self.timers.arm(self, self.timers.clock())  # it was paused before the first instant was known
        else:
            self.arm()

    def arm(self) -> None:
        """Have the timers call it for the next instant."""
        at = self.next
        if at is not None and self.jitter:
            at = spread(self.schedule, at, self.start, self.jitter, self.timers.chance())
        self.timers.arm(self, at)

    def instants(
        self, last: float | None, now: float, most: int = MAX_MISSED_AT_ONCE
    ) -> tuple[list[float], float | None]:
        """Return the instants to fire now, at most ``most``, and the next instant after them."""
        return due(self.schedule, last, self.start, now, self.misfire, GRACE + self.jitter, most)
