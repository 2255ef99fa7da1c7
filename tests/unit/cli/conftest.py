"""Fixtures of the program: a chat room, files with topics and commands, and `telex`, which runs a command here."""

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

import telex as package
from telex.cli.app import run
from tests.support.loops import until
from tests.support.server import ChatServer


class Ran(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str


Telex = Callable[..., Ran]


@pytest.fixture(scope="package")
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


@pytest.fixture
def telex(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Telex:
    for name in ("TELEX_SERVER", "TELEX_URL"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str) -> Ran:
        code = run(arguments)
        out, err = capsys.readouterr()
        return Ran(int(code), out, err)

    return command


@pytest.fixture
def shop_url(tmp_path: Path) -> str:
    """A file with three topics."""
    url = f"sqlite:///{tmp_path}/shop.db"

    async def make() -> None:
        async with package.Hub(url) as hub:
            for number, name in enumerate(("orders:2", "orders:1", "refunds")):
                await hub.topic(name).publish({"number": number}, headers={"by": "test"}, key="k")

    asyncio.run(make())
    return url


class OutOfPaper(package.CommandError):
    code = "out_of_paper"


def declare(
    hub: package.Hub | package.blocking.Hub, gate: threading.Event | None = None, begun: threading.Event | None = None
) -> None:
    """``begun`` is set when `wait` runs, which goes on until ``gate`` is."""
    opened, runs = gate or threading.Event(), begun or threading.Event()

    @hub.command("report:build", once=True, run_in="loop")
    def build(year: int, context: package.CommandContext[int]) -> dict[str, int]:
        context.progress(0.5, "half")
        return {"pages": year, "attempt": context.attempt}

    @hub.command("report:print", once=True, run_in="loop")
    def print_(year: int) -> None:
        raise OutOfPaper("no paper", data={"tray": 2})

    @hub.command("echo", run_in="loop")
    def echo(content: object) -> object:
        return content

    @hub.command("badly", run_in="loop")
    def badly() -> int:
        return "x"  # type: ignore[return-value]  # on purpose

    @hub.command("wait", once=True)
    async def wait(content: object, context: package.CommandContext[object]) -> str:
        context.progress(0.25, "a quarter")
        runs.set()
        await until(lambda: opened.is_set())  # it is set in another thread
        return "done"


@pytest.fixture
def works_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
def begun() -> threading.Event:
    return threading.Event()


@pytest.fixture
def serving(works_url: str, gate: threading.Event, begun: threading.Event) -> Iterator[str]:
    """A file that a hub of another thread serves."""
    hub = package.blocking.Hub(works_url)
    declare(hub, gate, begun)
    with hub:
        yield works_url
        gate.set()


@pytest.fixture
def server_of_this_run(server: ChatServer, telex: Telex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEX_SERVER", server.gateway)


@pytest.fixture
def topic() -> str:
    return f"test:{uuid4().hex}"


PROGRAM = """
import asyncio, os, sys
from contextlib import asynccontextmanager
import telex

@asynccontextmanager
async def life(hub):
    print("up", os.getpid(), "VERSION 1", flush=True)
    yield
    print("down", os.getpid(), flush=True)

hub = telex.Hub("memory://", lifespan=life)

@hub.on("a")
async def handle(message: telex.Message) -> None: ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


class Lines(io.TextIOWrapper):
    """A standard input or output that is no file of the system."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data))

    def content(self) -> bytes:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()
