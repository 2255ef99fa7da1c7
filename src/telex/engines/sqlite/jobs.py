"""The jobs of the thread that writes, and the batches that it makes of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

from telex.engines.forms import Form
from telex.engines.sqlite import problems
from telex.engines.sqlite.ledger import Entry, Ledger
from telex.errors import TelexError
from telex.message import Draft, Message

Read = Callable[[tuple[Any, ...]], Message[Any]]


class JobObserver(Protocol):
    """The waiter for a transaction. Made in the event loop, and called back there, once."""

    def settle(self, read: Read) -> None:
        """It was committed. ``read`` makes messages of rows."""

    def refuse(self, error: Callable[[], BaseException]) -> None:
        """It was rolled back. ``error`` makes an error for each who waits."""


class Job(JobObserver, Protocol):
    """Something to do inside of a write transaction, in the thread that writes, and who waits for it."""

    def is_wanted(self) -> bool:
        """Asked in the thread that writes, before anything is done: whether somebody still waits."""

    def perform(self, ledger: Ledger, now: float) -> None:
        """Do it. What it raises makes the whole transaction fail."""


class Asked:
    """One who waits for one thing."""

    __slots__ = ("error", "future", "result")

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future: asyncio.Future[Any] = future
        self.result: Any = None
        self.error: BaseException | None = None

    def is_wanted(self) -> bool:
        """Until its future is cancelled."""
        return not self.future.cancelled()

    def settle(self, read: Read) -> None:
        """The future has the result, or what went wrong with this alone."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)

    def refuse(self, error: Callable[[], BaseException]) -> None:
        """The future has the error."""
        if not self.future.done():
            self.future.set_exception(error())


class Append:
    """Messages to keep, of all who publish in one turn of the event loop: one job for all costs less than one each.

    Invariant: ``drafts`` and ``forms`` are those of ``waiters``, one after the other; each waiter has a number of them.
    """

    __slots__ = ("adopted", "drafts", "forms", "result", "waiters")

    def __init__(self, *, adopted: bool = False) -> None:
        self.adopted: bool = adopted
        self.drafts: list[Draft] = []
        self.forms: list[Form] = []
        self.waiters: list[tuple[asyncio.Future[Any], int]] = []
        self.result: list[Entry] = []

    def is_wanted(self) -> bool:
        """Messages whose publisher was cancelled are left out."""
        waiters = self.waiters
        if True in [future.cancelled() for future, _ in waiters]:
            pairs = zip(self.drafts, self.forms, strict=True)
            kept = [(waiter, list(islice(pairs, waiter[1]))) for waiter in waiters]
            kept = [(waiter, its) for waiter, its in kept if not waiter[0].cancelled()]
            self.waiters = [waiter for waiter, _ in kept]
            self.drafts = [draft for _, its in kept for draft, _ in its]
            self.forms = [form for _, its in kept for _, form in its]
        return bool(self.waiters)

    def perform(self, ledger: Ledger, now: float) -> None:
        """Give them their places."""
        self.result = ledger.add(self.drafts, self.forms, now, adopted=self.adopted)

    def settle(self, read: Read) -> None:
        """Give each publisher its own messages, and in the place of one whose id was known the one that is kept."""
        entries = self.result
        if tuple in map(type, entries):
            entries = [read(entry) if type(entry) is tuple else entry for entry in entries]
        end = 0
        for future, count in self.waiters:
            start, end = end, end + count
            if not future.done():
                future.set_result(entries[start:end])

    def refuse(self, error: Callable[[], BaseException]) -> None:
        """Each has its error."""
        for future, _ in self.waiters:
            if not future.done():
                future.set_exception(error())


class EngineCall(Asked):
    """A function of the engine, which is trusted to leave nothing half done.

    ``after`` is called in the event loop with its result, before the event loop learns of any later commit. A call
    with ``alone`` has its own transaction.
    """

    __slots__ = ("after", "alone", "function")

    def __init__(
        self,
        function: Callable[[Ledger, float], Any],
        future: asyncio.Future[Any],
        after: Callable[[Any], None] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        super().__init__(future)
        self.function: Callable[[Ledger, float], Any] = function
        self.after: Callable[[Any], None] | None = after
        self.alone: bool = alone

    def perform(self, ledger: Ledger, now: float) -> None:
        """Call it, with all that was added before in the tables."""
        ledger.flush()
        self.result: Any = self.function(ledger, now)

    def settle(self, read: Read) -> None:
        """First what is to be known, then who waits."""
        if self.after is not None:
            self.after(self.result)
        super().settle(read)


class Guarded(Asked):
    """A function whose failure undoes what it did, and nothing else."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[sqlite3.Connection, float], Any], future: asyncio.Future[Any]) -> None:
        super().__init__(future)
        self.function: Callable[[sqlite3.Connection, float], Any] = function

    def perform(self, ledger: Ledger, now: float) -> None:
        """Call it between two marks."""
        ledger.flush()
        connection = ledger.connection
        connection.execute("SAVEPOINT telex_call")
        try:
            self.result: Any = self.function(connection, now)
        except Exception as error:
            # SQLite gave up the whole transaction when the disk is full; and nothing is kept in a damaged file.
            if not connection.in_transaction or problems.is_fatal(error):
                raise
            connection.execute("ROLLBACK TO telex_call")
            own = isinstance(error, (TelexError, UnicodeEncodeError))  # of what the caller gave
            self.error: BaseException | None = error if own else problems.failure("writing to the file", error)
        connection.execute("RELEASE telex_call")


class Batch:
    """The result of one transaction."""

    __slots__ = ("decode", "done", "end", "entries", "error", "foreign", "heads", "jobs", "kept", "start")

    def __init__(self, jobs: Sequence[JobObserver]) -> None:
        self.jobs: Sequence[JobObserver] = jobs
        self.start: int = 0
        self.end: int = 0
        self.entries: list[Entry] = []  # messages start to end - 1
        self.decode: bool = False  # whether some are rows
        self.heads: list[tuple[int, str, str, int, int]] = []  # id, name, epoch, uid, end of the topics it wrote to
        self.foreign: bool = False  # whether another process has written before it
        self.done: bool = False
        self.kept: bool = False  # whether it is committed
        self.error: BaseException | None = None
