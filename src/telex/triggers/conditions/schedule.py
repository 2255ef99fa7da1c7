"""Schedules: the instants of a trigger, and which of them are to be fired now. Pure: no clock, no I/O.

An instant is in seconds since 1970. A schedule is given the instant at which its trigger began, so that the n-th
instant of one that repeats is at ``start + n * period``, however late those before it were.
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
"""The policy for instants that were missed because no process ran or the machine slept: no firing, one firing for all
of them, or one for each."""
GRACE = 1.0
"""Seconds that a firing may be late without having been missed."""
CALM = 0.9
"""The share of the time until the next instant within which a firing is put off: what is left is for being late."""
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Words of cron, and the fields that they stand for."""
MAX_MISSED_AT_ONCE = 1000
"""The number of missed instants that are fired together; the rest follows."""


class Schedule(Protocol):
    """The instants of a trigger. Its `repr` tells it from every other one."""

    @property
    def is_single(self) -> bool:
        """True when it has one instant, and ends with it."""

    def after(self, instant: float, start: float) -> float | None:
        """The first one later than ``instant``; None when there is none any more."""

    def latest(self, instant: float, start: float) -> float | None:
        """The last one that is not later than ``instant``; None when there was none yet."""

    def describe(self) -> str:
        """Return a description for people."""


class Every(msgspec.Struct, frozen=True):
    """Once in ``period`` seconds, the first time one period after the start."""

    period: float

    @property
    def is_single(self) -> bool:
        """See `Schedule`."""
        return False

    def after(self, instant: float, start: float) -> float | None:
        """See `Schedule`."""
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
        """See `Schedule`."""
        number = floor((instant - start) / self.period)
        if start + (number + 1) * self.period <= instant:
            number += 1
        return None if number < 1 else start + number * self.period

    def describe(self) -> str:
        """See `Schedule`."""
        return f"every {self.period:g} s"


class At(msgspec.Struct, frozen=True):
    """Once, at ``when``."""

    when: float

    @property
    def is_single(self) -> bool:
        """See `Schedule`."""
        return True

    def after(self, instant: float, start: float) -> float | None:
        """See `Schedule`."""
        return self.when if self.when > instant else None

    def latest(self, instant: float, start: float) -> float | None:
        """See `Schedule`."""
        return self.when if self.when <= instant else None

    def describe(self) -> str:
        """See `Schedule`."""
        return f"at {datetime.fromtimestamp(self.when, UTC):%Y-%m-%d %H:%M:%S} UTC"


class After(msgspec.Struct, frozen=True):
    """Once, ``delay`` seconds after the start."""

    delay: float

    @property
    def is_single(self) -> bool:
        """See `Schedule`."""
        return True

    def after(self, instant: float, start: float) -> float | None:
        """See `Schedule`."""
        return start + self.delay if start + self.delay > instant else None

    def latest(self, instant: float, start: float) -> float | None:
        """See `Schedule`."""
        return start + self.delay if start + self.delay <= instant else None

    def describe(self) -> str:
        """See `Schedule`."""
        return f"{self.delay:g} s after it began"


class Cron(msgspec.Struct, frozen=True):
    """By an expression of cron, on the clocks of a time zone.

    The expression gives local times. Where the clocks are put back each is meant once, the first time that it is shown;
    where they are put forward those that are left out are meant for the next instant that there is, all of them
    together once.
    """

    expression: str
    tz: str

    @property
    def is_single(self) -> bool:
        """See `Schedule`."""
        return False

    @classmethod
    def checked(cls, expression: object, tz: object) -> Cron:
        """One from what a program gives. Raises `BadOption`."""
        from cronsim import CronSim, CronSimError

        if not isinstance(expression, str):
            raise BadOption("cron", expression, "it is text of five fields, such as '0 9 * * mon-fri'")
        fields = " ".join(expression.split())
        if fields.startswith("@"):
            if fields.lower() not in MACROS:
                raise BadOption("cron", expression, f"write five fields, or one of {', '.join(MACROS)}")
            fields = MACROS[fields.lower()]
        try:
            zone = str(ZoneInfo(str(tz)))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BadOption("tz", tz, "it is the name of a time zone, such as 'Europe/Paris'") from None
        try:
            next(CronSim(fields, datetime(2000, 1, 1)))  # noqa: DTZ001  # local times have no zone yet
        except (CronSimError, StopIteration) as error:
            problem = str(error).lower() or "it has no time at all"
            fix = "minute, hour, day, month and day of the week, such as '0 9 * * mon-fri' or '*/15 * 1 * *'"
            more = "; with six, the first is the second"
            raise BadOption("cron", expression, f"{problem}: write five fields, {fix}{more}") from None
        return cls(fields, zone)

    def after(self, instant: float, start: float) -> float | None:
        """See `Schedule`."""
        local, _ = self._local(instant)
        return next((found for found in self._instants(local, reverse=False) if found > max(instant, start)), None)

    def latest(self, instant: float, start: float) -> float | None:
        """See `Schedule`."""
        # Where they were put back, times that they are to show again were meant for their first showing.
        local, moved = self._local(instant)
        local += max(-moved, timedelta()) + timedelta(minutes=1)
        found = next((found for found in self._instants(local, reverse=True) if found <= instant), None)
        return None if found is None or found <= start else found

    def _local(self, instant: float) -> tuple[datetime, timedelta]:
        """Return the local time, and by how much the clocks were put forward within the day before."""
        zone = ZoneInfo(self.tz)
        now, before = (datetime.fromtimestamp(at, zone) for at in (instant, instant - 86400.0))
        return now.replace(tzinfo=None), (now.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())

    def _instants(self, local: datetime, *, reverse: bool) -> Iterator[float]:
        from cronsim import CronSim

        zone = ZoneInfo(self.tz)
        for time in CronSim(self.expression, local, reverse=reverse):
            yield instant_of(time, zone)

    def describe(self) -> str:
        """See `Schedule`."""
        return f"cron {self.expression!r} in {self.tz}"


def instant_of(local: datetime, zone: ZoneInfo) -> float:
    """The instant at which the clocks of ``zone`` first show ``local``; when they never do, the next one that there is:
    that at which they were put forward.
    """
    before, behind = (local.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if before <= behind:
        return before  # it is shown once, or twice and this is the first
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
    """When to fire what is meant for ``instant``: later by the share ``chance``, from 0 to 1, of ``width`` seconds, or
    of the time until the next instant if that is shorter, so that none is left out.
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
    """Which instants are to be fired at ``now``, when ``last`` was the one before, and when the next one is. One that
    is later than ``grace`` seconds was missed, and none is fired that lies before ``start``. Of "all" there are at most
    ``most``; then the next one is due, too.
    """
    since = start if last is None else max(last, start)
    if misfire == "all":
        found = list(islice(_from(schedule, since, start, now), most))
        return found, schedule.after(found[-1] if found else max(since, now), start)
    latest = schedule.latest(now, start)
    following = schedule.after(max(since, now), start)  # of processes whose clocks differ the last has fired already
    if latest is None or latest <= since or (misfire == "skip" and now - latest > grace):
        return [], following
    return [latest], following


def _from(schedule: Schedule, instant: float, start: float, now: float) -> Iterator[float]:
    while (found := schedule.after(instant, start)) is not None and found <= now:
        yield found
        instant = found
