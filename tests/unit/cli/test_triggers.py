"""``telex triggers``: what it lists, pauses, resumes and fires, in a file."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import telex as library
from tests.support.internals import state_in
from tests.support.loops import until
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file with a trigger that has not fired yet, and one that has for the last time."""
    url = f"sqlite:///{tmp_path}/shop.db"
    hub = library.Hub(url)
    hub.cron("0 9 1 1 *", tz="Europe/Paris", topic="years")
    hub.after("1ms", topic="soon", name="reminder", misfire="once")

    async def make() -> None:
        async with hub, asyncio.timeout(20):
            await until(
                lambda: bool(hub.trigger("reminder").ended and state_in(hub, "years").queue_entry)
            )  # by themselves

    asyncio.run(make())
    return url


def triggers(telex: Telex, url: str) -> dict[str, dict[str, Any]]:
    """Each trigger by its name."""
    ran = telex("triggers", "--json", "--url", url)
    assert ran.code == 0, ran.err
    return {trigger["trigger"]: trigger for trigger in json.loads(ran.out)}


def test_triggers_are_listed(telex: Telex, url: str) -> None:
    ran = telex("triggers", "--url", url)
    assert ran.code == 0
    reminder, years = ran.out.splitlines()
    assert reminder.startswith("reminder: 0.001 s after it began, to soon; ended; last 20")
    assert reminder.endswith(" s late; 1 fired")
    assert years.startswith("years: cron '0 9 1 1 *' in Europe/Paris, to years; next 20")
    assert years.endswith("; 0 fired")
    found = triggers(telex, url)
    assert list(found) == ["reminder", "years"]
    assert found["years"]["next"].endswith("-01-01T08:00:00Z")
    assert (found["years"]["last"], found["years"]["paused"], found["years"]["ended"]) == (None, False, False)
    assert (found["reminder"]["next"], found["reminder"]["ended"], found["reminder"]["fired"]) == (None, True, 1)


def test_a_trigger_is_paused_and_goes_on(telex: Telex, url: str) -> None:
    ran = telex("triggers", "pause", "years", "--url", url)
    assert (ran.code, ran.out, ran.err) == (0, "years: paused\n", "")
    assert [name for name, trigger in triggers(telex, url).items() if trigger["paused"]] == ["years"]
    assert "; paused; 0 fired" in telex("triggers", "--url", url).out
    ran = telex("triggers", "resume", "years", "--url", url)
    assert (ran.code, ran.out) == (0, "years: resumed\n")
    assert not any(trigger["paused"] for trigger in triggers(telex, url).values())


def test_a_trigger_is_fired(telex: Telex, url: str) -> None:
    for number in (1, 2):
        ran = telex("triggers", "fire", "years", "--url", url)
        assert (ran.code, ran.out, ran.err) == (0, f"years: firing {number}\n", "")
    ran = telex("history", "years", "--json", "--url", url)
    firings = [json.loads(line)["content"] for line in ran.out.splitlines()]
    assert [(firing["trigger"], firing["number"]) for firing in firings] == [("years", 1), ("years", 2)]
    assert triggers(telex, url)["years"]["fired"] == 2


@pytest.mark.parametrize("before", [True, False])
def test_options_stand_before_the_command_or_after_it(telex: Telex, url: str, before: bool) -> None:
    options, command = ("--json", "--url", url), ("pause", "years")
    ran = telex("triggers", *options, *command) if before else telex("triggers", *command, *options)
    assert ran.code == 0, ran.err
    trigger = json.loads(ran.out)
    assert (trigger["trigger"], trigger["paused"]) == ("years", True)


def test_the_file_is_named_by_the_environment_too(telex: Telex, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_URL", url)
    assert "years" in telex("triggers").out
    assert telex("triggers", "pause", "years").out == "years: paused\n"


@pytest.mark.parametrize("command", ["pause", "resume", "fire"])
def test_refusals_name_the_mend(telex: Telex, url: str, command: str) -> None:
    for arguments, code, said in (
        (("nobody", "--url", url), 1, "there is no trigger nobody; `telex triggers` lists"),
        (("years", "--url", f"{url}.gone"), 1, "there is no file"),
        (("years", "--url", "memory://"), 2, "--url sqlite:///file.db"),
        (("years",), 2, "--url"),
        (("--url", url), 2, "NAME"),
    ):
        ran = telex("triggers", command, *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err
    assert sum(trigger["fired"] for trigger in triggers(telex, url).values()) == 1


def test_listing_needs_a_file(telex: Telex) -> None:
    ran = telex("triggers")
    assert (ran.code, ran.out) == (2, "")
    assert "--url sqlite:///file.db" in ran.err


@pytest.mark.parametrize("command", [(), ("pause",), ("resume",), ("fire",)])
def test_help_has_examples(telex: Telex, command: tuple[str, ...]) -> None:
    ran = telex("triggers", *command, "--help")
    assert ran.code == 0
    assert " ".join(["telex triggers", *command]) in ran.out.partition("Examples:")[2]
