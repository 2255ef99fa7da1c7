"""Workers of `telex run`: started again, stopped and killed."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from telex.cli import supervisor
from telex.cli.exits import Exit
from telex.cli.supervisor import MAX_WAIT_SECONDS, STEADY_SECONDS, close_timeout_of, crashes_in_a_row, wait_before
from telex.testing.clock import VirtualClock
from tests.unit.cli.conftest import Telex


def test_a_crash_after_a_steady_run_counts_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, waits = VirtualClock(), []
    lasting = iter(
        [(0.5, 1), (0.5, 1), (supervisor.STEADY_SECONDS + 1, 1), (supervisor.STEADY_SECONDS - 1, 1), (0.0, Exit.USAGE)]
    )

    async def run(self: object, number: int) -> int:
        seconds, code = next(lasting)
        await asyncio.sleep(seconds)
        return int(code)

    def wait(crashes: int) -> float:
        waits.append(crashes)
        return 0.1

    monkeypatch.setattr(supervisor.Supervisor, "run_worker", run)
    monkeypatch.setattr(supervisor, "wait_before", wait)
    monkeypatch.setattr(time, "monotonic", clock)

    async def main() -> None:
        await supervisor.Supervisor("shop:hub", 1, reload=False, options=()).keep(1)

    clock.run(main())
    assert waits == [1, 2, 1, 2]


def test_a_worker_that_hangs_is_killed_15_seconds_later() -> None:
    clock, signals = VirtualClock(), list[tuple[str, float]]()

    class Process:
        def __init__(self) -> None:
            self._ended = asyncio.Event()
            self.returncode: int | None = None

        def terminate(self) -> None:
            signals.append(("terminate", clock()))

        def kill(self) -> None:
            signals.append(("kill", clock()))
            self._ended.set()

        async def wait(self) -> int:
            await self._ended.wait()
            return -9

    async def main() -> None:
        process: Any = Process()
        async with asyncio.timeout(60):
            await supervisor.stop(process, supervisor.MARGIN_SECONDS, asyncio.Event())

    begun = clock()
    clock.run(main())
    assert signals == [("terminate", begun), ("kill", begun + 15.0)], "docs/command-line.md says so"


def test_the_wait_grows_and_is_bounded() -> None:
    waits = [wait_before(crashes) for crashes in range(1, 20)]
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == MAX_WAIT_SECONDS


def test_crashes_are_counted_anew_after_a_good_while() -> None:
    assert crashes_in_a_row(5, STEADY_SECONDS - 0.1) == 6
    assert crashes_in_a_row(5, STEADY_SECONDS + 0.1) == 1


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
