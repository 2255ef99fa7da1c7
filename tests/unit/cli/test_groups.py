"""``telex groups``: what it lists, pauses, resumes and forgets, in a file."""

import asyncio
import io
import json
import re
import sys
from pathlib import Path

import pytest

import telex as library
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file with two groups, the one on two patterns, that have handled nothing yet."""
    url = f"sqlite:///{tmp_path}/shop.db"

    async def make() -> None:
        hub = library.Hub(url)
        for name, pattern in (("billing", "orders:*"), ("billing", "refunds"), ("audit", "orders:*")):
            hub.on(pattern, group=name, run_in="loop")(print)
        async with hub:
            while len(await hub.groups.list()) < 3:  # noqa: ASYNC110  # groups are asked for
                await asyncio.sleep(0)
        async with library.Hub(url) as closed:
            await closed.topic("orders:1").publish("tea")

    asyncio.run(make())
    return url


def groups(telex: Telex, url: str) -> dict[tuple[str, str], bool]:
    """Each group and pattern, and whether it is paused."""
    ran = telex("groups", "--json", "--url", url)
    assert ran.code == 0, ran.err
    return {(group["group"], group["pattern"]): group["paused"] for group in json.loads(ran.out)}


def test_groups_are_listed(telex: Telex, url: str) -> None:
    ran = telex("groups", "--url", url)
    assert ran.code == 0
    heading, *lines = ran.out.splitlines()
    assert re.split("  +", heading) == ["GROUP", "PATTERN", "LAG", "IN FLIGHT", "DELAYED", "DEAD", "STATE"]
    assert sorted(line.split() for line in lines) == [
        ["audit", "orders:*", "1", "0", "0", "0"],
        ["billing", "orders:*", "1", "0", "0", "0"],
        ["billing", "refunds", "0", "0", "0", "0"],
    ]
    assert set(groups(telex, url)) == {("audit", "orders:*"), ("billing", "orders:*"), ("billing", "refunds")}


def test_the_file_is_named_by_the_environment_too(telex: Telex, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_URL", url)
    assert "audit" in telex("groups").out
    assert telex("groups", "pause", "audit").out == "audit on orders:*: paused\n"


def test_a_group_is_paused_and_goes_on(telex: Telex, url: str) -> None:
    ran = telex("groups", "pause", "billing", "--url", url)
    assert (ran.code, ran.err) == (0, "")
    assert sorted(ran.out.splitlines()) == ["billing on orders:*: paused", "billing on refunds: paused"]
    assert [key for key, paused in groups(telex, url).items() if not paused] == [("audit", "orders:*")]
    assert telex("groups", "--url", url).out.count("0  paused\n") == 2
    ran = telex("groups", "resume", "billing", "--pattern", "refunds", "--url", url)
    assert (ran.code, ran.out) == (0, "billing on refunds: resumed\n")
    assert [key for key, paused in groups(telex, url).items() if paused] == [("billing", "orders:*")]


def test_a_group_is_moved_to_another_start(telex: Telex, url: str) -> None:
    ran = telex("groups", "seek", "billing", "new", "--url", url)
    assert (ran.code, ran.err) == (0, "")
    assert sorted(ran.out.splitlines()) == ["billing on orders:*: moved to new", "billing on refunds: moved to new"]
    ran = telex("groups", "seek", "audit", "1", "--json", "--url", url)
    assert [group["lag"] for group in json.loads(ran.out)] == [1]
    lags = [group["lag"] for group in json.loads(telex("groups", "--json", "--url", url).out)]
    assert lags == [1, 0, 0]
    ran = telex("groups", "seek", "billing", "0198:5", "--url", url)
    assert (ran.code != 0, "a position belongs to one topic" in ran.err) == (True, True)


@pytest.mark.parametrize("before", [True, False])
def test_options_stand_before_the_command_or_after_it(telex: Telex, url: str, before: bool) -> None:
    options = ("--json", "--url", url)
    command = ("pause", "billing", "--pattern", "refunds")
    ran = telex("groups", *options, *command) if before else telex("groups", *command, *options)
    assert ran.code == 0, ran.err
    (group,) = json.loads(ran.out)
    assert (group["group"], group["pattern"], group["paused"], group["lag"]) == ("billing", "refunds", True, 0)


def test_a_group_is_forgotten(telex: Telex, url: str) -> None:
    ran = telex("groups", "forget", "billing", "-p", "refunds", "--yes", "--url", url)
    assert (ran.code, ran.out, ran.err) == (0, "billing on refunds: forgotten\n", "")
    ran = telex("groups", "forget", "billing", "--yes", "--json", "--url", url)
    assert [(group["group"], group["pattern"], group["lag"]) for group in json.loads(ran.out)] == [
        ("billing", "orders:*", 1)
    ]
    assert set(groups(telex, url)) == {("audit", "orders:*")}


class Terminal(io.StringIO):
    """A terminal with somebody who typed."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "options", "code", "left"),
    [("n\n", (), 1, 3), ("\n", (), 1, 3), ("", (), 1, 3), ("y\n", (), 0, 1), ("", ("--yes",), 0, 1)],
    ids=["no", "nothing", "end", "yes", "not asked"],
)
def test_a_terminal_is_asked(
    telex: Telex,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    options: tuple[str, ...],
    code: int,
    left: int,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    ran = telex("groups", "forget", "billing", "--json", "--url", url, *options)
    assert ran.code == code
    assert ("Forget this" in ran.err) is not bool(options)
    if not options:
        assert "billing on orders:*: lag 1, in flight 0" in ran.err
        assert "audit" not in ran.err
    assert len(json.loads(ran.out)) == 2 if code == 0 else not ran.out
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert len(groups(telex, url)) == left


def test_an_input_that_is_no_terminal_is_not_asked(telex: Telex, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert telex("groups", "forget", "audit", "--url", url).err == ""
    assert ("audit", "orders:*") not in groups(telex, url)


@pytest.mark.parametrize("command", ["pause", "resume", "forget"])
def test_refusals_name_the_mend(telex: Telex, url: str, command: str) -> None:
    for arguments, code, said in (
        (("nobody", "--url", url), 1, "there is no group nobody; `telex groups` lists"),
        (("audit", "--pattern", "refunds", "--url", url), 1, "there is no group audit on refunds"),
        (("audit", "--pattern", ">:x", "--url", url), 2, "last token"),
        (("audit", "--url", f"{url}.gone"), 1, "there is no file"),
        (("audit", "--url", "memory://"), 2, "--url sqlite:///file.db"),
        (("audit",), 2, "--url"),
        (("--url", url), 2, "GROUP"),
    ):
        ran = telex("groups", command, *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err
    assert len(groups(telex, url)) == 3
    assert not any(groups(telex, url).values())


def test_listing_needs_a_file(telex: Telex) -> None:
    ran = telex("groups")
    assert (ran.code, ran.out) == (2, "")
    assert "--url sqlite:///file.db" in ran.err


@pytest.mark.parametrize("command", [(), ("pause",), ("resume",), ("forget",)])
def test_help_has_examples(telex: Telex, command: tuple[str, ...]) -> None:
    ran = telex("groups", *command, "--help")
    assert ran.code == 0
    assert " ".join(["telex groups", *command]) in ran.out.partition("Examples:")[2]
