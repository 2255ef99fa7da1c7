"""`Timing`: what a hub does by itself when its time has come."""

from __future__ import annotations

from datetime import datetime

from telex.durations import Duration, seconds
from telex.errors import BadOption
from telex.triggers.schedule import After, At, Cron, Every, Misfire, Schedule
from telex.triggers.scheduler import Scheduler
from telex.triggers.trigger import TimeTrigger, Trigger, TriggerStatistics

SHORTEST = 0.001


class Timing:
    """The triggers of a `Hub`."""

    _scheduler: Scheduler

    def every(
        self,
        period: Duration,
        *,
        topic: str | None = None,
        name: str | None = None,
        misfire: Misfire = "skip",
        jitter: Duration = 0.0,
    ) -> Trigger:
        """Fire once in ``period``, the n-th time n periods after it began: it does not drift.

        As a decorator it has a function called; with ``topic`` the firings are published there. ``name`` (the
        function's, or the topic) is what it is called, and on an engine that keeps messages what makes it one and the
        same in all processes and after a restart. ``misfire`` says what becomes of instants that were missed by more
        than a second: nothing, one firing for all, or all. ``jitter`` puts each firing off by a random part of it.

        Raises `BadOption`, `BadName`.
        """
        length = seconds(period, "period")
        if length < SHORTEST:
            raise BadOption("period", period, f"it is at least {SHORTEST} s")
        return self._trigger(Every(length), topic, name, misfire, jitter)

    def cron(
        self,
        expression: str,
        *,
        tz: str = "UTC",
        topic: str | None = None,
        name: str | None = None,
        misfire: Misfire = "skip",
        jitter: Duration = 0.0,
    ) -> Trigger:
        """Fire at the times of an expression of cron, on the clocks of the time zone ``tz``: each local time at most
        once, and one that is left out when clocks are put forward at the next instant that there is. Else as `every`.
        """
        return self._trigger(Cron.checked(expression, tz), topic, name, misfire, jitter)

    def at(
        self, when: datetime, *, topic: str | None = None, name: str | None = None, misfire: Misfire = "skip"
    ) -> Trigger:
        """Fire once, at ``when``, an aware datetime. Its topic is then closed. Else as `every`."""
        if not isinstance(when, datetime) or when.tzinfo is None:
            raise BadOption(
                "when", when, "give an aware datetime, such as datetime.now(timezone.utc) + timedelta(hours=1)"
            )
        return self._trigger(At(when.timestamp()), topic, name, misfire, 0.0)

    def after(
        self, delay: Duration, *, topic: str | None = None, name: str | None = None, misfire: Misfire = "skip"
    ) -> Trigger:
        """Fire once, ``delay`` after it began. Its topic is then closed. Else as `every`."""
        return self._trigger(After(seconds(delay, "delay")), topic, name, misfire, 0.0)

    def _trigger(
        self, schedule: Schedule, topic: str | None, name: str | None, misfire: Misfire, jitter: Duration
    ) -> Trigger:
        return TimeTrigger(self._scheduler, schedule, name, topic, misfire, seconds(jitter, "jitter"))

    def triggers(self) -> tuple[TriggerStatistics, ...]:
        """All triggers at this moment, in the order of declaration."""
        return self._scheduler.statistics()

    def trigger(self, name: str) -> Trigger:
        """The trigger of a name: to pause it, to fire it by hand. Raises `BadOption` when there is none."""
        found = self._scheduler.find(name)
        if found is None:
            raise BadOption("name", name, f"the triggers are {', '.join(t.trigger for t in self.triggers()) or 'none'}")
        return found
