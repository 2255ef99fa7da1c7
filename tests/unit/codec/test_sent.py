"""Fingerprints are of what was sent; what is imported is stored once; what is damaged is a ContentError."""

import json
import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import telex
from telex.cli.app import app
from telex.codec.content import Content, from_stored
from telex.once.machine import fingerprint
from tests.support.contents import CARRIED


class Payment(msgspec.Struct):
    cents: int
    tags: set[str] = msgspec.field(default_factory=set)
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


PRINTED = """
from telex.once.machine import fingerprint
from tests.support.contents import CARRIED
print([fingerprint("pay", 1, value) for _, _, value in CARRIED])
mixed = {"b": {1, "one", (1, 2), None, b"x"}, "a": {"x", "y", "z"}, 3: frozenset({"q", "r", "s"})}
print(fingerprint("pay", 1, mixed))
"""


@pytest.mark.slow
def test_fingerprints_are_the_same_in_every_process() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", PRINTED]
    found = [
        subprocess.run(
            command,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "7")
    ]
    assert len(set(found)) == 1
    own = [fingerprint("pay", 1, value) for _, _, value in CARRIED]
    assert found[0].startswith(str(own))
    assert len(set(own)) == len({json.dumps(mark) for mark in own}) >= len(CARRIED) - 8


@pytest.mark.parametrize("where", ["memory", "sqlite"])
async def test_a_default_that_is_filled_in_is_no_other_content(where: str, tmp_path: Path) -> None:
    url = "memory://" if where == "memory" else f"sqlite:///{tmp_path}/a.db"

    def opened() -> telex.Hub:
        hub = telex.Hub(url, close_timeout=5)

        @hub.command("pay", once=True)
        async def pay(payment: Payment) -> str:
            return payment.id

        @hub.on("never", Payment)  # so that what comes from the file under this name is made one
        def look(payment: Payment) -> None: ...

        return hub

    async with opened() as hub:
        first = await hub.call("pay", {"cents": 5, "tags": ["a"]}, key="k", timeout=20)
        assert await hub.call("pay", {"tags": ["a"], "cents": 5}, key="k", timeout=20) == first
        with pytest.raises(telex.KeyConflict):
            await hub.call("pay", {"cents": 6, "tags": ["a"]}, key="k", timeout=20)
        whole = Payment(7, {"x", "y", "z"})
        assert await hub.call("pay", whole, key="whole", timeout=20) == whole.id
        if where == "sqlite":
            async with telex.Hub(url) as other:
                assert await other.call("pay", {"cents": 5, "tags": ["a"]}, key="k", timeout=20) == first
                assert await other.call("pay", whole, key="whole", timeout=20) == whole.id
    if where == "sqlite":
        async with opened() as again:
            assert await again.call("pay", {"cents": 5, "tags": ["a"]}, key="k", timeout=20) == first


async def history(url: str, topic: str) -> list[object]:
    async with telex.Hub(url) as hub:
        return [message.content async for message in hub.topic(topic).history()]


def forget_recent_ids(file: Path) -> None:
    """As two minutes do."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM telex_ids")


async def test_a_message_imported_twice_is_stored_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    old = datetime.now(UTC) - timedelta(days=400)
    made = [telex.Message.new({"n": n}, topic="t", id=f"order-{n}", timestamp=old) for n in range(5)]
    async with telex.Hub(url) as hub:
        hub.retain("t", messages=4)
        mine = await hub.topic("t").publish("mine", id="given")
        other = await hub.topic("t").publish("other")
    async with telex.Hub(url) as hub:
        assert [message.id for message in await hub.adopt(made[:2])] == ["order-0", "order-1"]
    forget_recent_ids(tmp_path / "a.db")
    async with telex.Hub(url) as hub:
        assert len(await hub.adopt([*made, mine, other, made[3]])) == 3
    forget_recent_ids(tmp_path / "a.db")
    async with telex.Hub(url) as hub:
        assert await hub.adopt(made) == []  # two of them are not kept any more
        assert await hub.topic("t").publish("new", id="order-0") is not None
        await hub.topic("t").publish("again", id="order-4")  # whoever publishes is not held to what was imported
    assert await history(url, "t") == [{"n": 3}, {"n": 4}, "new", "again"]
    async with telex.Hub(url) as hub:
        await hub.remove("t")
        assert len(await hub.adopt(made[:1])) == 1, "a topic that was removed remembers nothing"


def test_import_tells_how_many_it_stored(tmp_path: Path) -> None:
    old = datetime.now(UTC) - timedelta(days=1)
    contents: list[Any] = [b"\x00\xff", "text", {"a": 1}]
    made = [telex.Message.new(content, topic="t", timestamp=old) for content in contents]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(message.to_json() for message in made))
    url = f"sqlite:///{tmp_path}/a.db"
    command = ["import", str(tmp_path / "x.jsonl"), "--url", url]
    # A terminal is not there, so nothing else is printed.
    told = [CliRunner().invoke(app, [*command, *more]).stdout.strip() for more in ((), (), ("--json",))]
    assert told == ["3 messages", "0 messages, 3 were there already", '{"messages":0,"known":3}']


class Interrupts(ValueError):
    def __str__(self) -> str:
        raise KeyError("no text")


@dataclass
class Picky:
    kind: str

    def __post_init__(self) -> None:
        errors: dict[str, Callable[[], BaseException]] = {
            "key": lambda: KeyError("k"),
            "recursion": lambda: RecursionError("deep"),
            "os": lambda: OSError(24, "too many"),
            "assertion": AssertionError,
            "value": lambda: ValueError("caf\udce9"),
            "mute": Interrupts,
            "memory": MemoryError,
        }
        if self.kind in errors:
            make = errors[self.kind]
            raise make()


async def test_whatever_a_type_raises_while_it_decodes_is_one_error(tmp_path: Path) -> None:
    picky = Content(Picky)
    for kind in ("key", "recursion", "os", "assertion", "value", "mute"):
        with pytest.raises(telex.ContentError) as caught:
            picky.decode({"kind": kind}, "t")
        str(caught.value).encode()
    with pytest.raises(MemoryError):  # a shortage says nothing about the content
        picky.decode({"kind": "memory"}, "t")
    for damaged in (b"\xff", b"{", "[" * 100_000, b'"\\ud800"', "NaN", ""):
        with pytest.raises(telex.ContentError):
            from_stored(damaged, "t")
    url = f"sqlite:///{tmp_path}/a.db"
    async with telex.Hub(url) as one, telex.Hub(url) as other:
        async with other.topic("t", Picky).subscribe() as inbox:
            for kind in ("key", "recursion", "os", "fine"):
                await one.topic("t").publish({"kind": kind})
            received = [(await inbox.receive(timeout=20)).content for _ in range(4)]
        assert received[-1] == Picky("fine")
