"""`ProcessPool`: the processes in which a hub calls sync functions that compute for long."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from telex.codec.content import from_json
from telex.errors import CommandError, Misuse, Nack, Reject
from telex.process.threads import ThreadCall, ThreadPool
from telex.process.worker import ANSWER, ProcessFailed, Raised, Task, serve, signals_blocked

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

END_SECONDS = 5.0
"""The seconds in which a process whose connection was closed may end, before it is killed."""
GUARD = 'put what runs under `if __name__ == "__main__":`'
"""The fix of a program that its own processes run again."""


def default_processes() -> int:
    """Return the largest number of processes of a pool by default: one for each core."""
    return os.cpu_count() or 1


class Placed(Protocol):
    """A declared function."""

    @property
    def run_in(self) -> str:
        """The place in which it is called."""


class Worker:
    """One warm process, and the connection to it. Its methods block: they are called in threads."""

    def __init__(self) -> None:
        from multiprocessing import get_context  # importing it takes milliseconds, and few programs need it

        context = get_context("spawn")
        self._connection: Connection[bytes, bytes]
        self._connection, far = context.Pipe()
        self.process: SpawnProcess = context.Process(target=serve, args=(far,), name="telex process", daemon=True)
        try:
            with signals_blocked():
                self.process.start()
        except BaseException:
            self._connection.close()
            raise
        finally:
            far.close()
        self._program = os.getpid()
        atexit.register(self._end_with_program)

    def receive(self) -> bytes:
        """Return the next bytes from the process. Raises `EOFError` or `OSError` when it has ended."""
        return self._connection.recv_bytes()

    def ask(self, data: bytes) -> bytes:
        """Return the answer to a task. Raises `EOFError` or `OSError` when the process has ended."""
        self._connection.send_bytes(data)
        return self._connection.recv_bytes()

    def end(self) -> int | None:
        """Have the process end, and return its exit code."""
        self._connection.close()
        self.process.join(END_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode
        atexit.unregister(self._end_with_program)
        self.process.close()
        return code

    def _end_with_program(self) -> None:
        """Kill the process of a program that ends without closing its hub; a fork of the program may end before."""
        if os.getpid() == self._program:
            self.process.kill()


class ProcessJob:
    """A task and the worker that carries it out. `stop` kills the worker; the pool replaces it."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data: bytes = data
        self.name: str = name
        self.wanted: bool = True
        self._worker: list[Worker] = []  # taken by `pop`, which is atomic: by `stop`, or by the thread after the answer

    def begin(self, worker: Worker) -> None:
        """Set the worker. It is killed if `stop` was called before."""
        self._worker.append(worker)
        if not self.wanted:
            self.stop()

    def stop(self) -> None:
        """Kill the worker, if it still works for this task."""
        self.wanted = False
        try:
            worker = self._worker.pop()
        except IndexError:
            return  # it has not begun, or has just answered
        with suppress(ValueError):  # the process has just ended by itself
            worker.process.kill()

    def release(self) -> bool:
        """Return true when the worker may carry out other tasks, and false when it was killed."""
        try:
            self._worker.pop()
        except IndexError:
            return False
        return True


