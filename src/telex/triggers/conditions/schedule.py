"""Schedules: the instants of a trigger, and which of them are due. Pure: no clock, no I/O.

An instant is in seconds since 1970. A repeating schedule gets the instant at which its trigger began. Its n-th instant
is at ``start + n * period``, however late earlier firings were.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import floor
from typing import Literal, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from telex.errors import BadOption

Misfire = Literal["skip", "once", "all"]
"""The policy for missed instants, because no process ran or the machine slept: no firing, one firing for all of them,
or one for each.
"""
GRACE = 1.0
"""The seconds by which a firing may be late without counting as missed."""
CALM = 0.9
"""The share of the time until the next instant within which jitter may put off a firing; the rest is for delays."""
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""The macros of cron, and the fields that they mean."""
MAX_MISSED_AT_ONCE = 1000
"""The number of missed instants that are fired together; the others follow later."""
MAX_COUNTED = 1000
"""The largest number of missed instants of a cron expression that are counted at once."""


class Schedule(Protocol):
    """The instants of a trigger. Two schedules with the same `repr` are equal."""

    @property
    def is_single(self) -> bool:
        """True when the schedule has one instant, after which its trigger ends."""

    def after(self, instant: float, start: float) -> float | None:
        """Return the first instant after ``instant``, or None when there is none."""

    def latest(self, instant: float, start: float) -> float | None:
        """Return the last instant at or before ``instant``, or None when there is none yet."""

    def describe(self) -> str:
        """Return a description for people."""


class Every(msgspec.Struct, frozen=True):
    """Once every ``period`` seconds, first one period after the start."""

    period: float

    @property
    def is_single(self) -> bool:
        return False

    def after(self, instant: float, start: float) -> float | None:
        period = self.period
        number = floor((instant - start) / period) + 1
        if number < 1:
            number = 1
        found = start + number * period
        while found <= instant:
            number += 1  # the quotient was rounded down to the instant itself
            found = start + number * period
        return found

    def latest(self, instant: float, start: float) -> float | None:
        number = floor((instant - start) / self.period)
        if start + (number + 1) * self.period <= instant:
            number += 1
        return None if number < 1 else start + number * self.period

    def describe(self) -> str:
        return f"every {self.period:g} s"


class At(msgspec.Struct, frozen=True):
    """Once, at the instant ``when``."""

    when: float

    @property
    def is_single(self) -> bool:
        return True

    def after(self, instant: float, start: float) -> float | None:
        return self.when if self.when > instant else None

    def latest(self, instant: float, start: float) -> float | None:
        return self.when if self.when <= instant else None

    def describe(self) -> str:
        return f"at {datetime.fromtimestamp(self.when, UTC):%Y-%m-%d %H:%M:%S} UTC"


class After(msgspec.Struct, frozen=True):
    """Once, ``delay`` seconds after the start."""

    delay: float

    @property
    def is_single(self) -> bool:
        return True

    def after(self, instant: float, start: float) -> float | None:
        return start + self.delay if start + self.delay > instant else None

    def latest(self, instant: float, start: float) -> float | None:
        return start + self.delay if start + self.delay <= instant else None

    def describe(self) -> str:
        return f"{self.delay:g} s after it began"


