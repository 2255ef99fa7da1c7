"""`telex once`: records are shown and forgotten."""

import asyncio
import io
import json
import sys
import threading
from pathlib import Path

import pytest

import telex as package
from telex import Hub
from telex.once.results import RESULTS_BUCKET
from tests.support.internals import records_of
from tests.unit.cli.conftest import Telex


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "asks"), [("y", ()), ("n", ()), (None, ("--yes",))])
def test_on_a_terminal_forgetting_a_key_is_asked_for(
    telex: Telex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str | None, asks: tuple[str, ...]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    url = f"sqlite:///{tmp_path}/shop.db?synchronous=normal"

    async def charge() -> None:
        hub = Hub(url)
        hub.command("charge", once=True, run_in="loop")(charged)
        async with hub:
            assert await hub.call("charge", 5, key="a", timeout=20) == 5

    def charged(amount: int) -> int:
        return amount

    asyncio.run(charge())
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    ran = telex("once", "forget", "charge", "a", "--url", url, *asks)
    assert ("Forget this?" in ran.err) is (answer is not None)
    assert ("is forgotten" in ran.out) is (answer != "n")


@pytest.mark.slow
def test_a_record_is_shown(telex: Telex, serving: str) -> None:
    telex("send", "report:build", "2026", "--key", "a", "--url", serving)
    telex("send", "report:print", "1", "--key", "b", "--url", serving)
    lines = telex("once", "show", "report:build", "a", "--url", serving).out.splitlines()
    assert lines[:2] == ["report:build a: done, attempt 1", 'result     {"pages":2026,"attempt":1}']
    assert [line.split()[0] for line in lines[2:]] == ["completed", "kept"]
    told = json.loads(telex("once", "show", "report:build", "a", "--json", "--url", serving).out)
    assert (told["state"], told["result"], told["key"]) == ("done", {"pages": 2026, "attempt": 1}, "a")
    assert (
        "error      OutOfPaper (out_of_paper): no paper"
        in telex("once", "show", "report:print", "b", "-u", serving).out
    )
    none = telex("once", "show", "report:build", "z", "--url", serving)
    assert (none.code, none.out) == (1, "")
    assert "there is no record of report:build z" in none.err


@pytest.mark.slow
def test_large_results_are_shown_and_forgotten(telex: Telex, works_url: str) -> None:
    hub = package.blocking.Hub(works_url)

    @hub.command("large", once=True, run_in="loop")
    def large(size: int) -> str:
        return "x" * size

    def kept() -> int:
        async def count() -> int:
            async with package.Hub(works_url) as again:
                return len(await records_of(again).keys(RESULTS_BUCKET))

        return asyncio.run(count())

    with hub:
        hub.call("large", 300_000, key="a")
    assert kept() == 2  # the record's, and that of the outcome that was told
    assert len(telex("once", "show", "large", "a", "--url", works_url).out) > 300_000
    assert telex("once", "forget", "large", "a", "--url", works_url).code == 0
    assert kept() == 1


@pytest.mark.slow
def test_a_forgotten_command_runs_again(telex: Telex, serving: str) -> None:
    def send() -> bool:
        replayed: bool = json.loads(telex("send", "report:build", "1", "--key", "a", "--json", "-u", serving).out)[
            "replayed"
        ]
        return replayed

    telex("send", "report:build", "1", "--key", "a", "--url", serving)
    assert send()
    ran = telex("once", "forget", "report:build", "a", "--yes", "--url", serving)
    assert (ran.code, ran.out) == (0, "report:build a is forgotten: the same key will run the command again\n")
    assert "replayed" not in telex("send", "report:build", "1", "--key", "a", "--json", "-u", serving).out
    assert telex("once", "forget", "report:build", "z", "--yes", "--url", serving).code == 1


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0), ("", 1)])
def test_on_a_terminal_it_asks(
    telex: Telex, serving: str, begun: threading.Event, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    telex("send", "wait", "--key", "a", "--no-wait", "--url", serving)
    assert begun.wait(10)
    assert telex("once", "show", "wait", "a", "--url", serving).out.splitlines()[0] == "wait a: running, attempt 1"
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    ran = telex("once", "forget", "wait", "a", "--url", serving)
    assert ran.code == code
    assert "Its outcome will be refused" in ran.err
    assert "The same key will run the command again" in ran.err
    assert (telex("once", "show", "wait", "a", "--url", serving).code == 1) is (code == 0)
