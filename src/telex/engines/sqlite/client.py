"""`FileClient`: the open file in the event loop: its threads, and the jobs that wait for them."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Sequence
from copy import copy
from threading import Thread
from time import sleep, time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from telex.engines import forms
from telex.engines.contract.store import inside
from telex.engines.fetching import FetchWaiters
from telex.engines.sqlite import problems, reader, rows
from telex.engines.sqlite.catalogue import Catalogue
from telex.engines.sqlite.clock import Clock
from telex.engines.sqlite.jobs import Append, Batch, EngineCall, Guarded, Job, JobObserver
from telex.engines.sqlite.ledger import Ledger
from telex.engines.sqlite.reader import Reader
from telex.engines.sqlite.session import TransactionSession
from telex.engines.sqlite.watcher import Watcher
from telex.engines.sqlite.writer import PATIENCE, Writer, WriterEvents
from telex.errors import Closed, ConnectFailed, EngineFailed, Misuse, TelexError
from telex.process.forks import FORKS, HUB
from telex.process.supervision import watched
from telex.process.tasks import start_task

if TYPE_CHECKING:
    from telex.engines.contract import Decoder, EngineEvents
    from telex.engines.sqlite.address import FileAddress
    from telex.message import Draft, Message

R = TypeVar("R")
logger: logging.Logger = logging.getLogger("telex")
_INSIDE = (
    "as does all that writes to the file: publish with tx.publish(...), write with tx.execute(...), or do it after "
    "the `async with` has been left"
)
_OWN = f"this call is inside of a transaction, and would wait for the end of that transaction, {_INSIDE}"
TURN = 0.0005
"""The seconds between two checks whether an ending thread has ended."""
TOGETHER = 256
"""The messages of several publishers in one job, after which another job is begun."""


class CommitObserver(Protocol):
    """Delivers committed messages to the hub, see `ChangeReader`."""

    async def begin(self) -> None:
        """Read the topics of the file, which is open now."""

    def begun(self, batch: Batch) -> None:
        """Note that the writing thread is about to commit."""

    def committed(self, batch: Batch) -> None:
        """Handle the end of a transaction, committed or rolled back."""

    def noticed(self, pos: int) -> None:
        """Note that another process has committed, and that the next message has the place ``pos``."""

    def close(self) -> None:
        """Stop reading."""

    def abandon(self, error: BaseException) -> None:
        """Stop delivering, and refuse waiting jobs."""

    def refuse(self, jobs: Iterable[JobObserver], error: BaseException) -> None:
        """Refuse these jobs: they were not done."""


class FileClient:
    """The open file, used in the event loop except for `post`."""

    def __init__(self, address: FileAddress) -> None:
        self.address: FileAddress = address
        self.loop: asyncio.AbstractEventLoop
        self.events: EngineEvents
        self.decoder: Decoder
        self.catalogue: Catalogue = Catalogue()
        self.clock: Clock = Clock()
        self.fetches: FetchWaiters = FetchWaiters()
        self.changes: CommitObserver
        self.lent: object = None  # the open transaction of a program, if any
        self.writer: Writer | None = None
        self.reader: Reader | None = None
        self.watcher: Watcher | None = None
        self._pending: list[Job | TransactionSession] = []
        self._joined: Append | None = None  # the last pending job, if it appends messages
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened: asyncio.Future[None]
        self._ended: asyncio.Event = asyncio.Event()
        self._closed: Exception | None = Closed("the engine", "it is not open")

    def forked(self) -> None:
        """Refuse all use in a forked process. The connections stay open: closing them would undo, in the shared memory
        of the file, commits of the parent.
        """
        self._closed = Closed("the engine", HUB)

    # -- life

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        """Start the threads, and read the topics of the file. Raises `ConnectFailed`."""
        try:
            await self._begin(events, decoder)
        except BaseException as error:
            await self.close()
            if isinstance(error, EngineFailed):
                raise ConnectFailed(self.address.url, error.problem) from error
            if isinstance(error, TelexError) or not isinstance(error, Exception):
                raise
            raise ConnectFailed(self.address.url, problems.explain(error)) from error

    async def _begin(self, events: EngineEvents, decoder: Decoder) -> None:
        self.loop, self.events, self.decoder = asyncio.get_running_loop(), events, decoder
        FORKS.watch(self)
        self._opened = self.loop.create_future()
        told = WriterEvents(self._open_done, self._writer_ended, self.changes.begun, self.changes.committed, self.post)
        self.writer = Writer(self.address, told, self.clock)
        self.writer.thread.start()
        await self._opened
        self.address = self.writer.address
        self.reader = Reader(self.address, reader.Told(self._reader_ended, self._answered, self.post))
        self.reader.thread.start()
        self._closed = None
        self.watcher = Watcher(self.address, self.writer, self.changes.noticed, self.broke, self.post)
        self.watcher.thread.start()
        await self.changes.begin()

    def _open_done(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _writer_ended(self, error: BaseException | None) -> None:
        self._ended.set()
        if not self._opened.done():
            if error is not None and not isinstance(error, TelexError):
                error = ConnectFailed(self.address.url, problems.explain(error))
            self._opened.set_exception(error or Closed("the engine", "it was closed while it was opened"))
        elif error is not None:
            self.fail(problems.failure(f"writing {self.address.path}", error))
        if self.writer is not None:
            self.changes.refuse(self.writer.left(), error or self._refusal())

    def _reader_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self.fail(problems.failure(f"reading {self.address.path}", error))
        for future in [] if self.reader is None else self.reader.left():
            if not future.done():
                failed = error and problems.failure(f"reading {self.address.path}", error)
                future.set_exception(failed or self._refusal())

    def _answered(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        """Set the result of a function that the reading thread has called."""
        if error is not None:
            self.check_fatal(error)
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    async def close(self) -> None:
        """End the threads. Waiting messages are committed before, and all waits end. Cancelling this call makes it
        faster: it does not wait for a running function of a program, and raises the cancellation after everything is
        released.
        """
        self._flush()
        self._closed = Closed("the engine", "its hub was closed; open another")
        self.changes.close()
        self.fetches.close()
        told = [each for each in (self.watcher, self.writer, self.reader) if each is not None]
        for each in told:
            each.close()
        cancelled = await self._outlast([each.thread for each in told])
        if self.watcher is not None and not self.watcher.thread.is_alive():
            self.watcher.dispose()
            self.watcher = None
        if cancelled is not None:
            raise cancelled

    async def _outlast(self, threads: Sequence[Thread]) -> asyncio.CancelledError | None:
        """Wait until the threads and all tasks have ended. Return a cancellation that came in the meantime."""
        cancelled: asyncio.CancelledError | None = None
        limit, heard = float("inf"), False
        clock = asyncio.get_running_loop().time  # opening may have been cancelled before it began
        while clock() < limit:
            if not any(thread.is_alive() for thread in threads):
                for task in self._tasks:
                    task.cancel()
                if heard and not self._tasks:
                    break
                heard = True  # in the next turn, after the last calls of the threads
            try:
                await asyncio.sleep(TURN)
            except asyncio.CancelledError as error:
                if cancelled is None:
                    limit = clock() + PATIENCE
                    if self.writer is not None:
                        self.writer.hurry()
                cancelled = error
        return cancelled

    def post(self, function: Callable[..., None], *args: object) -> None:
        """Call ``function`` in the event loop. May be called from any thread."""
        while True:
            try:
                self.loop.call_soon_threadsafe(function, *args)
            except RuntimeError:
                return  # the loop was closed before the hub: no observer is left
            except MemoryError:
                sleep(TURN)  # a task waits for this call, and memory may be available later
            else:
                return

    def start(self, what: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a background task. It is cancelled when the engine closes; its exception fails the
        engine.
        """
        task = start_task(watched(what, coroutine, self.broke), name=f"telex sqlite: {what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def fail(self, error: Exception) -> None:
        """Fail the engine: the file cannot be used, and everything that waits gets ``error``."""
        if self._closed is None:
            self._closed = error
            self.changes.abandon(error)
            pending, self._pending, self._joined = self._pending, [], None
            self.changes.refuse(pending, error)
            self.fetches.stir()
            self.events.failed(error)

    def broke(self, error: BaseException) -> None:
        """Fail the engine after an error in telex, since its state is unknown."""
        if not problems.is_fatal(error):
            logger.error("the engine of %s raised", self.address.path, exc_info=error)
        self.fail(problems.failure(f"using {self.address.path}", error))
        self.changes.abandon(error)

    @property
    def failed(self) -> bool:
        """True when the engine has failed or is closed."""
        return self._closed is not None

    def check_fatal(self, error: BaseException) -> None:
        """Fail the engine if the error is permanent."""
        if problems.is_fatal(error):
            self.fail(EngineFailed(f"using {self.address.path}", problems.explain(error.__cause__ or error)))

    def _refusal(self) -> Exception:
        """Return a new exception each time: an exception that is raised again and again grows by its tracebacks."""
        return copy(self._closed) or Closed("the engine", "it is not open")

    # -- calls of the threads

    def put(self, job: EngineCall | Guarded | TransactionSession) -> None:
        """Add a job to the next transaction, together with all jobs of this turn of the loop."""
        if self._closed is not None:
            job.future.cancel()
            raise self._refusal()
        if self.lent is not None:
            self.check_outside()
        self._joined = None
        self._add(job)

    def check_outside(self) -> None:
        """Raise `Misuse` in a task that has entered the open transaction: it would wait for itself."""
        for entered in inside.get():
            if self.lent is None or entered.transaction is not self.lent:
                continue
            if entered.is_own():
                raise Misuse(f"use the hub on {self.address.url!r} here", _OWN)
            logger.warning(
                "a task that was started inside of a transaction waits for the end of the transaction, %s", _INSIDE
            )

    def _add(self, job: Job | TransactionSession) -> None:
        if not self._pending:
            self.loop.call_soon(self._flush)
        self._pending.append(job)

    def _flush(self) -> None:
        if self._pending and self.writer is not None:
            pending, self._pending, self._joined = self._pending, [], None
            self.writer.put(pending)

    def append(self, drafts: Sequence[Draft], *, adopt: bool = False) -> asyncio.Future[Sequence[Message[Any]]]:
        """Store messages; see `Store.append`. Raises `ContentError` and `Closed` here, `EngineFailed`
        from the future.
        """
        # First: if one draft cannot be encoded, none is stored.
        largest = rows.LARGEST
        if len(drafts) == 1:
            encoded: Sequence[forms.Form] = (forms.encode(drafts[0], largest),)
        else:
            encoded = [forms.encode(draft, largest) for draft in drafts]
        if self._closed is not None:
            raise self._refusal()
        if self.lent is not None:
            self.check_outside()
        job = self._joined
        if job is None or adopt or len(job.drafts) >= TOGETHER:
            job = Append(adopted=adopt)
            self._joined = None if adopt else job
            self._add(job)
        future: asyncio.Future[Sequence[Message[Any]]] = self.loop.create_future()
        job.drafts += drafts
        job.forms += encoded
        job.waiters.append((future, len(drafts)))
        return future

    async def call(
        self,
        function: Callable[[Ledger, float], R],
        after: Callable[[R], None] | None = None,
        *,
        alone: bool = False,
    ) -> R:
        """Call a function of the engine in the writing thread; see `jobs.EngineCall`."""
        job = EngineCall(function, self.loop.create_future(), after, alone=alone)
        self.put(job)
        result: R = await job.future
        return result

    async def write(self, function: Callable[[sqlite3.Connection, float], R]) -> R:
        """Call ``function(connection, now)`` in the writing thread, inside its next transaction, together with other
        waiting jobs. Return its result once the transaction is committed.

        When it raises, only its own writes are undone, and this call raises the error. Raises `EngineFailed` when the
        transaction was not committed, `Closed` after `close`.
        """
        job = Guarded(function, self.loop.create_future())
        self.put(job)
        result: R = await job.future
        return result

    async def read(self, function: Callable[[sqlite3.Connection], R]) -> R:
        """Call ``function(connection)`` in the reading thread, in one read transaction. Return its result."""
        return await self.reading(function)

    def reading(self, function: Callable[[sqlite3.Connection], R]) -> asyncio.Future[R]:
        """Call ``function(connection)`` in the reading thread, as `read`. Raises `Closed` here; the future raises the
        errors of reading.
        """
        if self._closed is not None or self.reader is None:
            raise self._refusal()
        future: asyncio.Future[R] = self.loop.create_future()
        self.reader.put(function, future)
        return future

    def message(self, row: tuple[Any, ...]) -> Message[Any]:
        """Return a row of ``SELECT {rows.COLUMNS} FROM {rows.JOINED}`` as a message. In the event loop."""
        return rows.decode_one(row, self.decoder.decode)

    # -- the writing thread

    def orphaned(self) -> None:
        """Note that a topic was removed, in the writing thread: its messages have to be deleted."""
        if self.writer is not None:
            self.writer.sweeper.orphaned()

    def sweep_all(self) -> None:
        """Note that the retention rules have changed, in the writing thread."""
        if self.writer is not None:
            self.writer.notice_all()

    @property
    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time()
