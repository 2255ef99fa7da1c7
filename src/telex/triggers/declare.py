"""`Timing`: what a hub does by itself when its time has come."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import Generic, TypeVar

from telex.durations import Duration, seconds
from telex.errors import BadHandler, BadOption
from telex.handlers.signature import name_of
from telex.triggers.conditions.condition import By, Condition
from telex.triggers.conditions.evaluator import KEYS
from telex.triggers.conditions.schedule import After, At, Cron, Every, Misfire, Schedule
from telex.triggers.conditions.stream import Rate, Silence
from telex.triggers.monitor import ConditionMonitor
from telex.triggers.poll import Poll, PolledFunction
from telex.triggers.scheduler import Scheduler
from telex.triggers.spec import Maker
from telex.triggers.time_trigger import TimeTrigger
from telex.triggers.trigger import Trigger, TriggerStatistics
from telex.triggers.variable import Variable
from telex.triggers.when_trigger import WhenTrigger

T = TypeVar("T")
Made = TypeVar("Made")

MIN_SECONDS = 0.001
MAX_SECONDS = 100 * 366 * 86400.0


class Timing(Generic[Made]):
    """The declarations of triggers, in a `Hub`, which makes each a `Trigger`, and in a `Router`, which makes a
    `TriggerSpec`."""

    def _trigger(self, make: Maker, name: str | None, topic: str | None) -> Made:
        raise NotImplementedError

    def every(
        self,
        period: Duration,
        *,
        topic: str | None = None,
        name: str | None = None,
        misfire: Misfire = "skip",
        jitter: Duration = 0.0,
    ) -> Made:
        """Fire once in ``period``, the n-th time n periods after it began: it does not drift.

        As a decorator it has a function called; with ``topic`` the firings are published there. ``name`` (the
        function's, or the topic) is what it is called, and on an engine that keeps messages what makes it one and the
        same in all processes and after a restart. ``misfire`` says what becomes of instants that were missed by more
        than a second: nothing, one firing for all, or all. ``jitter`` puts each firing off by a random part of it.

        Raises `BadOption`, `BadName`.
        """
        every = Every(period_of(period, "period"))
        if seconds(jitter, "jitter") >= every.period:
            raise BadOption("jitter", jitter, "it is shorter than the period, or firings would be left out")
        return self._timed(every, topic, name, misfire, jitter)

    def cron(
        self,
        expression: str,
        *,
        tz: str = "UTC",
        topic: str | None = None,
        name: str | None = None,
        misfire: Misfire = "skip",
        jitter: Duration = 0.0,
    ) -> Made:
        """Fire at the times of an expression of cron, on the clocks of the time zone ``tz``: each local time at most
        once, and one that is left out when clocks are put forward at the next instant that there is. Else as `every`.
        """
        return self._timed(Cron.checked(expression, tz), topic, name, misfire, jitter)

    def at(
        self, when: datetime, *, topic: str | None = None, name: str | None = None, misfire: Misfire = "once"
    ) -> Made:
        """Fire once, at ``when``, an aware datetime, or late if that was missed after it began. Its topic is then
        closed. Else as `every`."""
        if not isinstance(when, datetime) or when.tzinfo is None:
            raise BadOption(
                "when", when, "give an aware datetime, such as datetime.now(timezone.utc) + timedelta(hours=1)"
            )
        return self._timed(At(when.timestamp()), topic, name, misfire, 0.0)

    def after(
        self, delay: Duration, *, topic: str | None = None, name: str | None = None, misfire: Misfire = "once"
    ) -> Made:
        """Fire once, ``delay`` after it began, at least a millisecond, or late if that was missed. Its topic is then
        closed. Else as `every`."""
        return self._timed(After(max(length_of(delay, "delay"), MIN_SECONDS)), topic, name, misfire, 0.0)

    def _timed(
        self, schedule: Schedule, topic: str | None, name: str | None, misfire: Misfire, jitter: Duration
    ) -> Made:
        if misfire not in ("skip", "once", "all"):
            raise BadOption("misfire", misfire, "it is 'skip', 'once' or 'all'")
        width = seconds(jitter, "jitter")

        def make(scheduler: Scheduler, prefix: str) -> TimeTrigger:
            return TimeTrigger(scheduler.timers, scheduler.firings, schedule, misfire, width)

        return self._trigger(make, name, topic)

    # -- what becomes true

    def rate(self, pattern: str, *, per: Duration, by: By | None = None) -> Rate:
        """Return the number of messages of a topic or pattern within the last ``per``, for a comparison with a whole
        number: ``hub.rate("logins:failed:*", per="1m") >= 5`` is a condition for `when`. With ``by``, a function of the
        message, it is one condition for each key that the function returns.

        Raises `BadName`, `BadOption`.
        """
        return Rate(pattern, per, by)

    def silence(self, pattern: str, *, longer_than: Duration, by: By | None = None) -> Silence:
        """The condition, for `when`, that no message of a topic or pattern has come for ``longer_than``, nor since the
        hub was opened. With ``by``, a function of the message, it is one for each key that has been heard of.

        Raises `BadName`, `BadOption`.
        """
        return Silence(pattern, longer_than, by)

    def when(
        self,
        condition: Condition | PolledFunction,
        *,
        every: Duration | None = None,
        topic: str | None = None,
        name: str | None = None,
        rising: bool = False,
        hysteresis: float = 0.0,
        keys: int = KEYS,
    ) -> Made:
        """Fire at the moment at which ``condition`` becomes true, or is found true when the hub is opened: once, after
        which its topic is closed, or with ``rising`` each time that it becomes true again.

        A condition compares a variable or a rate, is a silence, or is made of others: ``a & b``, ``a | b``, ``~a``,
        ``a.then(b, within="30s")``, ``a.debounce("5s")``, ``a.throttle("1h")``, ``a.times(3)``. With ``hysteresis``
        each bound is moved by that once it is reached: ``heat > 30`` with 5 holds until ``heat > 25`` does not.
        Of a condition with ``by=``, at most ``keys`` keys are remembered, and each firing says its key.

        Instead of a condition it may be a function of no arguments, sync or async, that says whether it is time; it is
        looked at ``every`` so often.

        The rest is as for `every`. Raises `BadOption`, `BadHandler`, `BadName`.
        """
        if isinstance(condition, Condition):
            if every is not None:
                raise BadOption("every", every, "it is for functions: a condition is looked at when something happens")
            watched, max_keys = slack(condition, hysteresis), at_least_one(keys)
        elif callable(condition):
            if every is None:
                raise BadOption("every", every, "say how often to look at the function, every='10s'")
            if hysteresis:
                raise BadOption("hysteresis", hysteresis, "it is for conditions, and this is a function")
            function, period = condition, period_of(every, "every")
        elif isinstance(condition, (Variable, Rate)):
            raise BadOption("condition", condition, "compare it: hub.when(count >= 1000)")
        else:
            fix = "give a comparison, such as count >= 1000, or a function and every="
            raise BadOption("condition", condition, fix)

        def make(scheduler: Scheduler, prefix: str) -> WhenTrigger:
            source: Poll | ConditionMonitor
            if every is not None:
                source = Poll(function, period)
            else:
                source = scheduler.monitor(watched.under(prefix) if prefix else watched, max_keys)
            return WhenTrigger(scheduler.timers, scheduler.firings, source, rising=rising)

        return self._trigger(make, name, topic)


class Triggering:
    """The triggers and variables of a `Hub`."""

    _scheduler: Scheduler

    def _trigger(self, make: Maker, name: str | None, topic: str | None) -> Trigger:
        return Trigger(make(self._scheduler, ""), self._scheduler, name, topic)

    def variable(self, name: str, initial: T, type: type[T] | None = None) -> Variable[T]:
        """A value whose changes are published to the topic ``name``, as `telex.Change`; the same one every time.

        It is held to ``type``, or to that of ``initial``. Compared, as in ``count >= 1000``, it makes a condition for
        `when`. On an engine that keeps messages it is one for all processes, which begins as ``initial``, and is kept.

        Raises `BadName`; `BadOption` when it is there with another initial value; `ContentError`.
        """
        return self._scheduler.variable(name, initial, type)

    # -- looking

    def triggers(self) -> tuple[TriggerStatistics, ...]:
        """All triggers at this moment, in the order of declaration."""
        return self._scheduler.statistics()

    def trigger(self, name: str) -> Trigger:
        """The trigger of a name: to pause it, to fire it by hand. Raises `BadOption` when there is none."""
        found = self._scheduler.find(name)
        if found is None:
            raise BadOption("name", name, f"the triggers are {', '.join(t.trigger for t in self.triggers()) or 'none'}")
        return found


def length_of(given: Duration, option: str) -> float:
    """Seconds of a length of time, checked."""
    length = seconds(given, option)
    if length > MAX_SECONDS:
        raise BadOption(option, given, "it is at most 100 years")
    return length


def period_of(given: Duration, option: str) -> float:
    """Seconds of a period, checked."""
    if callable(given):
        raise BadHandler(name_of(given), "say how often: write @hub.every('10s'), not @hub.every")
    length = length_of(given, option)
    if length < MIN_SECONDS:
        raise BadOption(option, given, f"it is at least {MIN_SECONDS} s")
    return length


def slack(condition: Condition, hysteresis: float) -> Condition:
    """A condition with its hysteresis, checked."""
    if isinstance(hysteresis, bool) or not isinstance(hysteresis, (int, float)) or not 0 <= hysteresis < inf:
        raise BadOption("hysteresis", hysteresis, "it is a number of at least 0, of what is compared")
    return condition.slackened(hysteresis) if hysteresis else condition


def at_least_one(keys: object) -> int:
    """Return the checked number of keys to remember."""
    if isinstance(keys, bool) or not isinstance(keys, int) or keys < 1:
        raise BadOption("keys", keys, "it is how many keys are remembered, at least 1")
    return keys