class Cron(msgspec.Struct, frozen=True):
    """The instants of a cron expression, on the clocks of a time zone.

    The expression gives local times. When clocks go back, a repeated local time fires once, at its first occurrence.
    When clocks go forward, the skipped local times fire together, once, at the first instant after the change.
    """

    expression: str
    tz: str

    @property
    def is_single(self) -> bool:
        return False

    @classmethod
    def checked(cls, expression: object, tz: object) -> Cron:
        """Return a schedule for the arguments of a program. Raises `BadOption`."""
        from cronsim import CronSim, CronSimError

        if not isinstance(expression, str):
            raise BadOption("cron", expression, "it must be text of five fields, such as '0 9 * * mon-fri'")
        fields = " ".join(expression.split())
        if fields.startswith("@"):
            if fields.lower() not in MACROS:
                raise BadOption("cron", expression, f"write five fields, or one of {', '.join(MACROS)}")
            fields = MACROS[fields.lower()]
        try:
            zone = str(ZoneInfo(str(tz)))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BadOption("tz", tz, "it must be the name of a time zone, such as 'Europe/Paris'") from None
        try:
            next(CronSim(fields, datetime(2000, 1, 1)))  # noqa: DTZ001  # local times have no zone yet
        except (CronSimError, StopIteration) as error:
            problem = str(error).lower() or "no time matches it"
            fix = "minute, hour, day, month and day of the week, such as '0 9 * * mon-fri' or '*/15 * 1 * *'"
            more = "; with six, the first is the second"
            raise BadOption("cron", expression, f"{problem}: write five fields, {fix}{more}") from None
        return cls(fields, zone)

    def after(self, instant: float, start: float) -> float | None:
        local, _ = self._local(instant)
        return next((found for found in self._instants(local, reverse=False) if found > max(instant, start)), None)

    def latest(self, instant: float, start: float) -> float | None:
        # When the clocks were put back, local times that repeat had their instants at the first occurrence.
        local, moved = self._local(instant)
        local += max(-moved, timedelta()) + timedelta(minutes=1)
        found = next((found for found in self._instants(local, reverse=True) if found <= instant), None)
        return None if found is None or found <= start else found

    def instants_from(self, instant: float) -> Iterator[float]:
        """Iterate over the instants around and after ``instant``, in their order."""
        return self._instants(self._local(instant)[0], reverse=False)

    def _local(self, instant: float) -> tuple[datetime, timedelta]:
        """Return the local time of an instant, and by how much the clocks went forward within the day before."""
        zone = ZoneInfo(self.tz)
        now, before = (datetime.fromtimestamp(at, zone) for at in (instant, instant - 86400.0))
        return now.replace(tzinfo=None), (now.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())

    def _instants(self, local: datetime, *, reverse: bool) -> Iterator[float]:
        from cronsim import CronSim

        zone = ZoneInfo(self.tz)
        for time in CronSim(self.expression, local, reverse=reverse):
            yield instant_of(time, zone)

    def describe(self) -> str:
        return f"cron {self.expression!r} in {self.tz}"


def instant_of(local: datetime, zone: ZoneInfo) -> float:
    """Return the instant at which the clocks of ``zone`` first show ``local``. For a skipped local time, return the
    instant at which the clocks went forward.
    """
    before, behind = (local.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if before <= behind:
        return before  # the local time exists once, or this is its first occurrence
    # It is left out. By the offset from before the change `before` comes after it, by that from behind it before.
    low, high = behind, before
    offset = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 0.5:
        middle = (low + high) / 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return float(round(high))


def spread(schedule: Schedule, instant: float, start: float, width: float, chance: float) -> float:
    """Return the time at which to fire ``instant`` with jitter: later by the share ``chance``, from 0 to 1, of
    ``width`` seconds, or of the time until the next instant if that is shorter. So no instant is skipped.
    """
    following = schedule.after(instant, start)
    if following is not None:
        width = min(width, CALM * (following - instant))
    return instant + width * chance


def due(
    schedule: Schedule,
    last: float | None,
    start: float,
    now: float,
    misfire: Misfire,
    grace: float = GRACE,
    most: int = MAX_MISSED_AT_ONCE,
) -> tuple[list[float], float | None]:
    """Return the instants to fire at ``now`` and the next instant, given that ``last`` was fired before. An instant
    that is more than ``grace`` seconds ago was missed, and ``misfire`` decides about it. Instants before ``start`` are
    never fired. For "all", at most ``most`` instants are returned; then the next instant is in the past.
    """
    since = start if last is None else max(last, start)
    if misfire == "all":
        found = list(islice(_from(schedule, since, start, now), most))
        return found, schedule.after(found[-1] if found else max(since, now), start)
    latest = schedule.latest(now, start)
    # with clocks that differ between processes, the last instant may be in the future
    following = schedule.after(max(since, now), start)
    if latest is None or latest <= since or (misfire == "skip" and now - latest > grace):
        return [], following
    return [latest], following


def count_of(schedule: Schedule, first: float, until: float, most: int = MAX_COUNTED) -> int:
    """Return the number of instants from ``first``, which is an instant, up to and including ``until``. It is exact for
    a period, and at most ``most`` for a cron expression, whose instants are counted one by one.
    """
    if until < first:
        return 0
    if isinstance(schedule, Every):
        return 1 + floor((until - first) / schedule.period)
    if not isinstance(schedule, Cron):
        return 1
    count, last = 1, first
    for instant in schedule.instants_from(first):
        if instant > until or count == most:
            break
        if instant > last:  # skipped local times have the same instant
            count, last = count + 1, instant
    return count


def _from(schedule: Schedule, instant: float, start: float, now: float) -> Iterator[float]:
    while (found := schedule.after(instant, start)) is not None and found <= now:
        yield found
        instant = found
