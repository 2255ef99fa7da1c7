"""`telex run`: programs found or not, run, stopped, restarted."""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import telex as library
from telex.cli.program import configure_logging, list_declared
from telex.cli.supervisor import LONGEST_WAIT, STEADY, close_timeout_of, crashes_in_a_row, stop, wait_before
from tests.support.server import ENVIRONMENT, WITHIN
from tests.unit.cli.conftest import Telex

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


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A run of its own, with its output; ended with this."""
    command = [sys.executable, "-m", "telex", "run", *arguments]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            if process.poll() is None:
                process.terminate()


def line_with(output: IO[str], *words: str) -> str:
    """The next line that has all the words."""
    for line in output:
        if all(word in line for word in words):
            return line
    raise AssertionError(f"the program ended without saying {words}")


UNUSABLE = {
    "no colon": ("shop", "write module:hub"),
    "a file": ("shop.py:hub", "shop:hub"),
    "a path": ("./shop.py:hub", "shop:hub"),
    "no module": ("stall:hub", "no module 'stall'"),
    "no such name": ("shop:app", "it has hub"),
    "no hub at all": ("empty:hub", "telex.Hub()"),
    "fails": ("broken:hub", "ZeroDivisionError"),
    "needs what is not there": ("needy:hub", "no module 'surely_not_installed'"),
}


@pytest.mark.parametrize(("program", "said"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_programs_that_are_none(telex: Telex, folder: Path, program: str, said: str) -> None:
    (folder / "empty.py").write_text("")
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "needy.py").write_text("import surely_not_installed\n")
    ran = telex("run", program)
    for name in ("shop", "empty", "broken", "needy"):
        sys.modules.pop(name, None)
    assert ran.code == 2
    assert said in ran.err
    assert "importlib" not in ran.err


def test_memory_is_not_shared_by_workers(telex: Telex, folder: Path) -> None:
    ran = telex("run", "shop:hub", "--workers", "2")
    sys.modules.pop("shop", None)
    assert ran.code == 2
    assert "memory://" in ran.err
    assert "without --workers" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_until_a_signal(folder: Path, number: signal.Signals) -> None:
    with running(folder, "shop:hub") as (process, output):
        line_with(output, "up")
        line_with(output, "running shop:hub on memory:// with 1 handler")
        process.send_signal(number)
        line_with(output, "down")
        assert process.wait(WITHIN) == 0


@pytest.mark.slow
def test_a_program_that_cannot_start_says_why(folder: Path) -> None:
    (folder / "shop.py").write_text("import telex\nhub = telex.Hub(lifespan=lambda hub: 1)\n")
    with running(folder, "shop:hub") as (process, output):
        assert output.read()
        assert process.wait(WITHIN) != 0


@pytest.mark.slow
def test_a_changed_file_starts_it_again(folder: Path) -> None:
    with running(folder, "shop:hub", "--reload") as (process, output):
        line_with(output, "up", "VERSION 1")
        # The watch begins beside the worker; a change is made until it is seen.
        changed = PROGRAM.replace("VERSION 1", "VERSION 2")
        (folder / "shop.py").write_text(changed)
        line_with(output, "up", "VERSION 2")
        # A program that cannot be imported waits to be mended.
        (folder / "shop.py").write_text("1 / 0\n")
        line_with(output, "waiting for a change")
        (folder / "shop.py").write_text(PROGRAM.replace("VERSION 1", "VERSION 3"))
        line_with(output, "up", "VERSION 3")
        process.send_signal(signal.SIGTERM)
        line_with(output, "down")
        assert process.wait(WITHIN) == 0


@pytest.mark.slow
def test_a_crashed_worker_is_started_again(folder: Path) -> None:
    with running(folder, "shop:hub", "--reload") as (process, output):
        found = re.search(r"up (\d+)", line_with(output, "up"))
        assert found
        os.kill(int(found[1]), signal.SIGKILL)
        line_with(output, "worker 1", "SIGKILL", "restarting it")
        again = re.search(r"up (\d+)", line_with(output, "up"))
        assert again
        assert again[1] != found[1]
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN) == 0


def test_the_wait_grows_and_is_bounded() -> None:
    waits = [wait_before(crashes) for crashes in range(1, 20)]
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == LONGEST_WAIT


def test_crashes_are_counted_anew_after_a_good_while() -> None:
    assert crashes_in_a_row(5, STEADY - 0.1) == 6
    assert crashes_in_a_row(5, STEADY + 0.1) == 1


# -- stopping

STUBBORN = """
import asyncio, contextlib, time
import telex
hub = telex.Hub("sqlite:///stubborn.db", close_timeout=600)

