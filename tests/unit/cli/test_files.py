"""Commands on a file: the topics that are in it, taking out what they keep, and putting it in."""

import asyncio
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
import typer

import telex as library
from tests.support.server import ENVIRONMENT
from tests.unit.cli.conftest import Telex

pytestmark = pytest.mark.slow


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A file with three topics."""
    url = f"sqlite:///{tmp_path}/shop.db"

    async def make() -> None:
        async with library.Hub(url) as hub:
            for number, name in enumerate(("orders:2", "orders:1", "refunds")):
                await hub.topic(name).publish({"number": number}, headers={"by": "test"}, key="k")

    asyncio.run(make())
    return url


def test_topics_of_a_file(telex: Telex, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # No server is asked, wherever it may be.
    monkeypatch.setenv("TELEX_SERVER", "ws://127.0.0.1:1/ws")
    ran = telex("topics", "--url", url)
    assert (ran.code, ran.err) == (0, "")
    heading, *lines = ran.out.splitlines()
    assert heading.split() == ["TOPIC", "MESSAGES", "BYTES", "LAST"]
    assert [line.split()[:2] for line in lines] == [["orders:1", "1"], ["orders:2", "1"], ["refunds", "1"]]
    found = json.loads(telex("topics", "orders:*", "--json", "--url", url).out)
    assert [topic["topic"] for topic in found] == ["orders:1", "orders:2"]
    assert all(topic["messages"] == 1 and topic["bytes"] >= len('{"number":0}') for topic in found)
    (message,) = [json.loads(line) for line in telex("history", "orders:1", "--json", "--url", url).out.splitlines()]
    assert datetime.fromisoformat(found[0]["last"]) == datetime.fromisoformat(message["timestamp"])
    assert telex("topics", "nothing:*", "--url", url).out == ""
    assert json.loads(telex("topics", "nothing:*", "--json", "--url", url).out) == []


def test_topics_asks_the_server_unless_it_is_given_a_file(
    telex: Telex, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEX_URL", url)
    assert telex("topics", "--server", "ws://127.0.0.1:1/ws").code == 3


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--url", "sqlite:///there/is/none.db"), 1, "there is no file"),
        (("--url", "nats://x"), 2, "--url sqlite:///file.db"),
        (("--url", "sqlite:///a.db", "--server", "ws://127.0.0.1:1/ws"), 2, "not both"),
        ((">:a", "--url", "sqlite:///a.db"), 2, "last token"),
    ],
)
def test_refusals_name_the_mend(telex: Telex, options: tuple[str, ...], code: int, said: str) -> None:
    ran = telex("topics", *options)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_what_a_topic_no_longer_keeps_does_not_count(telex: Telex, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/few.db"

    async def make() -> None:
        async with library.Hub(url) as hub:
            hub.retain("few", messages=2)
            for number in range(10):
                await hub.topic("few").publish(number)
            await hub.topic("gone").publish(1)
            hub.retain("gone", messages=0)

    asyncio.run(make())
    gone, few = sorted(json.loads(telex("topics", "--json", "--url", url).out), key=lambda topic: topic["messages"])
    assert (few["topic"], few["messages"], few["bytes"]) == ("few", 2, 2)
    assert gone == {"topic": "gone", "messages": 0, "bytes": 0, "last": None}


UNKNOWN = [
    ("topics", "nowhere"),
    ("history", "nowhere"),
    ("history", "nowhere", "--follow"),
    ("export", "nowhere"),
    ("dead", "list", "--group", "nobody"),
    ("dead", "retry", "--group", "nobody"),
    ("dead", "drop", "--group", "nobody"),
    ("groups", "pause", "nobody"),
    ("groups", "resume", "nobody"),
    ("groups", "forget", "nobody", "--yes"),
]


@pytest.mark.parametrize("command", UNKNOWN, ids=" ".join)
def test_what_is_unknown_is_an_error(telex: Telex, url: str, command: tuple[str, ...]) -> None:
    ran = telex(*command, "--url", url)
    kind, name = ("topic", "nowhere") if "nowhere" in command else ("group", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"telex: there is no {kind} {name}; `telex {kind}s` lists them\n"


# -- publish and follow


def test_a_file_is_published_to_and_followed(telex: Telex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_SERVER", "ws://127.0.0.1:1/ws")  # no server is asked
    url = f"sqlite:///{tmp_path}/new.db"
    done = telex("pub", "orders:1", '{"item": "tea"}', "--header", "by=test", "--id", "one", "--json", "--url", url)
    assert (done.code, json.loads(done.out)) == (0, {"topic": "orders:1", "id": "one", "seq": 1})
    assert telex("pub", "orders:1", "again", "--id", "one", "--url", url).out.startswith("orders:1 #1 ")
    monkeypatch.setattr(sys, "stdin", Lines(b"first\n2\n"))
    assert telex("pub", "orders:2", "-", "--url", url).code == 0
    read = telex("sub", "orders:*", "--since", "earliest", "--count", "3", "--json", "--url", url)
    messages = [json.loads(line) for line in read.out.splitlines()]
    assert [message["content"] for message in messages] == [{"item": "tea"}, "first", 2]
    assert messages[0]["headers"] == {"by": "test"}
    ran = telex("sub", "orders:1", "--count", "1", "--timeout", "0.01", "--url", url)
    assert (ran.code, ran.out) == (4, "")
    assert telex("sub", "orders:1", "--timeout", "0", "--url", url).code == 0
    lost = telex("sub", "orders:2", "--since", "0123456789abcdef:1", "--count", "2", "--json", "--url", url)
    assert json.loads(lost.out.splitlines()[0])["lost"]["reason"] == "epoch"


@pytest.mark.parametrize("command", [("pub", "a", "1"), ("sub", "a")], ids=" ".join)
def test_a_place_to_publish_is_named_once(telex: Telex, url: str, command: tuple[str, ...]) -> None:
    ran = telex(*command, "--url", url, "--server", "ws://127.0.0.1:1/ws")
    assert ran.code == 2
    assert "not both" in ran.err
    assert telex(*command, "--url", "nats://x").code == 2
    assert telex("sub", "a", "--url", "sqlite:///there/is/none.db").code == 1
    assert telex("pub", "a", "1", "--url", "sqlite:///there/is/none.db").code == 3


def test_history_goes_on(url: str) -> None:
    command = [sys.executable, "-m", "telex", "history", "orders:1", "--follow", "--json", "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["content"] == {"number": 1}
        with library.blocking.Hub(url) as hub:
            hub.topic("orders:1").publish("more")
        assert json.loads(follower.stdout.readline())["content"] == "more"
        follower.send_signal(signal.SIGINT)
        assert follower.wait(20) == 130


def test_history_and_what_comes_look_alike(telex: Telex, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = telex("history", "orders:1", "--url", url).out
    # It ends when the topic is removed, which the reader of the first line does.
    real = typer.echo

    def remove(line: str) -> None:
        real(line)
        with library.blocking.Hub(url) as hub:
            hub.remove("orders:1")

    monkeypatch.setattr("telex.cli.printing.typer.echo", remove)
    assert telex("history", "orders:1", "--last", "1", "--follow", "--url", url).out == kept


# -- check and compact


@pytest.mark.parametrize("command", ["check", "compact"])
def test_a_file_is_named_by_its_path_or_its_url(
    telex: Telex, url: str, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "shop.db")
    for given in ((path,), ("--url", url), (url,)):
        ran = telex(command, *given)
        assert (ran.code, ran.err) == (0, "")
        assert path in ran.out
    assert telex(command).code == 2
    assert telex(command, path, "--url", url).code == 2
    assert telex(command, "--url", "sqlite:///there/is/none.db").code == 1
    monkeypatch.setenv("TELEX_URL", url)
    assert telex(command).code == 0
    assert telex(command, path).code == 0


# -- export and import


class Lines(io.TextIOWrapper):
    """A standard input or output that is no file of the system."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data))

    def content(self) -> bytes:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


