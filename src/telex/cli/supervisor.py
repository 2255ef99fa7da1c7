"""The processes of ``telex run --workers`` and ``--reload``: started, watched, started again, and stopped together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from telex.cli.exits import Exit, tell

FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0
STEADY = 10.0
"""Seconds after which a worker counts as having started well."""
STOP_WITHIN = 15.0


def supervise(program: str, workers: int, *, reload: bool) -> int:
    """Run ``workers`` processes of a program until SIGINT or SIGTERM; the exit code.

    A worker that crashes is started again, after a wait that grows while it keeps crashing. With ``reload`` all are
    started again when a Python file below the current folder changes. A program that cannot be run at all ends this
    with its code.
    """
    with asyncio.Runner() as runner:
        return runner.run(_Supervisor(program, workers, reload).run())


def wait_before(crashes: int) -> float:
    """Seconds before a worker is started again that has crashed so many times in a row."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (crashes - 1))


class _Supervisor:
    def __init__(self, program: str, workers: int, reload: bool) -> None:
        self._program = program
        self._workers = workers
        self._reload = reload
        self._over = asyncio.Event()
        self._code = int(Exit.OK)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Where the loop knows no signals (Windows), the interpreter's own KeyboardInterrupt ends it.
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, self._over.set)
        while not self._over.is_set():
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep(number)) for number in range(1, self._workers + 1)]
                await self._until_change()
                for keeper in keepers:
                    keeper.cancel()
        return self._code

    async def _until_change(self) -> None:
        """Wait for a signal or, with reload, for a changed file."""
        if not self._reload:
            await self._over.wait()
            return
        from watchfiles import PythonFilter, awatch

        async for changes in awatch(
            Path.cwd(), watch_filter=PythonFilter(), stop_event=self._over, raise_interrupt=False
        ):
            names = sorted({Path(path).name for _, path in changes})
            tell(f"{', '.join(names[:3])} changed; starting again", bad=False)
            return

    async def _keep(self, number: int) -> None:
        crashes = 0
        while True:
            started = time.monotonic()
            code = await self._run_worker()
            if code in (Exit.USAGE, Exit.OK):
                # It ended on purpose, or cannot run as it is: the next one would do the same.
                if self._reload and code != Exit.OK:
                    tell("waiting for a change", bad=False)
                    await asyncio.Event().wait()
                self._code = code
                self._over.set()
                return
            crashes = 1 if time.monotonic() - started > STEADY else crashes + 1
            wait = wait_before(crashes)
            tell(f"worker {number} ended with {_described(code)}; starting it again in {wait:g} s")
            await asyncio.sleep(wait)

    async def _run_worker(self) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "telex", "run", self._program, env={**os.environ, "TELEX_WORKER": "1"}
        )
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await _stop(process)
            raise


async def _stop(process: asyncio.subprocess.Process) -> None:
    # Handlers finish within the hub's own close_timeout; what takes longer than that has hung.
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _described(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
