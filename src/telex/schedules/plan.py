"""`ScheduleRecord`: a schedule as the engine stores it, and the checks of its parts. Pure: the time is an argument."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from telex.durations import Duration, seconds
from telex.errors import BadName, BadOption
from telex.message import aware
from telex.triggers.conditions.firing import MAX_NAME_LENGTH, moment
from telex.triggers.conditions.schedule import GRACE, At, Cron, Every, Misfire, Schedule, count_of
from telex.triggers.declare import period_of
from telex.triggers.records import TriggerRecord

WHEN = "it must be a cron expression of five fields, '0 9 * * mon', text such as 'every 10s', or an aware datetime"


class ScheduleRecord(TriggerRecord, frozen=True, kw_only=True):
    """The stored state of one schedule. ``topic`` is empty for a schedule that sends a command."""

    when: str
    tz: str = "UTC"
    command: str = ""
    content: Any = None
    misfire: Misfire = "once"
    jitter: float = 0.0
    missed: int = 0


class ScheduleInfo(msgspec.Struct, frozen=True):
    """The state of one schedule: its times, its target, and its last and next run.

    ``when`` is a cron expression, ``every`` with a period, or an instant. Either ``command`` or ``topic`` is set.
    ``late`` is the delay of the last run in seconds. ``ended`` is true after the last run of a schedule. ``missed`` is
    the number of runs that were due while no process fired or the schedule was paused, up to now; ``misfire`` decides
    about them. Of one such time at most 1000 runs of a cron expression are counted.
    """

    name: str
    when: str
    tz: str
    command: str | None
    topic: str | None
    content: Any
    misfire: Misfire
    jitter: float
    next: datetime | None
    last: datetime | None
    fired: int
    late: float
    paused: bool
    ended: bool
    missed: int = 0


def info_of(name: str, record: ScheduleRecord, now: float) -> ScheduleInfo:
    """Return a record for programs, at the time ``now``."""
    return ScheduleInfo(
        name,
        record.when,
        record.tz,
        record.command or None,
        record.topic or None,
        record.content,
        record.misfire,
        record.jitter,
        None if record.next is None or record.paused else moment(record.next),
        None if record.last is None else moment(record.last),
        record.fired,
        record.late,
        record.paused,
        record.ended,
        record.missed + missed_of(record, now),
    )


def missed_of(record: ScheduleRecord, now: float) -> int:
    """Return the number of runs that were missed and that no process has decided about."""
    until = now - GRACE - record.jitter
    if record.next is None or record.ended or record.next > until:
        return 0
    return count_of(schedule_of(record.when, record.tz), record.next, until)


def check_schedule_name(name: object) -> str:
    """Return the name of a schedule. Raises `BadName`."""
    if not isinstance(name, str) or not name.strip():
        raise BadName(name, "a schedule's name must be text that is not empty, such as 'weekly report'")
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise BadName(name, f"a schedule's name must have at most {MAX_NAME_LENGTH} printable characters")
    return name


def text_of_when(when: object) -> str:
    """Return the text that is stored for the times of a schedule. Raises `BadOption`."""
    if isinstance(when, datetime):
        return aware(when, "when").astimezone(UTC).isoformat()
    if not isinstance(when, str) or not when.strip():
        raise BadOption("when", when, WHEN)
    return " ".join(when.split())


def schedule_of(when: str, tz: object) -> Schedule:
    """Return the schedule of a text of `text_of_when`, on the clocks of a time zone. Raises `BadOption`."""
    if when.split()[:1] == ["every"]:
        return Every(_period(when))
    if when[:4].isdigit() and "-" in when:
        try:
            return At(aware(datetime.fromisoformat(when), "when").timestamp())
        except ValueError as error:
            if isinstance(error, BadOption):
                raise
    try:
        return Cron.checked(when, tz)
    except BadOption as error:
        if error.option != "cron":
            raise
        problem = error.fix.partition(": ")[0]
        raise BadOption("when", when, f"{WHEN} ({problem})") from None


def _period(when: str) -> float:
    """Return the seconds of a text such as ``every 10s``. Raises `BadOption`."""
    given = when.removeprefix("every").strip()
    try:
        return period_of(given, "when")
    except BadOption as error:
        short = f"'every' needs a length of time of {error.fix.removeprefix('it must be ')}"
        unknown = f"{given!r} is no length of time" if given else "a length of time must follow"
        problem = short if error.fix.startswith("it must") else unknown
        fix = "it must be such as 'every 10s', 'every 5m' or 'every 24h'; for times of day '0 9 * * mon'"
        raise BadOption("when", when, f"{problem}; {fix}") from None


def zone_of(tz: object) -> ZoneInfo:
    """Return a time zone. Raises `BadOption`."""
    return ZoneInfo(Cron.checked("@daily", tz).tz)


def checked(record: ScheduleRecord) -> ScheduleRecord:
    """Return a record with checked options. Raises `BadOption` for unknown times and zones, and wrong policies."""
    schedule = schedule_of(record.when, record.tz)
    zone_of(record.tz)  # it has to exist, also when the times do not depend on it
    if record.misfire not in get_args(Misfire):
        raise BadOption("misfire", record.misfire, "it must be 'skip', 'once' or 'all'")
    if isinstance(schedule, Every) and record.jitter >= schedule.period:
        raise BadOption("jitter", record.jitter, "it must be shorter than the period, or runs would be left out")
    return replace(record, tz=str(record.tz), schedule=schedule.describe())


def planned(record: ScheduleRecord, now: float) -> ScheduleRecord:
    """Return a checked record whose times count from ``now``. Raises `BadOption`, also for times that are all past."""
    record = checked(record)
    following = schedule_of(record.when, record.tz).after(now, now)
    if following is None:
        raise BadOption("when", record.when, "it must be in the future")
    return replace(record, start=now, next=following, ended=False)


def jitter_of(jitter: Duration) -> float:
    """Return the seconds of a jitter. Raises `BadOption`."""
    return seconds(jitter, "jitter")