def exported(telex: Telex, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[dict[str, object]]:
    out = Lines()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        ran = telex("export", *arguments)
    assert (ran.code, ran.err) == (0, "")
    return [json.loads(line) for line in out.content().splitlines()]


def test_what_is_exported_is_imported(telex: Telex, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = exported(telex, monkeypatch, "--url", url)
    assert [line["topic"] for line in lines] == ["orders:1", "orders:2", "refunds"]
    assert len(exported(telex, monkeypatch, "orders:*", "--url", url)) == 2
    assert exported(telex, monkeypatch, "nothing:*", "--url", url) == []
    file, other = tmp_path / "all.jsonl", f"sqlite:///{tmp_path}/other.db"
    file.write_text("\n\n".join(map(json.dumps, lines)))
    ran = telex("import", str(file), "--url", other)
    assert (ran.code, ran.out, ran.err) == (0, "3 messages\n", "")
    assert exported(telex, monkeypatch, "--url", other) == lines


def test_what_is_imported_may_come_from_standard_input(
    telex: Telex, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = exported(telex, monkeypatch, "--url", url)
    monkeypatch.setattr(sys, "stdin", Lines("\n".join(map(json.dumps, lines)).encode()))
    ran = telex("import", "-", "--json", "--url", f"sqlite:///{tmp_path}/other.db")
    assert (ran.code, json.loads(ran.out)) == (0, {"messages": 3, "known": 0})


def test_a_line_that_is_no_message(telex: Telex, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = exported(telex, monkeypatch, "--url", url)
    file, other = tmp_path / "all.jsonl", f"sqlite:///{tmp_path}/other.db"
    file.write_text("\n".join([*map(json.dumps, lines), "hello", json.dumps(lines[0])]))
    ran = telex("import", str(file), "--url", other)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("telex: line 4 is no message: ")
    assert exported(telex, monkeypatch, "--url", other) == lines


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")
def test_a_terminal_shows_how_far_it_is(url: str, tmp_path: Path) -> None:
    async def publish() -> None:
        async with library.Hub(url) as hub:
            await asyncio.gather(*(hub.topic("many").publish(number) for number in range(900)))

    asyncio.run(publish())
    file = tmp_path / "all.jsonl"
    with file.open("wb") as out:
        assert "exporting  500 messages" in on_a_terminal(out.fileno(), "export", "--url", url)
    assert len(file.read_bytes().splitlines()) == 903
    with (tmp_path / "told").open("wb") as out:
        told = on_a_terminal(out.fileno(), "import", str(file), "--url", f"sqlite:///{tmp_path}/other.db")
    assert "importing  903 messages" in told
    assert "100%" in told
    assert (tmp_path / "told").read_text() == "903 messages\n"


def on_a_terminal(out: int, *arguments: str) -> str:
    """What a command says on a terminal that is its standard error."""
    terminal, side = os.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-m", "telex", *arguments], stdout=out, stderr=side, env=environment
    ) as command:
        os.close(side)
        told = b""
        try:
            while more := os.read(terminal, 65536):
                told += more
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(terminal)
        assert command.wait(30) == 0, told
    return told.decode()


def test_what_is_damaged_is_told_and_the_rest_is_printed(telex: Telex, url: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as connection:
        connection.execute("UPDATE telex_messages SET content = '{\"number' WHERE content LIKE '%1%'")
    ran = telex("history", "orders:1", "--url", url)
    assert (ran.code, ran.out) == (1, "")
    assert "message 1 of 'orders:1' failed: the content is damaged" in ran.err
    ran = telex("export", "--url", url)
    assert (ran.code, len(ran.out.splitlines())) == (1, 2)
    ran = telex("check", str(tmp_path / "shop.db"))
    assert ran.code == 1
    assert "message 1 of topic 'orders:1' cannot be read" in ran.out + ran.err


def test_an_empty_list_and_a_bare_path_say_what_is_meant(telex: Telex, url: str) -> None:
    for command, what in (
        (("groups",), "groups"),
        (("dead", "list"), "dead letters"),
        (("topics", "x:*"), "such topics"),
    ):
        assert telex(*command, "--url", url) == (0, "", f"telex: there are no {what}\n")
    assert "--url sqlite:///shop.db\n" in telex("history", "a", "--url", "shop.db").err
