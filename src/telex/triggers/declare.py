"""`Timing` and `Triggering`: the methods of hubs and routers that declare triggers and variables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Generic, TypeVar

from telex.checks import flag, number, whole
from telex.durations import Duration, seconds
from telex.errors import BadHandler, BadOption
from telex.handlers.places import RunIn, check_place, check_run_in
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


class Timing(ABC, Generic[Made]):
    """The methods that declare triggers. In a `Hub` they return a `Trigger`, in a `Router` a `TriggerSpec`."""

    @abstractmethod
    def _trigger(self, make: Maker, name: str | None, topic: str | None) -> Made:
        """Declare the trigger that ``make`` returns, and publish to ``topic``."""

    def every(
        self,
        period: Duration,
        *,
        topic: str | None = None,
        name: str | None = None,
        misfire: Misfire = "skip",
        jitter: Duration = 0.0,
        run_in: RunIn | None = None,
    ) -> Made:
        """Fire once in every ``period``. The n-th firing is due n periods after the start, so the times do not drift.

        As a decorator the trigger calls a function; with ``topic`` the firings are published to that topic. ``name``
        (default: the name of the function or topic) identifies the trigger: on an engine that stores messages, all
        processes and restarts share the trigger of one name. ``misfire`` decides about instants that were missed by
        more than a second: no firing, one firing for all, or all. ``jitter`` delays each firing by a random time of at
        most that length. ``run_in`` is the place in which the function is called, as for `on`.

        Raises `BadOption`, `BadName`.
        """
        every = Every(period_of(period, "period"))
        if seconds(jitter, "jitter") >= every.period:
            raise BadOption("jitter", jitter, "it must be shorter than the period, or firings would be left out")
        return self._timed(every, topic, name, misfire, jitter, run_in)

    def cron(
        self,
        expression: str,
        *,
        tz: str = "UTC",
        topic: str | None = None,
        name: str | None = None,
        misfire: Misfire = "skip",
        jitter: Duration = 0.0,
        run_in: RunIn | None = None,
    ) -> Made:
        """Fire at the times of a cron expression, on the clocks of the time zone ``tz``. When clocks go back, a
        repeated local time fires once; when clocks go forward, a skipped local time fires at the first instant after
        the change. The other arguments are as for `every`.
        """
        return self._timed(Cron.checked(expression, tz), topic, name, misfire, jitter, run_in)

    def at(
        self,
        when: datetime,
        *,
        topic: str | None = None,
        name: str | None = None,
        misfire: Misfire = "once",
        run_in: RunIn | None = None,
    ) -> Made:
        """Fire once, at ``when``, an aware datetime, or later if that instant was missed after the trigger began. After
        the firing the topic of the trigger is closed. The other arguments are as for `every`.
        """
        if not isinstance(when, datetime) or when.tzinfo is None:
            raise BadOption(
                "when", when, "give an aware datetime, such as datetime.now(timezone.utc) + timedelta(hours=1)"
            )
        return self._timed(At(when.timestamp()), topic, name, misfire, 0.0, run_in)

    def after(
        self,
        delay: Duration,
        *,
        topic: str | None = None,
        name: str | None = None,
        misfire: Misfire = "once",
        run_in: RunIn | None = None,
    ) -> Made:
        """Fire once, ``delay`` (at least a millisecond) after the start, or later if that instant was missed. After the
        firing the topic of the trigger is closed. The other arguments are as for `every`.
        """
        return self._timed(After(max(length_of(delay, "delay"), MIN_SECONDS)), topic, name, misfire, 0.0, run_in)

    def _timed(
        self,
        schedule: Schedule,
        topic: str | None,
        name: str | None,
        misfire: Misfire,
        jitter: Duration,
        run_in: RunIn | None,
    ) -> Made:
        if misfire not in ("skip", "once", "all"):
            raise BadOption("misfire", misfire, "it must be 'skip', 'once' or 'all'")
        check_run_in(run_in)
        width = seconds(jitter, "jitter")

        def make(scheduler: Scheduler, prefix: str) -> TimeTrigger:
            trigger = TimeTrigger(scheduler.timers, scheduler.firings, schedule, misfire, width)
            trigger.run_in = run_in
            return trigger

        return self._trigger(make, name, topic)

    # -- conditions

    def rate(self, pattern: str, *, per: Duration, by: By | None = None) -> Rate:
        """Return the number of messages of a topic or pattern within the last ``per``, to compare with a whole number:
        ``hub.rate("logins:failed:*", per="1m") >= 5`` is a condition for `when`. With ``by``, a function of the
        message, the messages are counted for each key that the function returns.

        Raises `BadName`, `BadOption`.
        """
        return Rate(pattern, per, by)

    def silence(self, pattern: str, *, longer_than: Duration, by: By | None = None) -> Silence:
        """Return the condition, for `when`, that no message of a topic or pattern has come for ``longer_than``. It
        counts from the last message, or from the opening of the hub. With ``by``, a function of the message, it is a
        condition for each key that had a message.

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
        run_in: RunIn | None = None,
    ) -> Made:
        """Fire when ``condition`` becomes true, or is true when the hub opens: once, and then the topic of the trigger
        is closed; with ``rising`` each time that it becomes true again.

        A condition compares a variable or a rate, is a silence, or combines conditions: ``a & b``, ``a | b``, ``~a``,
        ``a.then(b, within="30s")``, ``a.debounce("5s")``, ``a.throttle("1h")``, ``a.times(3)``. ``hysteresis`` moves
        each bound by that number once it is reached: ``heat > 30`` with 5 holds until ``heat > 25`` does not. A
        condition with ``by=`` keeps at most ``keys`` keys, and each firing has its key.

        Instead of a condition, give a function without arguments, sync or async, that returns true when it is time. It
        is called once in every ``every``, in the place of ``run_in``: a process cannot call it.

        The other arguments are as for `every`. Raises `BadOption`, `BadHandler`, `BadName`.
        """
        flag(rising, "rising")
        check_run_in(run_in)
        if isinstance(condition, Condition):
            if every is not None:
                raise BadOption("every", every, "leave it out: a condition is evaluated at each message and change")
            watched, max_keys = slack(condition, hysteresis), at_least_one(keys)
        elif callable(condition):
            if every is None:
                raise BadOption("every", every, "say how often to call the function, every='10s'")
            if hysteresis:
                raise BadOption(
                    "hysteresis", hysteresis, "leave it out: only conditions have a hysteresis, not functions"
                )
            function, period = condition, period_of(every, "every")
            in_thread = in_thread_of(function, run_in)
        elif isinstance(condition, (Variable, Rate)):
            raise BadOption("condition", condition, "compare it: hub.when(count >= 1000)")
        else:
            fix = "give a comparison, such as count >= 1000, or a function and every="
            raise BadOption("condition", condition, fix)

        def make(scheduler: Scheduler, prefix: str) -> WhenTrigger:
            source: Poll | ConditionMonitor
            if every is not None:
                source = Poll(function, period, scheduler.runtime.threads if in_thread else None)
            else:
                source = scheduler.monitor(watched.under(prefix) if prefix else watched, max_keys)
            trigger = WhenTrigger(scheduler.timers, scheduler.firings, source, rising=rising)
            trigger.run_in = run_in
            return trigger

        return self._trigger(make, name, topic)


