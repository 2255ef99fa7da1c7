"""Commands on a file: the topics that are in it, taking out what they keep, and putting it in."""

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert (ran.code, ran.out, ran.err) == (0, "orders:1\norders:2\nrefunds\n", "")
    assert json.loads(telex("topics", "orders:*", "--json", "--url", url).out) == ["orders:1", "orders:2"]
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
    assert exported(telex, monkeypatch, "nothing", "--url", url) == []
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
    assert (ran.code, json.loads(ran.out)) == (0, {"messages": 3})


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
