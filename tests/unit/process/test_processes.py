"""`ProcessPool`: warm processes, their death, and the end of those that are cancelled. Each test starts processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import telex
from telex.process.processes import ProcessPool, Worker, default_processes
from telex.process.worker import Task
from tests.support.loops import until
from tests.unit.process import functions

pytestmark = pytest.mark.slow


@asynccontextmanager
async def opened(size: int = 1) -> AsyncIterator[ProcessPool]:
    pool = ProcessPool(size, lambda: None)
    pool.open()
    pool.expect(1)
    try:
        yield pool
    finally:
        pool.abandon()
        await pool.close()


def task(function: Callable[..., object], content: Any = None) -> Task:
    name = f"{function.__module__}:{function.__qualname__}"
    return Task(name, ("content",), msgspec.Raw(telex.Message.new(content).to_json()), None, True)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_one_warm_process_answers_and_survives_exceptions() -> None:
    async with opened() as pool:
        first = await pool.submit(task(functions.pid), "pid")
        assert first != os.getpid()
        with pytest.raises(telex.ProcessFailed) as failed:
            await pool.submit(task(functions.fail, "error"), "fail")
        assert (str(failed.value), failed.value.function) == ("ValueError: mine", "fail")
        assert 'raise ValueError("mine")' in failed.value.__notes__[0]
        with pytest.raises(telex.Nack) as nack:
            await pool.submit(task(functions.fail, "nack"), "fail")
        assert nack.value.delay == "5s"
        with pytest.raises(telex.Reject, match="not ours"):
            await pool.submit(task(functions.fail, "reject"), "fail")
        with pytest.raises(telex.CommandError) as refused:
            await pool.submit(task(functions.fail, "command"), "fail")
        assert (refused.value.code, refused.value.data, type(refused.value).__name__) == (
            *("out_of_stock", {"left": 0}),
            "OutOfStock",
        )
        assert await pool.submit(task(functions.be_stopped), "stop") == "works on"  # the hub decides when it ends
        ended = await pool.submit(task(functions.end_a_program), "a program that it starts is ended by signals")
        assert ended == [-signal.SIGTERM, -signal.SIGINT]
        assert await pool.submit(task(functions.pid), "pid") == first
    assert not is_alive(first)


def test_a_process_that_gets_ctrl_c_while_it_starts_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    worker = Worker()
    assert worker.process.pid is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker.process.pid, number)
    assert worker.receive() == b"ready"
    assert worker.end() == 0
    assert capfd.readouterr().err == ""


async def test_a_process_that_dies_is_reported_and_replaced() -> None:
    async with opened() as pool:
        with pytest.raises(telex.ProcessFailed, match=r"ProcessDied: .*signal SIGKILL; .* too much memory"):
            await pool.submit(task(functions.die), "die")
        with pytest.raises(telex.ProcessFailed, match="exit code 3"):
            await pool.submit(task(functions.leave), "leave")
        assert await pool.submit(task(functions.double, 21), "double") == 42


async def test_a_timeout_kills_the_process_and_no_other(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    async with opened(2) as pool:
        waiting = pool.submit(task(functions.note_and_wait, str(noted)), "wait")
        await until(noted.exists)
        await until(noted.read_text)
        other = await pool.submit(task(functions.pid), "pid")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not is_alive(int(noted.read_text()))
        assert await pool.submit(task(functions.pid), "pid") == other


async def test_a_pool_that_closes_kills_the_processes_that_work(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    pool = ProcessPool(1, lambda: None)
    call = pool.submit(task(functions.note_and_wait, str(noted)), "wait")
    await until(noted.exists)
    await until(noted.read_text)
    pool.abandon()
    await asyncio.wait_for(pool.close(), 10)
    assert call.cancelled()
    assert not is_alive(int(noted.read_text()))


PROGRAM = """
import sys, threading
from pathlib import Path
from telex.process.processes import Worker
from tests.unit.process import functions, test_processes
import msgspec
worker = Worker()
worker.receive()
data = msgspec.json.encode(test_processes.task(functions.note_and_wait, sys.argv[1]))
threading.Thread(target=worker.ask, args=(data,), daemon=True).start()
while not Path(sys.argv[1]).exists():
    threading.Event().wait(0.01)
print("works", flush=True)
"""


@pytest.mark.parametrize("end", ["killed", "left"])
def test_a_program_that_ends_without_closing_its_hub_leaves_no_process(end: str, tmp_path: Path) -> None:
    wait = "sys.stdin.read()" if end == "killed" else ""
    command = [sys.executable, "-c", PROGRAM + wait, str(tmp_path / "pid")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "works\n"
        if end == "killed":
            program.kill()
        # All processes of the program have this output, so it ends with the last of them.
        assert program.communicate(timeout=20)[0] == ""


async def test_the_processes_survive_the_end_of_a_fork_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr("telex.process.processes.atexit.register", at_exit.append)
    async with opened() as pool:
        before = await pool.submit(task(functions.pid), "pid")
        with monkeypatch.context() as fork:
            fork.setattr(os, "getpid", lambda: 0)
            at_exit[-1]()  # that of the process is the last: importing multiprocessing registers others
        assert await pool.submit(task(functions.pid), "pid") == before


def test_there_is_one_process_for_each_core_by_default() -> None:
    assert default_processes() == os.cpu_count()
