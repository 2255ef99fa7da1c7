"""The rules that tests/conftest.py makes are kept by it: each is broken on purpose in a run of its own."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blockbuster import BlockingError
from hypothesis import given
from hypothesis import strategies as st

import telex
from tests.support.loops import idle

CONFTEST = Path(__file__).parent.parent / "conftest.py"
BROKEN = {
    "task": "async def test():\n    asyncio.create_task(asyncio.sleep(60), name='stray')",
    "hidden_exception": "async def test():\n    t = asyncio.create_task(fail())\n    await asyncio.sleep(0)\n    del t",
    "thread": "def test():\n    threading.Thread(target=threading.Event().wait, daemon=True, name='stray').start()",
    "socket": "def test():\n    KEPT.append(socket.socket())",
    "unclosed": "def test():\n    socket.socket()",
    "warning": "def test():\n    warnings.warn('w')",
    "property": "@given(st.booleans())\nasync def test(value): await asyncio.sleep(0); assert not value, 'found'",
    "skip": "def test():\n    pytest.skip('no reason')",
}
"""Tests that have to fail, by what is wrong with them."""
EXPECTED = {
    "task": "tasks left behind",
    "hidden_exception": "the event loop complained",
    "thread": "threads left behind",
    "socket": "sockets left behind",
    "unclosed": "ResourceWarning",
    "warning": "UserWarning",
    "property": "found",
    "skip": "nothing may",
}
INTERRUPT = "def test():\n    with pytest.raises(KeyboardInterrupt):\n        signal.raise_signal(signal.SIGINT)\n"
HEAD = """
import asyncio, signal, socket, threading, warnings
import pytest
from hypothesis import given, strategies as st
KEPT = []
async def fail(): raise ValueError("unheard")
"""


@pytest.mark.slow
def test_every_broken_rule_fails(tmp_path: Path) -> None:
    for name, body in BROKEN.items():
        (tmp_path / f"test_{name}.py").write_text(f"{HEAD}{body}\n")
    (tmp_path / "test_good.py").write_text(f"{HEAD}@pytest.mark.every_loop\nasync def test(): await asyncio.sleep(0)\n")
    (tmp_path / "test_interrupt.py").write_text(HEAD + INTERRUPT)
    root = CONFTEST.parent.parent
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a script that runs the tests in the background
    try:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", str(tmp_path), "--rootdir", str(tmp_path)),
                *("--confcutdir", str(tmp_path), "--config-file", str(root / "pyproject.toml")),
                *("-p", "tests.conftest", "-p", "no:cacheprovider"),
            ],
            capture_output=True,
            text=True,
            cwd=root,
            check=False,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    told = re.sub(r"\s+", " ", run.stdout)
    for name, text in EXPECTED.items():
        assert re.search(rf"(ERROR|FAILED) \S*test_{name}\.py", told), f"{name} passed\n{run.stdout}"
        assert text in told, f"nothing says {text!r}\n{run.stdout}"
    assert not re.search(r"(ERROR|FAILED) \S*test_(good|interrupt)\.py", told), run.stdout
    # The good one runs on both loops; what a test leaves is found after it, so those two pass and then fail.
    assert "5 passed" in told.rpartition("=====")[0], run.stdout


def code_of_telex(source: str) -> Callable[[], None]:
    """A function `call` that looks as if it came from a file of the package."""
    names: dict[str, Callable[[], None]] = {}
    exec(compile(source, f"{telex.__path__[0]}/example.py", "exec"), names)
    return names["call"]


async def test_blocking_the_loop_is_noticed() -> None:
    with pytest.raises(BlockingError):
        code_of_telex("import time\ndef call(): time.sleep(0.001)")()


@given(st.integers())
async def test_property_tests_may_be_async(number: int) -> None:
    await asyncio.sleep(0)
    assert isinstance(number, int)


@pytest.mark.every_loop
async def test_the_loop_is_the_one_asked_for(loop_name: str) -> None:
    assert type(asyncio.get_running_loop()).__bases__[0].__module__.startswith(loop_name)
    assert asyncio.get_running_loop().get_debug()


@pytest.mark.every_loop
async def test_idle_waits_for_everything_that_the_loop_can_run(loop_name: str) -> None:
    loop, ran = asyncio.get_running_loop(), list[int]()

    async def chain(length: int) -> None:
        for _ in range(length):
            await asyncio.sleep(0)
        ran.append(length)
        loop.call_later(0, ran.append, 0)

    tasks = [asyncio.create_task(chain(length)) for length in (1, 50, 200)]
    await idle()
    assert ran == [1, 0, 50, 0, 200, 0]
    assert all(task.done() for task in tasks)


async def test_idle_refuses_a_loop_that_does_not_come_to_rest() -> None:
    async def spins() -> None:
        for _ in range(100_000):
            await asyncio.sleep(0)

    task = asyncio.create_task(spins())
    with pytest.raises(AssertionError, match="still has callbacks"):
        await idle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
