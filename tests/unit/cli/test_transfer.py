"""`telex export` and `telex import`."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import telex
import telex as library
from telex.cli.app import program
from tests.support.server import ENVIRONMENT
from tests.unit.cli.conftest import Lines, Telex

pytestmark = pytest.mark.slow


def exported(telex: Telex, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[dict[str, object]]:
    out = Lines()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        ran = telex("export", *arguments)
    assert (ran.code, ran.err) == (0, "")
    return [json.loads(line) for line in out.content().splitlines()]


def test_an_export_is_imported_as_it_was(
    telex: Telex, shop_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = exported(telex, monkeypatch, "--url", shop_url)
    assert [line["topic"] for line in lines] == ["orders:1", "orders:2", "refunds"]
    assert len(exported(telex, monkeypatch, "orders:*", "--url", shop_url)) == 2
    assert exported(telex, monkeypatch, "nothing:*", "--url", shop_url) == []
    file, other = tmp_path / "all.jsonl", f"sqlite:///{tmp_path}/other.db"
    file.write_text("\n\n".join(map(json.dumps, lines)))
    ran = telex("import", str(file), "--url", other)
    assert (ran.code, ran.out, ran.err) == (0, "3 messages\n", "")
    assert exported(telex, monkeypatch, "--url", other) == lines


def test_an_import_may_come_from_standard_input(
    telex: Telex, shop_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = exported(telex, monkeypatch, "--url", shop_url)
    monkeypatch.setattr(sys, "stdin", Lines("\n".join(map(json.dumps, lines)).encode()))
    ran = telex("import", "-", "--json", "--url", f"sqlite:///{tmp_path}/other.db")
    assert (ran.code, json.loads(ran.out)) == (0, {"messages": 3, "known": 0})


def test_a_line_that_is_no_message(
    telex: Telex, shop_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = exported(telex, monkeypatch, "--url", shop_url)
    file, other = tmp_path / "all.jsonl", f"sqlite:///{tmp_path}/other.db"
    file.write_text("\n".join([*map(json.dumps, lines), "hello", json.dumps(lines[0])]))
    ran = telex("import", str(file), "--url", other)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("telex: line 4 is not a message: ")
    assert exported(telex, monkeypatch, "--url", other) == lines


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


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")
def test_a_terminal_shows_how_far_it_is(shop_url: str, tmp_path: Path) -> None:
    async def publish() -> None:
        async with library.Hub(shop_url) as hub:
            await asyncio.gather(*(hub.topic("many").publish(number) for number in range(900)))

    asyncio.run(publish())
    file = tmp_path / "all.jsonl"
    with file.open("wb") as out:
        assert "exporting  500 messages" in on_a_terminal(out.fileno(), "export", "--url", shop_url)
    assert len(file.read_bytes().splitlines()) == 903
    with (tmp_path / "told").open("wb") as out:
        told = on_a_terminal(out.fileno(), "import", str(file), "--url", f"sqlite:///{tmp_path}/other.db")
    assert "importing  903 messages" in told
    assert "100%" in told
    assert (tmp_path / "told").read_text() == "903 messages\n"


def test_import_tells_how_many_it_stored(tmp_path: Path) -> None:
    old = datetime.now(UTC) - timedelta(days=1)
    contents: list[Any] = [b"\x00\xff", "text", {"a": 1}]
    made = [telex.Message.new(content, topic="t", timestamp=old) for content in contents]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(message.to_json() for message in made))
    url = f"sqlite:///{tmp_path}/a.db"
    command = ["import", str(tmp_path / "x.jsonl"), "--url", url]
    # A terminal is not there, so nothing else is printed.
    told = [CliRunner().invoke(program(), [*command, *more]).stdout.strip() for more in ((), (), ("--json",))]
    assert told == ["3 messages", "0 messages, 3 were there already", '{"messages":0,"known":3}']


def test_encoded_content_is_exported_imported_and_copied_as_it_is_stored(
    telex: Telex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (f"sqlite:///{tmp_path}/{name}.db" for name in ("first", "second", "third"))

    async def publish() -> None:
        async with library.Hub(first, codecs=[Reversed()]) as hub:
            await hub.topic("packed", content_type="application/msgpack").publish({"inside": b"\xff"})
            await hub.topic("own", content_type="application/x-reversed").publish("abc")

    asyncio.run(publish())
    lines = exported(telex, monkeypatch, "--url", first)
    assert [line["encoding"] for line in lines] == ["base64", "base64"]
    (tmp_path / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert telex("import", str(tmp_path / "all.jsonl"), "--url", second).code == 0
    assert telex("copy", second, third, "--once", "--json").code == 0
    assert telex("history", "own", "--url", third).code == 0

    async def read() -> list[object]:
        async with library.Hub(third, codecs=[Reversed()]) as hub:
            return [message.content for name in ("packed", "own") async for message in hub.topic(name).history()]

    assert asyncio.run(read()) == [{"inside": b"\xff"}, "abc"]


class Reversed:
    content_type = "application/x-reversed"

    def encode(self, content: Any) -> bytes:
        data: bytes = content.encode()[::-1]
        return data

    def decode(self, data: bytes, type: object) -> object:
        return data[::-1].decode()
