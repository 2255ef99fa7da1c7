"""The times and options of schedules, and the errors of bad ones."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from telex import BadName, BadOption
from telex.schedules.plan import ScheduleRecord, check_schedule_name, planned, schedule_of, text_of_when
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
        ({"when": "0 9 * *"}, "write five fields"),
        ({"when": "every day"}, "every|duration|seconds"),
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
