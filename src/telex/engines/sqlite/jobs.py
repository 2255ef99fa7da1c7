"""The jobs of the writing thread, and the batches of jobs in one transaction."""

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
    """The waiter for a transaction. It is made in the event loop, and one of its methods is called there, once."""

    def settle(self, read: Read) -> None:
        """Handle the commit. ``read`` makes messages of rows."""

    def refuse(self, error: Callable[[], BaseException]) -> None:
        """Handle the rollback. ``error`` returns a new exception for each waiter."""


class Job(JobObserver, Protocol):
    """Work inside of a write transaction, done in the writing thread, and its waiter."""

    def is_wanted(self) -> bool:
        """Return true while the waiter waits. Called in the writing thread, before any work."""

    def perform(self, ledger: Ledger, now: float) -> None:
        """Do the work. An exception fails the whole transaction."""


class Asked:
    """A job with one future."""

    __slots__ = ("error", "future", "result")

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future: asyncio.Future[Any] = future
        self.result: Any = None
        self.error: BaseException | None = None

    def is_wanted(self) -> bool:
        """Return true until the future is cancelled."""
        return not self.future.cancelled()

    def settle(self, read: Read) -> None:
        """Set the result of the future, or the error of this job alone."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)

    def refuse(self, error: Callable[[], BaseException]) -> None:
        """Set the error of the future."""
        if not self.future.done():
            self.future.set_exception(error())


class Append:
    """An append of the messages of all publishers of one turn of the event loop: one job costs less than many.

    Invariant: ``drafts`` and ``forms`` are those of the ``waiters`` in order; each waiter has its number of messages.
    """

    __slots__ = ("adopted", "drafts", "forms", "result", "waiters")

    def __init__(self, *, adopted: bool = False) -> None:
        self.adopted: bool = adopted
        self.drafts: list[Draft] = []
        self.forms: list[Form] = []
        self.waiters: list[tuple[asyncio.Future[Any], int]] = []
        self.result: list[Entry] = []

    def is_wanted(self) -> bool:
        """Leave out the messages of cancelled publishers. Return true when any are left."""
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
        """Number the messages, and add them to the ledger."""
        self.result = ledger.add(self.drafts, self.forms, now, adopted=self.adopted)

    def settle(self, read: Read) -> None:
        """Give each publisher its own messages; for a known id, the stored message."""
        entries = self.result
        if tuple in map(type, entries):
            entries = [read(entry) if type(entry) is tuple else entry for entry in entries]
        end = 0
        for future, count in self.waiters:
            start, end = end, end + count
            if not future.done():
                future.set_result(entries[start:end])

    def refuse(self, error: Callable[[], BaseException]) -> None:
        """Raise an error in each publisher."""
        for future, _ in self.waiters:
            if not future.done():
                future.set_exception(error())


class EngineCall(Asked):
    """A call of a function of the engine, which is trusted to leave no half-done work.

    ``after`` is called in the event loop with its result, before any later commit is handled. A call with ``alone`` has
    its own transaction.
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
        """Call the function, after all added messages were written to the tables."""
        ledger.flush()
        self.result: Any = self.function(ledger, now)

    def settle(self, read: Read) -> None:
        """Call ``after``, and then set the result."""
        if self.after is not None:
            self.after(self.result)
        super().settle(read)


class Guarded(Asked):
    """A call of a function whose failure undoes only its own writes."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[sqlite3.Connection, float], Any], future: asyncio.Future[Any]) -> None:
        super().__init__(future)
        self.function: Callable[[sqlite3.Connection, float], Any] = function

    def perform(self, ledger: Ledger, now: float) -> None:
        """Call the function inside of a savepoint."""
        ledger.flush()
        connection = ledger.connection
        connection.execute("SAVEPOINT telex_call")
        try:
            self.result: Any = self.function(connection, now)
        except Exception as error:
            # When the disk is full, SQLite has rolled back the whole transaction; and a damaged file is not written.
            if not connection.in_transaction or problems.is_fatal(error):
                raise
            connection.execute("ROLLBACK TO telex_call")
            own = isinstance(error, (TelexError, UnicodeEncodeError))  # an error in the caller's data
            self.error: BaseException | None = error if own else problems.failure("writing to the file", error)
        connection.execute("RELEASE telex_call")


class Batch:
    """The jobs and results of one transaction."""

    __slots__ = ("decode", "done", "end", "entries", "error", "foreign", "heads", "jobs", "kept", "start")

    def __init__(self, jobs: Sequence[JobObserver]) -> None:
        self.jobs: Sequence[JobObserver] = jobs
        self.start: int = 0
        self.end: int = 0
        self.entries: list[Entry] = []  # the messages with the places from start to end - 1
        self.decode: bool = False  # True when some entries are rows
        self.heads: list[tuple[int, str, str, int, int]] = []  # id, name, epoch, uid, end of the topics it wrote to
        self.foreign: bool = False  # True when another process has written before it
        self.done: bool = False
        self.kept: bool = False  # True when it is committed
        self.error: BaseException | None = None
