"""`telex run`: programs found or not, run, stopped, restarted."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.request import urlopen

import pytest

from telex.cli.supervisor import stop
from tests.support.server import ENVIRONMENT, WITHIN
from tests.unit.cli.conftest import PROGRAM, Telex


def test_memory_is_not_shared_by_workers(telex: Telex, folder: Path) -> None:
    ran = telex("run", "shop:hub", "--workers", "2")
    sys.modules.pop("shop", None)
    assert ran.code == 2
    assert "memory://" in ran.err
    assert "without --workers" in ran.err


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


@contextmanager
def written_again_and_again(path: Path, text: str) -> Iterator[None]:
    """Write a file now, and every second while the block runs."""
    enough = threading.Event()

    def write() -> None:
        path.write_text(text)
        while not enough.wait(1.0):
            path.write_text(text)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        yield
    finally:
        enough.set()
        writing.join()


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
        # The watch begins beside the worker, so a change is made until it is seen.
        with written_again_and_again(folder / "shop.py", PROGRAM.replace("VERSION 1", "VERSION 2")):
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


@pytest.mark.slow
def test_run_serves_metrics_and_writes_records_as_json(folder: Path) -> None:
    with running(folder, "shop:hub", "--metrics", ":0", "--log-json") as (process, output):
        url = line_with(output, "metrics:").split()[-1]
        with urlopen(url) as answer:  # of this machine
            assert "telex_connected 1.0" in answer.read().decode()
        with urlopen(url.replace("/metrics", "/readyz")) as answer:
            assert json.load(answer) == {"ready": True, "problems": []}
        process.send_signal(signal.SIGTERM)
        assert process.wait(WITHIN) == 0


@pytest.mark.parametrize("address", ["9100x", "127.0.0.1"])
def test_metrics_without_a_port_are_refused(telex: Telex, folder: Path, address: str) -> None:
    ran = telex("run", "shop:hub", "--metrics", address)
    sys.modules.pop("shop", None)
    assert ran.code == 2
    assert "such as :9100" in ran.err