class Triggering:
    """The methods of a `Hub` that declare variables and return its triggers."""

    _scheduler: Scheduler

    def _trigger(self, make: Maker, name: str | None, topic: str | None) -> Trigger:
        return Trigger(make(self._scheduler, ""), self._scheduler, name, topic)

    def variable(self, name: str, initial: T, type: type[T] | None = None) -> Variable[T]:
        """Return the variable ``name``, the same object every time. Its changes are published to the topic ``name``, as
        `telex.Change`.

        The value must be of ``type``, or of the type of ``initial``. A comparison, such as ``count >= 1000``, is a
        condition for `when`. On an engine that stores messages all processes share one stored value, which begins as
        ``initial``.

        Raises `BadName`; `BadOption` when the variable was declared with another initial value; `ContentError`.
        """
        return self._scheduler.variable(name, initial, type)

    # -- statistics

    def triggers(self) -> tuple[TriggerStatistics, ...]:
        """Return the statistics of all triggers now, in the order of declaration."""
        return self._scheduler.statistics()

    def trigger(self, name: str) -> Trigger:
        """Return the trigger of a name, to pause it or to fire it by hand. Raises `BadOption` when no trigger has the
        name.
        """
        found = self._scheduler.find(name)
        if found is None:
            raise BadOption("name", name, f"the triggers are {', '.join(t.trigger for t in self.triggers()) or 'none'}")
        return found


def in_thread_of(function: PolledFunction, run_in: RunIn | None) -> bool:
    """Return true when a thread calls a polled function. Raises `BadOption`, `BadHandler`."""
    if run_in == "process":
        raise BadOption("run_in", run_in, "it must be 'thread' or 'loop' for a function that is polled")
    return check_place(run_in, function, ()) == "thread"


def length_of(given: Duration, option: str) -> float:
    """Return the seconds of a length of time. Raises `BadOption`."""
    length = seconds(given, option)
    if length > MAX_SECONDS:
        raise BadOption(option, given, "it must be at most 100 years")
    return length


def period_of(given: Duration, option: str) -> float:
    """Return the seconds of a period. Raises `BadHandler`, `BadOption`."""
    if callable(given):
        raise BadHandler(name_of(given), "say how often: write @hub.every('10s'), not @hub.every")
    length = length_of(given, option)
    if length < MIN_SECONDS:
        raise BadOption(option, given, f"it must be at least {MIN_SECONDS} s")
    return length


def slack(condition: Condition, hysteresis: float) -> Condition:
    """Return a condition with its hysteresis. Raises `BadOption`."""
    number(hysteresis, "hysteresis", "it must be a number of at least 0, in the unit of the compared values", 0)
    return condition.slackened(hysteresis) if hysteresis else condition


def at_least_one(keys: object) -> int:
    """Return the number of keys to keep. Raises `BadOption`."""
    return whole(keys, "keys", "it must be at least 1, the number of keys to remember")
