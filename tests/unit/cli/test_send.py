"""`telex send`, on a file."""

import io
import json
import re
import sys
import threading
from datetime import UTC, datetime

import pytest

import telex as package
from tests.unit.cli.conftest import Telex, declare

pytestmark = pytest.mark.slow


# -- on a file


def test_a_result_is_printed(telex: Telex, serving: str) -> None:
    assert telex("send", "report:build", "2026", "--key", "a", "--url", serving) == (
        0,
        '{"pages":2026,"attempt":1}\n',
        "",
    )
    told = json.loads(telex("send", "report:build", "2026", "-k", "a", "--json", "--url", serving).out)
    assert told["result"] == {"pages": 2026, "attempt": 1}
    assert (told["command"], told["key"], told["replayed"]) == ("report:build", "a", True)


@pytest.mark.parametrize(
    ("given", "shown"), [("7", "7"), ('"text \\u001b[2J"', "text  [2J"), ("null", "null"), ('{"a": [1]}', '{"a":[1]}')]
)
def test_content_is_json(telex: Telex, serving: str, given: str, shown: str) -> None:
    assert telex("send", "echo", given, "--url", serving).out == shown + "\n"


def test_content_of_standard_input(telex: Telex, serving: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[1, 2]\n")))
    assert telex("send", "echo", "-", "--url", serving).out == "[1,2]\n"


def test_a_command_that_fails(telex: Telex, serving: str) -> None:
    ran = telex("send", "report:print", "1", "--key", "a", "--json", "--url", serving)
    assert ran.code == 5
    assert ran.err == "telex: the command 'report:print' failed: OutOfPaper: no paper\n"
    told = json.loads(ran.out)
    assert told["error"] == {
        "type": "OutOfPaper",
        "code": "out_of_paper",
        "message": "no paper",
        "data": {"tray": 2},
        "final": True,
    }
    assert "result" not in told
    assert telex("send", "report:print", "1", "--key", "a", "--url", serving).out == ""


def test_refusals_name_the_fix(telex: Telex, serving: str) -> None:
    assert telex("send", "report:build", "1", "--key", "a", "--url", serving).code == 0
    for arguments, code, said in (
        (("echo", "{a"), 2, """write text as '"text"'"""),
        (("report:build", "1"), 2, "give the key, such as --key order-7"),
        (("report:build", "2", "--key", "a"), 1, "was used with other content"),
        (("nobody", "1"), 1, "--no-wait to have it run when that program starts"),
        (
            ("report:build", "1", "--key", ""),
            2,
            "bad --key '': it must be 1 to 255 printable characters, such as order-7",
        ),
        (("report:build", '"x"', "--key", "b"), 1, "telex: content for 'report:build' is refused at $: Expected `int`"),
        (("badly",), 5, "the command 'badly' failed: its result is refused at $: Expected `int`"),
        (("a b", "1"), 2, "whitespace"),
        (("echo", "1", "--timeout", "soon"), 2, "'5m'"),
        (("echo", "1", "--server", "http://127.0.0.1"), 2, "not both"),
        (("echo", "1", "--at", "noon"), 2, "the offset from UTC: 2027-05-01T09:00+02:00"),
        (("echo", "1", "--at", "2027-05-01T09:00"), 2, "offset"),
        (("echo", "1", "--delay", "1h", "--at", "2027-05-01T09:00+02:00"), 2, "not both"),
        (("echo", "1", "--priority", "urgent"), 2, "it must be 'high', 'normal' or 'low'"),
    ):
        ran = telex("send", *arguments, "--url", serving)
        assert (ran.code, ran.out) == (code, ""), arguments
        assert said in " ".join(ran.err.split())
        # Who sits at a terminal need not know of topics, of Python and of what it calls options.
        assert not re.search(r"\btopic|publish|\w=[.'\w]|hub\b|timedelta|ContentError", ran.err), ran.err
    assert telex("send", "echo", "1").code == 2
    assert "there is no file" in telex("send", "echo", "1", "--url", "sqlite:////nowhere/x.db").err


def test_the_time_is_over_and_it_goes_on(telex: Telex, serving: str, gate: threading.Event) -> None:
    ran = telex("send", "wait", "--key", "a", "--timeout", "100ms", "--url", serving)
    assert ran.code == 4
    assert "took longer than the 0.1 s" in ran.err
    gate.set()
    assert telex("send", "wait", "--key", "a", "--url", serving).out == "done\n"


def test_a_command_is_sent_for_later_with_its_priority(telex: Telex, works_url: str) -> None:
    with package.blocking.Hub(works_url):
        pass
    options = ("--no-wait", "--url", works_url)
    delayed = telex("send", "echo", "7", "--delay", "1h", "--expires", "2h", "--priority", "low", *options).out.strip()
    at = telex("send", "echo", "8", "--at", "2999-05-01T09:00+02:00", *options).out.strip()
    with package.blocking.Hub(works_url) as hub:
        (first,), (second,) = hub.commands(id=delayed), hub.commands(id=at)
    assert (first.state, first.priority, first.content) == ("delayed", "low", 7)
    assert second.due_at == datetime(2999, 5, 1, 7, tzinfo=UTC)
    refused = telex("send", "echo", "1", "--delay", "1h", "--server", "http://127.0.0.1:1")
    assert (refused.code, "'--delay'" in refused.err) == (2, True)


def test_not_waiting(telex: Telex, works_url: str) -> None:
    with package.blocking.Hub(works_url):
        pass
    sent = telex("send", "echo", "7", "--no-wait", "--url", works_url)
    assert sent.code == 0
    told = json.loads(telex("send", "echo", "8", "--no-wait", "--json", "--url", works_url).out)
    assert set(told) == {"command", "id"}
    hub = package.blocking.Hub(works_url)
    declare(hub)
    with hub, hub.follow("echo", start="earliest") as follower:
        outcomes = [follower.receive(timeout=20) for _ in range(2)]
        assert {outcome.id: outcome.result for outcome in outcomes} == {sent.out.strip(): 7, told["id"]: 8}  # type: ignore[union-attr]  # they are
