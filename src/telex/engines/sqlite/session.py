"""`Session`: the thread that writes, lent to one transaction of a program."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from telex.engines.sqlite import problems
from telex.engines.sqlite.jobs import Asked
from telex.engines.sqlite.ledger import Ledger
from telex.errors import BadOption, EngineFailed, TelexError, Timeout

Step = Callable[[Ledger], Any]
Post = Callable[..., None]

_PRAGMAS = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
_NO_END = "the transaction commits when its `async with` is left, and rolls back when that is left with an error"
_NO_FILES = "other files have transactions of their own; use a connection of your own for them"
_NO_TABLES = "tables whose names begin with 'telex_' belong to telex; publish with `append`, and name yours otherwise"
_NO_PRAGMAS = "only pragmas that tell of tables may be used in it; set others by a connection of your own"
_WRITES = {
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_TABLE,
}
_TRIGGERS = {sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_TRIGGER}


class Dropped(Exception):
    """The program left its transaction with an error: nothing failed."""


class Op:
    """One thing to do in the transaction; without a step, the end of it."""

    __slots__ = ("commit", "future", "step", "users")

    def __init__(
        self, step: Step | None, future: asyncio.Future[Any] | None, *, users: bool = False, commit: bool = False
    ) -> None:
        self.step: Step | None = step
        self.future: asyncio.Future[Any] | None = future
        self.users: bool = users  # whether it is a program's code
        self.commit: bool = commit


class Session(Asked):
    """Made in the event loop; `serve` runs in the thread that writes, between the start of a transaction and its end.

    ``entered`` is done when the transaction has begun, ``future`` when it is over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, post: Post, seconds: float) -> None:
        super().__init__(loop.create_future())
        self.entered: asyncio.Future[None] = loop.create_future()
        self.future.add_done_callback(self._over)
        self.cause: BaseException = Dropped()  # why it was rolled back
        self.seconds: float = seconds
        self._post = post
        self._ops: SimpleQueue[Op] = SimpleQueue()
        self._denied = ""
        self._end = 0.0

    # -- in the event loop

    def put(self, op: Op) -> None:
        """More to do. What comes when it is over gets the reason at once."""
        self._ops.put(op)
        if self.future.done():
            self._over(self.future)

    def _over(self, future: asyncio.Future[Any]) -> None:
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is not None and not self.entered.done():
            self.entered.set_exception(error)
        while True:
            try:
                op = self._ops.get_nowait()
            except Empty:
                return
            if op.future is not None and not op.future.done():
                op.future.set_exception(error or EngineFailed("using the transaction", "it is over; begin another"))

    # -- in the thread

    def serve(self, ledger: Ledger) -> bool:
        """Do what comes until the transaction is to end; whether it is to be committed."""
        self._post(_set, self.entered, None, None)
        self._end = monotonic() + self.seconds
        while True:
            try:
                op = self._ops.get(timeout=max(0.0, self._end - monotonic()))
            except Empty:
                self.cause = Timeout("the transaction", self.seconds)
                return False
            if op.step is None:
                return op.commit
            result, error = self._do(op, ledger)
            damaged = error is not None and problems.is_fatal(error)
            if not ledger.connection.in_transaction or isinstance(error, Timeout) or damaged:
                self.cause = error or EngineFailed("the transaction", "SQLite has rolled it back")
                self._post(_set, op.future, None, self.cause)
                return False
            self._post(_set, op.future, result, error)

    def _do(self, op: Op, ledger: Ledger) -> tuple[Any, BaseException | None]:
        assert op.step is not None
        if op.users:
            self._guard(ledger.connection)
        try:
            return op.step(ledger), None
        except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to the program
            return None, self._say(error)
        finally:
            if op.users:
                self._unguard(ledger.connection)

    def _say(self, error: BaseException) -> BaseException:
        code = problems.code(error)
        if code == sqlite3.SQLITE_AUTH and self._denied:
            mend, self._denied = self._denied, ""
            return BadOption("statement in a transaction", str(error), mend)
        if code == sqlite3.SQLITE_INTERRUPT and monotonic() >= self._end:
            return Timeout("the transaction", self.seconds)
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY}:
            return problems.failure("the transaction", error)
        return error

    def _guard(self, connection: sqlite3.Connection) -> None:
        self._denied = ""
        connection.set_authorizer(self._allow)
        connection.set_progress_handler(lambda: monotonic() >= self._end, 10_000)

    def _unguard(self, connection: sqlite3.Connection) -> None:
        connection.set_authorizer(None)
        connection.set_progress_handler(None, 0)
        connection.row_factory = None
        connection.text_factory = str

    def _allow(
        self, action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> int:
        """SQLite asks this for each part of a statement of a program."""
        table = second if action in _TRIGGERS or action == sqlite3.SQLITE_ALTER_TABLE else first
        if action == sqlite3.SQLITE_TRANSACTION:
            self._denied = _NO_END
        elif action in {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}:
            self._denied = _NO_FILES
        elif action == sqlite3.SQLITE_PRAGMA and first not in _PRAGMAS:
            self._denied = _NO_PRAGMAS
        elif (
            (action in _WRITES or action in _TRIGGERS or action == sqlite3.SQLITE_ALTER_TABLE)
            and table is not None
            and table.lower().startswith("telex_")
        ):
            self._denied = _NO_TABLES
        else:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


def _set(future: asyncio.Future[Any] | None, result: Any, error: BaseException | None) -> None:
    if future is None or future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def told(error: BaseException, what: str) -> BaseException:
    """The error that those who wait for a transaction get."""
    return error if isinstance(error, (TelexError, Dropped)) else problems.failure(what, error)