class ProcessPool:
    """At most ``size`` processes, started by "spawn" and kept warm. A process whose call is cancelled is killed, and
    replaced when it is needed. Its methods are called in the event loop.
    """

    def __init__(self, size: int, moved: Callable[[], None]) -> None:
        self.size: int = size
        self._threads = ThreadPool(size, moved, self._leave)  # one for each process, which waits for its answer
        self._idle: list[Worker] = []  # `append` and `pop` are atomic
        self._expected = 0
        self._warmed = 0
        self._is_open = False

    @property
    def idle(self) -> bool:
        """True when no call runs or waits."""
        return self._threads.idle

    def check_program(self, *declared: Iterable[Placed]) -> None:
        """Raise `Misuse` if a function is called in a process, and this process was spawned and still imports the file
        of the program, which is about to run again: a second hub would handle messages here.
        """
        file = sys.modules.get("__mp_main__")  # multiprocessing's name for it, and `__main__` once it is imported
        if file is None or sys.modules.get("__main__") is file:
            return
        if any(each.run_in == "process" for part in declared for each in part):
            raise Misuse("open the hub in a process that imports the program", GUARD)

    def expect(self, calls: int) -> None:
        """Keep as many processes warm as there may be ``calls`` at once, at most ``size``."""
        self._expected += calls
        self._warm()

    def open(self) -> None:
        """Start the expected processes in the background."""
        self._is_open = True
        self._warm()

    def _warm(self) -> None:
        while self._is_open and self._warmed < min(self._expected, self.size):
            self._warmed += 1
            call = self._submit(self._start, ProcessJob(b"", "starting a process"))
            call.add_done_callback(lambda call: call.cancelled() or call.exception())  # the first task raises it again

    def submit(self, task: Task, name: str) -> ThreadCall:
        """Call a function in a process. Return a future of its result, plain data. Cancelling it kills the process.

        Awaiting raises `ProcessFailed`, or the `Nack`, `Reject` or `CommandError` that the function raised.
        """
        return self._submit(self._carry_out, ProcessJob(msgspec.json.encode(task), name))

    def _submit(self, function: Callable[[Any], object], job: ProcessJob) -> ThreadCall:
        call = self._threads.submit(function, job, job.name)
        call.stop = job.stop
        return call

    # -- in threads

    def _start(self, job: ProcessJob) -> None:
        """Start a process, and wait until it is ready."""
        worker = Worker()
        job.begin(worker)
        try:
            worker.receive()
        except (EOFError, OSError):
            fix = f"its modules must be importable without running the program: {GUARD}"
            raise _died(job, worker, f"its process could not start, {fix}") from None
        if job.release():
            self._idle.append(worker)
        else:
            worker.end()

    def _carry_out(self, job: ProcessJob) -> object:
        worker = self._taken()
        while worker is None:
            self._start(job)
            worker = self._taken()
        job.begin(worker)
        try:
            answer = worker.ask(job.data)
        except (EOFError, OSError):
            raise _died(job, worker, "its process has ended") from None
        if job.release():
            self._idle.append(worker)
        else:
            worker.end()
        return _result(job.name, answer)

    def _taken(self) -> Worker | None:
        """Return an idle process, or None."""
        while True:
            try:
                worker = self._idle.pop()
            except IndexError:
                return None
            if worker.process.is_alive():
                return worker
            worker.end()

    def _leave(self) -> None:
        """End the idle processes. Called by each thread at its end."""
        worker = self._taken()
        while worker is not None:
            worker.end()
            worker = self._taken()

    # -- closing

    def abandon(self) -> None:
        """Begin no more calls, and kill the processes that work."""
        self._threads.abandon()

    async def close(self) -> None:
        """End all processes, and wait until they have ended."""
        await self._threads.close()


def _died(job: ProcessJob, worker: Worker, what: str) -> ProcessFailed:
    """Return the error for a process that has ended by itself."""
    job.release()
    code = worker.end()
    how = f"exit code {code}"
    if code is not None and code < 0:
        how = f"signal {signal.Signals(-code).name}"
    if code == -signal.SIGKILL and job.wanted:
        how += "; the system kills a process that takes too much memory"
    return ProcessFailed(job.name, "ProcessDied", f"{what} ({how})")


def _result(name: str, data: bytes) -> object:
    """Return the result in the answer of a process, or raise its exception."""
    answer = ANSWER.decode(data)
    if not isinstance(answer, Raised):
        return from_json(answer.result)
    error: Exception
    if answer.kind == "nack":
        error = Nack(answer.delay)
    elif answer.kind == "reject":
        error = Reject(answer.text)
    elif answer.kind == "command":
        subclass: type[CommandError] = type(answer.type, (CommandError,), {})  # its name is in the outcome
        error = subclass(answer.text, code=answer.code, data=from_json(answer.data), final=answer.final)
    else:
        error = ProcessFailed(name, answer.type, answer.text, answer.code or "error")
    if answer.traceback:
        error.add_note(f"In the process:\n{answer.traceback}")
    raise error
