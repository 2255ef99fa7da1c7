"""The processes of ``telex run --workers`` and ``--reload``: started, restarted and stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from telex.cli.exits import Exit
from telex.cli.output import report
from telex.cli.stopping import END_SECONDS, HINT, HINT_SECONDS

FIRST_WAIT_SECONDS = 0.2
MAX_WAIT_SECONDS = 10.0
STEADY_SECONDS = 10.0
"""The seconds of running after which the next crash counts as the first."""
MARGIN_SECONDS = 15.0
"""The seconds beyond the ``close_timeout`` of its hub after which a worker is killed."""
WORKER = "TELEX_WORKER"
"""The environment variable of a worker: its number, and the descriptor on which to report its ``close_timeout``."""


def supervise(program: str, workers: int, *, reload: bool, options: tuple[str, ...] = ()) -> int:
    """Run ``workers`` processes of a program until SIGINT or SIGTERM, and return the exit code.

    A worker that crashes is restarted, after a wait that grows with the number of crashes. With ``reload`` all workers
    are restarted when a Python file below the current folder changes. When the program cannot be loaded, this ends with
    its exit code. At the first signal handlers finish, within the ``close_timeout`` of their hub; at the second signal
    they are cancelled. ``options`` are further arguments of ``telex run``.
    """
    with asyncio.Runner() as runner:
        return runner.run(Supervisor(program, workers, reload, options).run())


def wait_before(crashes: int) -> float:
    """Return the seconds to wait before a worker is restarted after ``crashes`` crashes in a row."""
    return min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** (crashes - 1))


def crashes_in_a_row(before: int, ran: float) -> int:
    """Return the new number of crashes in a row, after a worker that ran for ``ran`` seconds has crashed."""
    return 1 if ran > STEADY_SECONDS else before + 1


class Supervisor:
    """The workers of a program, restarted when they crash or a file changes."""

    def __init__(self, program: str, workers: int, reload: bool, options: tuple[str, ...]) -> None:
        self._command = (sys.executable, "-m", "telex", "run", program, *options)
        self._workers = workers
        self._reload = reload
        self._over = asyncio.Event()
        self._hurry = asyncio.Event()
        self._code = int(Exit.OK)

    async def run(self) -> int:
        """Run until a signal or the end of all workers. Return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Where the loop has no signal handlers (Windows), the interpreter's own KeyboardInterrupt ends it.
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, self._signalled)
        while not self._over.is_set():
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self.keep(number)) for number in range(1, self._workers + 1)]
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
            report(f"{', '.join(names[:3])} changed; restarting", bad=False)
            return

    async def keep(self, number: int) -> None:
        """Run a worker, and restart it after each crash, until it ends on purpose."""
        crashes = 0
        while True:
            started = time.monotonic()
            code = await self.run_worker(number)
            if code in (Exit.USAGE, Exit.OK):
                # It ended on purpose, or cannot be loaded: a new process would do the same.
                if self._reload and code != Exit.OK:
                    report("waiting for a change", bad=False)
                    await asyncio.Event().wait()
                self._code = code
                self._over.set()
                return
            crashes = crashes_in_a_row(crashes, time.monotonic() - started)
            wait = wait_before(crashes)
            report(f"worker {number} ended with {_described(code)}; restarting it in {wait:g} s")
            await asyncio.sleep(wait)

    async def run_worker(self, number: int) -> int:
        """Run a worker once, and return its exit code. Cancelling stops the worker."""
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
                await stop(process, close_timeout_of(read) + MARGIN_SECONDS, self._hurry)
                raise
        finally:
            os.close(read)


def close_timeout_of(read: int) -> float:
    """Return the ``close_timeout`` that a worker has reported, or 0 before."""
    try:
        data = os.read(read, 64)
    except BlockingIOError:
        return 0.0
    return float(data) if data else 0.0


async def stop(process: asyncio.subprocess.Process, within: float, hurry: asyncio.Event) -> None:
    """Send SIGTERM to a worker, again when ``hurry`` is set, and kill it after ``within`` seconds."""
    with suppress(ProcessLookupError):
        process.terminate()
    hint = asyncio.get_running_loop().call_later(HINT_SECONDS, report, HINT)
    ended, hurried = asyncio.ensure_future(process.wait()), asyncio.ensure_future(hurry.wait())
    try:
        await asyncio.wait([ended, hurried], timeout=within, return_when=asyncio.FIRST_COMPLETED)
        hint.cancel()
        if not ended.done() and hurried.done():
            process.terminate()
            await asyncio.wait([ended], timeout=END_SECONDS)
        if not ended.done():
            process.kill()
        await ended
    finally:
        hint.cancel()
        hurried.cancel()
        ended.cancel()


def _described(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
