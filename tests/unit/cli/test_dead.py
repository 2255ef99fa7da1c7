"""``telex dead``: dead letters of a file are listed, shown, delivered again and dropped."""

import asyncio
import json
import re
from datetime import datetime
from pathlib import Path

import pytest

import telex as library
from telex.cli.output import local_time
from telex.groups.admin import GroupAdmin
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file with the dead letters 1 and 2 of billing, and the dead letter 3 of audit."""
    url = f"sqlite:///{tmp_path}/shop.db"

    async def make() -> None:
        hub = library.Hub(url)

        def fail(number: int) -> None:
            raise library.Reject(f"no price for {number}")

        hub.on("orders", group="billing", run_in="loop")(fail)
        hub.on("refunds", group="audit", run_in="loop")(fail)
        async with hub:
            for topic, number in (("orders", 1), ("orders", 2), ("refunds", 3)):
                await hub.topic(topic).publish(number)
                async with asyncio.timeout(20):
                    while len(await hub.groups.dead()) < number:  # noqa: ASYNC110  # dead letters are asked for
                        await asyncio.sleep(0)

    asyncio.run(make())
    return url


def numbers(telex: Telex, url: str, *options: str) -> dict[int, int]:
    """The number of each dead letter, by its content."""
    ran = telex("dead", "list", "--json", "--url", url, *options)
    assert (ran.code, ran.err) == (0, "")
    letters = [json.loads(line) for line in ran.out.splitlines()]
    return {letter["message"]["content"]: letter["position"] for letter in letters}


def lag_and_dead(url: str, group: str) -> tuple[int, int]:
    with library.blocking.Hub(url) as hub:
        (info,) = [info for info in hub.groups.list() if info.group == group]
        return info.lag, info.dead


def test_more_dead_letters_than_a_program_gets_at_once_are_listed_and_dropped(
    telex: Telex, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GroupAdmin.dead, "__defaults__", (None, 1))
    assert list(numbers(telex, url)) == [1, 2, 3]
    ran = telex("dead", "drop", "--group", "billing", "--url", url)
    assert (ran.code, ran.out) == (0, "2 dropped\n")


def test_dead_letters_are_listed_the_oldest_first(telex: Telex, url: str) -> None:
    ran = telex("dead", "list", "--url", url)
    heading, *lines = ran.out.splitlines()
    assert re.split("  +", heading) == ["NUMBER", "GROUP", "ATTEMPTS", "REASON", "MESSAGE"]
    first, second, third = map(str, numbers(telex, url).values())
    assert [line.split()[:3] for line in lines] == [
        [first, "billing", "1"],
        [second, "billing", "1"],
        [third, "audit", "1"],
    ]
    assert "no price for 2" in lines[1]
    assert list(numbers(telex, url)) == [1, 2, 3]
    assert list(numbers(telex, url, "--group", "audit")) == [3]


def test_one_dead_letter_is_shown_with_its_message(telex: Telex, url: str) -> None:
    number = numbers(telex, url)[2]
    letter = json.loads(telex("dead", "show", str(number), "--json", "--url", url).out)
    assert (letter["position"], letter["group"], letter["pattern"], letter["attempts"]) == (
        number,
        "billing",
        "orders",
        1,
    )
    assert "no price for 2" in letter["reason"]
    assert (letter["message"]["topic"], letter["message"]["content"]) == ("orders", 2)
    died = datetime.fromisoformat(letter["died"])
    shown = telex("dead", "show", str(number), "--url", url).out.splitlines()
    assert {f"position: {number}", "group: billing", f"died: {local_time(died)}"} < set(shown)
    assert any(line.startswith("message: ") and line.endswith("  orders 2  2") for line in shown)
    assert telex("dead", "--url", url) == telex("dead", "list", "--url", url)


def test_a_number_chooses_one_dead_letter_to_deliver_again(telex: Telex, url: str) -> None:
    assert lag_and_dead(url, "billing") == (0, 2)
    ran = telex("dead", "retry", str(numbers(telex, url)[1]), "--url", url)
    assert (ran.code, ran.out) == (0, "1 delivered again\n")
    assert lag_and_dead(url, "billing") == (1, 1)
    assert list(numbers(telex, url)) == [2, 3]


@pytest.mark.parametrize(("command", "said", "lag"), [("retry", "delivered again", 2), ("drop", "dropped", 0)])
def test_a_group_chooses_all_of_its_dead_letters(telex: Telex, url: str, command: str, said: str, lag: int) -> None:
    ran = telex("dead", command, "--group", "billing", "--url", url)
    assert (ran.code, ran.out) == (0, f"2 {said}\n")
    assert lag_and_dead(url, "billing") == (lag, 0)
    assert list(numbers(telex, url)) == [3]


@pytest.mark.parametrize("command", ["show", "retry", "drop"])
def test_a_number_that_no_dead_letter_has_is_refused(telex: Telex, url: str, command: str) -> None:
    ran = telex("dead", command, "99", "--url", url)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "telex: there is no dead letter 99; `telex dead list` lists them\n"
    assert list(numbers(telex, url)) == [1, 2, 3]


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_all_dead_letters_are_not_meant_by_naming_none(telex: Telex, url: str, command: str) -> None:
    ran = telex("dead", command, "--url", url)
    assert (ran.code, ran.out) == (2, "")
    assert "--group" in ran.err
    assert list(numbers(telex, url)) == [1, 2, 3]
