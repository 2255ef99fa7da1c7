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
from telex.cli.stopping import AT_ONCE, HINT, HINT_AFTER

FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0
STEADY = 10.0
"""Seconds after which a worker counts as having started well."""
MARGIN = 15.0
"""Seconds that a worker may take to stop beyond the ``close_timeout`` of its hub."""
WORKER = "TELEX_WORKER"
"""The variable that makes a process a worker: its number, and the descriptor to report ``close_timeout`` on."""


def supervise(program: str, workers: int, *, reload: bool, options: tuple[str, ...] = ()) -> int:
    """Run ``workers`` processes of a program until SIGINT or SIGTERM; the exit code.

    A worker that crashes is started again, after a wait that grows while it keeps crashing. With ``reload`` all are
    started again when a Python file below the current folder changes. A program that cannot be run at all ends this
    with its code. At the first signal the workers finish what they have, within the ``close_timeout`` of their hub; at
    the second one they stop at once. ``options`` are further arguments of ``telex run``.
    """
    with asyncio.Runner() as runner:
        return runner.run(_Supervisor(program, workers, reload, options).run())


def wait_before(crashes: int) -> float:
    """Seconds before a worker is started again that has crashed so many times in a row."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (crashes - 1))


def crashes_in_a_row(before: int, ran: float) -> int:
    """The number of crashes after one more, of a worker that had run for ``ran`` seconds."""
    return 1 if ran > STEADY else before + 1


class _Supervisor:
    def __init__(self, program: str, workers: int, reload: bool, options: tuple[str, ...]) -> None:
        self._command = (sys.executable, "-m", "telex", "run", program, *options)
        self._workers = workers
        self._reload = reload
        self._over = asyncio.Event()
        self._hurry = asyncio.Event()
        self._code = int(Exit.OK)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Where the loop knows no signals (Windows), the interpreter's own KeyboardInterrupt ends it.
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, self._signalled)
        while not self._over.is_set():
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep(number)) for number in range(1, self._workers + 1)]
                await self._until_change()
                for keeper in keepers:
                    keeper.cancel()
        return self._code

    def _signalled(self) -> None:
        if self._over.is_set():
            self._code = Exit.INTERRUPTED
            self._hurry.set()
        self._over.set()

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
            code = await self._run_worker(number)
            if code in (Exit.USAGE, Exit.OK):
                # It ended on purpose, or cannot run as it is: the next one would do the same.
                if self._reload and code != Exit.OK:
                    tell("waiting for a change", bad=False)
                    await asyncio.Event().wait()
                self._code = code
                self._over.set()
                return
            crashes = crashes_in_a_row(crashes, time.monotonic() - started)
            wait = wait_before(crashes)
            tell(f"worker {number} ended with {_described(code)}; starting it again in {wait:g} s")
            await asyncio.sleep(wait)

    async def _run_worker(self, number: int) -> int:
        read, write = os.pipe()
        os.set_blocking(read, False)
        try:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command, env={**os.environ, WORKER: f"{number} {write}"}, pass_fds=[write]
                )
            finally:
                os.close(write)
            try:
                return await process.wait()
            except asyncio.CancelledError:
                await stop(process, close_timeout_of(read) + MARGIN, self._hurry)
                raise
        finally:
            os.close(read)


def close_timeout_of(read: int) -> float:
    """The ``close_timeout`` that a worker has reported; 0 of one that has not got as far."""
    try:
        told = os.read(read, 64)
    except BlockingIOError:
        return 0.0
    return float(told) if told else 0.0


async def stop(process: asyncio.subprocess.Process, within: float, hurry: asyncio.Event) -> None:
    """Have a worker finish what it has, and kill it after ``within`` seconds, or soon after ``hurry`` is set."""
    with suppress(ProcessLookupError):
        process.terminate()
    hint = asyncio.get_running_loop().call_later(HINT_AFTER, tell, HINT)
    ended, hurried = asyncio.ensure_future(process.wait()), asyncio.ensure_future(hurry.wait())
    try:
        await asyncio.wait([ended, hurried], timeout=within, return_when=asyncio.FIRST_COMPLETED)
        hint.cancel()
        if not ended.done() and hurried.done():
            process.terminate()
            await asyncio.wait([ended], timeout=AT_ONCE)
        if not ended.done():
            process.kill()
        await ended
    finally:
        hint.cancel()
        hurried.cancel()
        ended.cancel()


def _described(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