@hub.on("sleeps", group="g")
async def sleeps(content):
    print("begins", flush=True)
    await asyncio.sleep(600)

@hub.on("swallows", group="g")
async def swallows(content):
    print("begins", flush=True)
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)

@hub.on("blocks", group="g")
def blocks(content):
    print("begins", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("handler", "options"), [("sleeps", ()), ("swallows", ()), ("blocks", ()), ("swallows", ("--workers", "2"))]
)
def test_a_second_signal_stops_at_once(telex: Telex, folder: Path, handler: str, options: tuple[str, ...]) -> None:
    (folder / "shop.py").write_text(STUBBORN)
    assert telex("pub", handler, "1", "--url", "sqlite:///stubborn.db").code == 0
    with running(folder, "shop:hub", *options) as (process, output):
        line_with(output, "begins")
        process.send_signal(signal.SIGINT)
        line_with(output, "Ctrl-C again stops at once")
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN) == 130


@pytest.mark.slow
async def test_a_worker_that_hangs_is_killed() -> None:
    ignoring = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    )
    for within, hurried in ((0.1, False), (600.0, True)):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", ignoring, stdout=subprocess.PIPE)
        assert process.stdout is not None
        await process.stdout.readline()
        hurry = asyncio.Event()
        if hurried:
            hurry.set()
        await stop(process, within, hurry)
        assert process.returncode == -signal.SIGKILL


def test_a_worker_says_how_long_it_may_take(folder: Path, telex: Telex, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "slow.py").write_text("import telex\nhub = telex.Hub(close_timeout='40s', lifespan=1)\n")
    read, write = os.pipe()
    os.set_blocking(read, False)
    try:
        assert close_timeout_of(read) == 0.0  # it has not got as far
        monkeypatch.setenv("TELEX_WORKER", f"2 {write}")
        (folder / "slow.py").write_text(
            "import telex\nhub = telex.Hub('sqlite:///no/such/folder.db', close_timeout='40s')\n"
        )
        assert telex("run", "slow:hub").code == 3
        assert close_timeout_of(read) == 40.0
    finally:
        sys.modules.pop("slow", None)
        os.close(read)


# -- what it says


def declared() -> library.Hub:
    hub = library.Hub()

    @hub.on("orders:*")
    def show(content: object) -> None: ...

    @hub.command("charge", once=True)
    def charge(content: object) -> None: ...

    @hub.every("10s")
    def look() -> None: ...

    return hub


async def test_what_is_run_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    async with declared() as hub:
        list_declared("shop:hub", hub)
    out = capsys.readouterr().out
    assert out.startswith("running shop:hub on memory:// with 1 handler, 1 command, 1 trigger  (Ctrl-C")
    for part in ("orders:*", "command charge, once per key", "trigger look: every 10 s"):
        assert part in out
    async with library.Hub() as hub:
        list_declared("shop:hub", hub)
    assert "import the modules" in capsys.readouterr().err


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], logging.Logger]]:
    """Called in a test, the root logger without the handlers of the test run; as it was after the test."""
    root = logging.getLogger()
    level = root.level

    def without() -> logging.Logger:
        monkeypatch.setattr(root, "handlers", [])
        return root

    yield without
    root.setLevel(level)  # which other loggers have to hear of


def test_logging_is_configured_unless_the_program_has(unconfigured: Callable[[], logging.Logger]) -> None:
    root, telex = unconfigured(), logging.getLogger("telex")
    configure_logging("WARNING")
    assert len(root.handlers) == 1
    assert not telex.isEnabledFor(logging.INFO)
    configure_logging(None)
    assert not telex.isEnabledFor(logging.INFO)
    configure_logging("DEBUG")
    assert len(root.handlers) == 1
    assert telex.isEnabledFor(logging.DEBUG)


def test_an_unknown_level_is_refused(telex: Telex, folder: Path) -> None:
    ran = telex("run", "shop:hub", "--log-level", "loud")
    assert ran.code == 2
    assert "warning" in ran.err
