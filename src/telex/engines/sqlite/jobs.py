"""What the thread that writes is given to do, and the batch that it makes of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from telex.engines.sqlite.ledger import Entry, Ledger
from telex.engines.sqlite.rows import Form
from telex.message import Message


class Waiter(Protocol):
    """Who waits for a transaction. Made in the event loop, and settled there."""

    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


class Job(Waiter, Protocol):
    """Something to do inside of a write transaction, in the thread that writes, and who waits for it."""

    def perform(self, ledger: Ledger, now: float) -> None:
        """Do it. What it raises makes the whole transaction fail."""


class Append:
    """Messages to keep."""

    __slots__ = ("error", "forms", "future", "messages", "result")

    def __init__(self, messages: Sequence[Message[Any]], forms: Sequence[Form], future: asyncio.Future[Any]) -> None:
        self.messages: Sequence[Message[Any]] = messages
        self.forms: Sequence[Form] = forms
        self.future: asyncio.Future[Any] = future
        self.result: Any = None
        self.error: BaseException | None = None

    def perform(self, ledger: Ledger, now: float) -> None:
        """Give them their places."""
        self.result = ledger.add(self.messages, self.forms, now)


class Call:
    """A function of the engine's own, which is trusted to leave nothing half done.

    ``after`` is called in the event loop with its result, before anything that is committed later is told there. One
    that is ``alone`` has a transaction of its own.
    """

    __slots__ = ("after", "alone", "error", "function", "future", "result")

    def __init__(
        self,
        function: Callable[[Ledger, float], Any],
        future: asyncio.Future[Any],
        after: Callable[[Any], None] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self.function: Callable[[Ledger, float], Any] = function
        self.after: Callable[[Any], None] | None = after
        self.alone: bool = alone
        self.future: asyncio.Future[Any] = future
        self.result: Any = None
        self.error: BaseException | None = None

    def perform(self, ledger: Ledger, now: float) -> None:
        """Call it, with all that was added before in the tables."""
        ledger.flush()
        self.result = self.function(ledger, now)


class Guarded:
    """A function whose failure undoes what it did, and nothing else."""

    __slots__ = ("error", "function", "future", "result")

    def __init__(self, function: Callable[[sqlite3.Connection, float], Any], future: asyncio.Future[Any]) -> None:
        self.function: Callable[[sqlite3.Connection, float], Any] = function
        self.future: asyncio.Future[Any] = future
        self.result: Any = None
        self.error: BaseException | None = None

    def perform(self, ledger: Ledger, now: float) -> None:
        """Call it between two marks."""
        ledger.flush()
        connection = ledger.connection
        connection.execute("SAVEPOINT telex_call")
        try:
            self.result = self.function(connection, now)
        except Exception as error:
            if not connection.in_transaction:  # SQLite gave up the whole transaction: the disk is full
                raise
            connection.execute("ROLLBACK TO telex_call")
            self.error = error
        connection.execute("RELEASE telex_call")


class Batch:
    """What one transaction did."""

    __slots__ = ("decode", "done", "end", "entries", "error", "foreign", "heads", "jobs", "start")

    def __init__(self, jobs: Sequence[Waiter]) -> None:
        self.jobs: Sequence[Waiter] = jobs
        self.start: int = 0
        self.end: int = 0
        self.entries: list[Entry] = []  # messages start to end - 1
        self.decode: bool = False  # whether some are rows
        self.heads: list[tuple[int, str, str, int, int]] = []  # id, name, epoch, uid, end of the topics it wrote to
        self.foreign: bool = False  # whether another process has written before it
        self.done: bool = False
        self.error: BaseException | None = None
