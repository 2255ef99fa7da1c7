"""``telex schedules``: adding, changing and deleting schedules in a file."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


def test_a_schedule_is_added_changed_paused_resumed_and_deleted(telex: Telex, url: str) -> None:
    content = ("--content", '{"team": "sales"}', "--tz", "Europe/Paris")
    ran = telex("schedules", "add", "weekly", "0 9 * * mon", "--command", "report", *content, "--url", url)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("weekly: 0 9 * * mon in Europe/Paris, command report; next 20")
    ran = telex("schedules", "change", "weekly", "--when", "every 10s", "--topic", "ticks", "--json", "--url", url)
    changed = json.loads(ran.out)
    assert (changed["when"], changed["topic"], changed["command"]) == ("every 10s", "ticks", None)
    assert changed["content"] == {"team": "sales"}
    assert "; paused; " in telex("schedules", "pause", "weekly", "--url", url).out
    assert json.loads(telex("schedules", "--json", "--url", url).out)[0]["paused"] is True
    assert "paused" not in telex("schedules", "resume", "weekly", "--url", url).out
    heading, row = telex("schedules", "list", "--url", url).out.splitlines()
    assert heading.split() == ["NAME", "WHEN", "ZONE", "TARGET", "NEXT", "LAST", "RUNS", "MISSED", "STATE"]
    assert row.startswith("weekly  every 10s  Europe/Paris  topic ticks  20")
    assert telex("schedules", "show", "weekly", "--url", url).out.startswith("weekly: every 10s")
    assert telex("schedules", "delete", "weekly", "--url", url).out == "weekly: deleted\n"
    ran = telex("schedules", "delete", "weekly", "--url", url)
    assert (ran.code, ran.out) == (1, "")
    assert "there is no schedule weekly" in ran.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("a", "0 9 * *", "--topic", "t"), "a cron expression of five fields"),
        (("a", "@daily", "--topic", "t", "--tz", "Mars"), "the name of a time zone"),
        (("a", "@daily"), "give either command= or topic="),
        (("", "@daily", "--topic", "t"), "not empty"),
    ],
)
def test_wrong_schedules_are_usage_errors(telex: Telex, url: str, arguments: tuple[str, ...], problem: str) -> None:
    ran = telex("schedules", "add", *arguments, "--url", url)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err
