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
from telex.triggers.conditions.schedule import At, Cron, Every, Misfire, Schedule
from telex.triggers.declare import period_of
from telex.triggers.records import TriggerRecord

EVERY = "every "
WHEN = "it must be a cron expression such as '0 9 * * mon', text such as 'every 10s', or an aware datetime"


class ScheduleRecord(TriggerRecord, frozen=True, kw_only=True):
    """The stored state of one schedule. ``topic`` is empty for a schedule that sends a command."""

    when: str
    tz: str = "UTC"
    command: str = ""
    content: Any = None
    misfire: Misfire = "once"
    jitter: float = 0.0


class ScheduleInfo(msgspec.Struct, frozen=True):
    """The state of one schedule: its times, its target, and its last and next run.

    ``when`` is a cron expression, ``every`` with a period, or an instant. Either ``command`` or ``topic`` is set.
    ``late`` is the delay of the last run in seconds. ``ended`` is true after the last run of a schedule.
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


def info_of(name: str, record: ScheduleRecord) -> ScheduleInfo:
    """Return a record for programs."""
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
    )


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
    if when.startswith(EVERY):
        return Every(period_of(when.removeprefix(EVERY), "when"))
    if when[:4].isdigit() and "-" in when:
        try:
            return At(aware(datetime.fromisoformat(when), "when").timestamp())
        except ValueError as error:
            if isinstance(error, BadOption):
                raise
    return Cron.checked(when, tz)


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
