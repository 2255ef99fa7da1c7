"""The times and options of schedules, and the errors of bad ones."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from telex import BadName, BadOption
from telex.schedules.plan import (
    ScheduleRecord,
    check_schedule_name,
    info_of,
    missed_of,
    planned,
    schedule_of,
    text_of_when,
)
from telex.triggers.conditions.schedule import At, Cron, Every

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC).timestamp()
RECORD = ScheduleRecord(start=0.0, when="0 9 * * mon", topic="reports")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("every 10s", Every(10.0)),
        ("0  9 * * mon", Cron("0 9 * * mon", "Europe/Paris")),
        ("@daily", Cron("0 0 * * *", "Europe/Paris")),
        (datetime(2026, 5, 1, tzinfo=UTC), At(datetime(2026, 5, 1, tzinfo=UTC).timestamp())),
        ("2026-05-01T00:00:00Z", At(datetime(2026, 5, 1, tzinfo=UTC).timestamp())),
    ],
)
def test_times_are_cron_a_period_or_an_instant(when: object, expected: object) -> None:
    assert schedule_of(text_of_when(when), "Europe/Paris") == expected


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"when": "0 9 * *"}, "of five fields, '0 9 [*] [*] mon', text such as 'every 10s'"),
        ({"when": "every day"}, "'day' is no length of time; it must be such as 'every 10s', 'every 5m'"),
        ({"when": "every"}, "a length of time must follow; it must be such as 'every 10s'"),
        ({"when": "every 0s"}, "'every' needs a length of time of at least 0.001 s"),
        ({"when": "hourly"}, r"bad when 'hourly': it must be a cron expression .* \(wrong number of fields\)"),
        ({"tz": "Mars/Olympus"}, "it must be the name of a time zone"),
        ({"when": "every 10s", "tz": "Mars/Olympus"}, "it must be the name of a time zone"),
        ({"misfire": "never"}, "it must be 'skip', 'once' or 'all'"),
        ({"when": "every 10s", "jitter": 10.0}, "it must be shorter than the period"),
        ({"when": "2020-01-01T00:00:00+00:00"}, "it must be in the future"),
        ({"when": "2027-01-01T00:00:00"}, "give a time zone"),
    ],
)
def test_bad_times_and_options_are_refused_with_the_fix(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadOption, match=problem):
        planned(replace(RECORD, **changes), NOW)


@pytest.mark.parametrize("when", ["", None, 10])
def test_times_that_are_no_text_and_no_instant_are_refused(when: object) -> None:
    with pytest.raises(BadOption, match="cron expression"):
        text_of_when(when)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 129, None])
def test_bad_names_are_refused(name: object) -> None:
    with pytest.raises(BadName, match="a schedule's name must"):
        check_schedule_name(name)


def test_local_times_follow_the_clocks_of_the_zone() -> None:
    record = planned(replace(RECORD, when="30 2 * * *", tz="Europe/Paris"), NOW)  # skipped on 29 March 2026
    assert record.next == datetime(2026, 3, 29, 1, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("when", "next", "hours", "missed"),
    [
        ("every 10m", 600, 1, 6),
        ("every 10m", 600, 599 / 3600, 0),
        ("every 10m", 600, 601 / 3600, 1),
        ("every 10m", None, 1, 0),
        ("0 * * * *", 3600, 24, 23),  # the last one is not late yet
        ("* * * * *", 60, 1000, 1000),
        ("2026-03-28T13:00:00+00:00", 3600, 24, 1),
    ],
)
def test_runs_that_were_due_and_not_decided_about_are_missed(
    when: str, next: float | None, hours: float, missed: int
) -> None:
    record = replace(RECORD, when=when, start=NOW, next=None if next is None else NOW + next, missed=0)
    now = NOW + hours * 3600 + (0.5 if when.startswith("0") else 1.0)
    assert missed_of(record, now) == missed
    assert missed_of(replace(record, ended=True), now) == 0
    assert info_of("a", replace(record, missed=7), now).missed == 7 + missed


def test_a_local_time_that_repeats_is_missed_once() -> None:
    before = datetime(2026, 10, 24, 12, 0, tzinfo=UTC).timestamp()
    record = planned(replace(RECORD, when="30 2 * * *", tz="Europe/Paris"), before)
    assert missed_of(record, before + 2.5 * 86400) == 2


def test_local_times_that_are_skipped_together_are_one_missed_run() -> None:
    record = planned(replace(RECORD, when="0,30 2 * * *", tz="Europe/Paris"), NOW - 86400)
    assert missed_of(record, NOW + 86400) == 3  # two on the day before
