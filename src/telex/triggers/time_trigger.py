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
        """Find the first instant of a trigger."""

    def fire_due(self, trigger: TimeTrigger, now: float) -> None:
        """Fire the due instants, and arm the trigger for the next one."""


class TimeTrigger(ScheduledTrigger):
    """A trigger with a schedule. ``jitter`` is in seconds."""

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
        """Return the schedule as text for people."""
        return self.schedule.describe()

    def begin(self) -> None:
        """Start: the hub is open."""
        self.start: float = self.timers.clock()
        self._firings.begin_schedule(self)

    def due(self, now: float) -> None:
        """Fire the due instants."""
        self._firings.fire_due(self, now)

    def resume(self) -> None:
        """Continue after a pause in this process."""
        self.paused = False
        if self.next is None and not self.ended:
            self.timers.arm(self, self.timers.clock())  # the trigger was paused before its first instant was known
        else:
            self.arm()

    def arm(self) -> None:
        """Ask the timers to call it at the next instant."""
        at = self.next
        if at is not None and self.jitter:
            at = spread(self.schedule, at, self.start, self.jitter, self.timers.chance())
        self.timers.arm(self, at)

    def instants(
        self, last: float | None, now: float, most: int = MAX_MISSED_AT_ONCE
    ) -> tuple[list[float], float | None]:
        """Return the instants to fire now, at most ``most``, and the next instant after them."""
        return due(self.schedule, last, self.start, now, self.misfire, GRACE + self.jitter, most)
