"""``telex jobs``: commands that were sent, by their ids, in a file."""

import asyncio
import json
from pathlib import Path

import pytest

import telex as library
from telex.commands.job import MAX_CONTENT_BYTES
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.fixture
def ids(tmp_path: Path) -> tuple[str, str, str, str]:
    """A file, and the ids of a command that has failed, one that is delayed and one that is queued."""
    url = f"sqlite:///{tmp_path}/shop.db"
    hub = library.Hub(url)

    @hub.command("ship")
    async def ship(number: int) -> None:
        raise library.CommandError(f"no {number}\x1b[2J", code="sold_out")

    async def make() -> tuple[str, str, str, str]:
        async with hub:
            failed = await hub.send("ship", 7, key="order-7")
            await failed.outcome(timeout=20)
            delayed = await hub.send("ship", 8, delay="1h", priority="low")
            queued = await hub.send("bill", 9)
            return url, failed.id, delayed.id, queued.id

    return asyncio.run(make())


def test_commands_are_listed_and_shown(telex: Telex, ids: tuple[str, str, str, str]) -> None:
    url, failed, delayed, queued = ids
    ran = telex("jobs", "list", "--url", url)
    heading, *rows = ran.out.splitlines()
    assert heading.split() == ["ID", "COMMAND", "STATE", "ATTEMPT", "SINCE", "NOTE"]
    assert [row.split()[:4] for row in rows] == [
        [queued, "bill", "queued", "0"],
        [delayed, "ship", "delayed", "0"],
        [failed, "ship", "failed", "1"],
    ]
    assert rows[2].endswith("key order-7, CommandError: no 7 [2J")
    assert rows[1].endswith("low")
    found = json.loads(telex("jobs", "list", "--json", "--state", "failed", "--name", "ship", "--url", url).out)
    assert [job["id"] for job in found] == [failed]
    shown = telex("jobs", "show", failed, "--url", url).out.splitlines()
    assert {"state: failed", "key: order-7", "command: ship", "content: 7"} < set(shown)
    assert telex("jobs", "--url", url) == ran
    assert telex("jobs", "--json", "--url", url) == telex("jobs", "list", "--json", "--url", url)
    assert "--url sqlite:///file.db" in telex("jobs").err
    assert json.loads(telex("jobs", "show", delayed, "--json", "--url", url).out)["state"] == "delayed"


def test_commands_are_cancelled_and_run_again(telex: Telex, ids: tuple[str, str, str, str]) -> None:
    url, failed, delayed, _ = ids
    assert telex("jobs", "cancel", delayed, "--url", url).out == f"{delayed}: cancelled\n"
    again = telex("jobs", "cancel", delayed, "--url", url)
    assert (again.code, "has ended" in again.err) == (1, True)
    assert json.loads(telex("jobs", "retry", failed, "--json", "--url", url).out)["state"] == "queued"
    refused = telex("jobs", "retry", delayed, "--url", url)
    assert (refused.code, "the command is cancelled, and only a command that failed" in refused.err) == (2, True)


def test_a_listing_without_commands_names_the_wanted_ones(telex: Telex, ids: tuple[str, str, str, str]) -> None:
    none = telex("jobs", "list", "--name", "nothing", "--state", "failed", "--url", ids[0])
    assert (none.code, none.out) == (0, "")
    assert none.err.startswith("telex: there are no failed commands 'nothing'; ended ones are listed while")


def test_content_that_is_large_or_null_is_told_apart(telex: Telex, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    with library.blocking.Hub(url) as hub:
        large, null = hub.send("ship", "x" * MAX_CONTENT_BYTES), hub.send("ship")
    assert "content: not shown, it has 65,538 bytes" in telex("jobs", "show", large.id, "--url", url).out
    assert "content: null" in telex("jobs", "show", null.id, "--url", url).out


def test_wrong_ids_and_states_have_their_exit_codes(telex: Telex, ids: tuple[str, str, str, str]) -> None:
    url = ids[0]
    unknown = telex("jobs", "show", "x", "--url", url)
    assert (unknown.code, "there is no command with the id 'x'" in unknown.err) == (1, True)
    wrong = telex("jobs", "list", "--state", "over", "--url", url)
    assert (wrong.code, "it must be one of delayed, queued" in wrong.err) == (2, True)
