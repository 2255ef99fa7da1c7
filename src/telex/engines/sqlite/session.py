"""`TransactionSession`: one transaction of a program in the writing thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from telex.engines.sqlite import problems
from telex.engines.sqlite.connection import RESERVED, is_reserved
from telex.engines.sqlite.jobs import Asked
from telex.engines.sqlite.ledger import Ledger
from telex.errors import EngineFailed, Misuse, TelexError, Timeout

Step = Callable[[Ledger], Any]
Post = Callable[..., None]

_TELLING = {
    *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"),
    *("foreign_key_check", "integrity_check", "quick_check"),
    "defer_foreign_keys",  # until the transaction ends
}
"""Pragmas without a lasting effect."""
_ASKING = {
    *("application_id", "collation_list", "compile_options", "data_version", "database_list", "encoding"),
    *("foreign_keys", "freelist_count", "function_list", "journal_mode", "max_page_count", "module_list"),
    *("page_count", "page_size", "pragma_list", "recursive_triggers", "schema_version", "synchronous", "user_version"),
}
"""Pragmas that only read when they have no value. Tables for full text search and R-trees use some of them."""
_ON = {"on", "yes", "true", "1"}
_NO_END = "the transaction commits when its `async with` is left, and rolls back when the block is left with an error"
_NO_MARKS = "a part of a transaction cannot be undone alone; use a transaction for each part that may fail"
_NO_FILES = "other files have transactions of their own; use a connection of your own for them"
_NO_TABLES = (
    f"names that begin with {RESERVED!r} belong to telex, in every schema; publish with tx.publish, and name yours "
    "otherwise"
)
_NO_PRAGMAS = "only pragmas that read about tables may be used; set others with a connection of your own"
_KEYS_ON = "this hub's transactions enforce foreign keys; open it with sqlite:///file.db?foreign_keys=off for others"
_KEYS_OFF = "this hub was opened with foreign_keys=off; without that option its transactions enforce foreign keys"
_ROWS = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_TABLES = {
    *(sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_TEMP_TABLE, sqlite3.SQLITE_CREATE_VTABLE),
    *(sqlite3.SQLITE_CREATE_VIEW, sqlite3.SQLITE_CREATE_TEMP_VIEW),
    *(sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_TEMP_INDEX),
    *(sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_CREATE_TEMP_TRIGGER),
    *(sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_TEMP_TABLE, sqlite3.SQLITE_DROP_VTABLE),
    *(sqlite3.SQLITE_DROP_VIEW, sqlite3.SQLITE_DROP_TEMP_VIEW),
    *(sqlite3.SQLITE_DROP_INDEX, sqlite3.SQLITE_DROP_TEMP_INDEX),
    *(sqlite3.SQLITE_DROP_TRIGGER, sqlite3.SQLITE_DROP_TEMP_TRIGGER),
    *(sqlite3.SQLITE_ALTER_TABLE, sqlite3.SQLITE_REINDEX),
}
"""The actions that name a table, an index, a view or a trigger, and the table that it belongs to."""
_INSIDES = {"sqlite_sequence", "sqlite_dbpage"}
"""Tables of SQLite that also contain data of telex."""
_OWN = """SELECT 'main', type, name, tbl_name, sql FROM main.sqlite_schema
    UNION ALL SELECT 'temp', type, name, tbl_name, sql FROM temp.sqlite_schema"""
_LAST_TOPIC = "SELECT seq FROM main.sqlite_sequence WHERE name = 'telex_topics'"


class Dropped(Exception):
    """The reason of a rollback after the program's own error."""


class DamagedTransaction(Misuse):
    """The program changed telex's tables in a way that could not be refused before: the transaction is rolled back."""


class Op:
    """One step of the transaction; without a step, its end."""

    __slots__ = ("commit", "future", "step", "users")

    def __init__(
        self, step: Step | None, future: asyncio.Future[Any] | None, *, users: bool = False, commit: bool = False
    ) -> None:
        self.step: Step | None = step
        self.future: asyncio.Future[Any] | None = future
        self.users: bool = users  # True for a program's code
        self.commit: bool = commit


class TransactionSession(Asked):
    """A transaction of a program. It is made in the event loop; `serve` runs in the writing thread, between the start
    of a transaction and its end.

    ``entered`` is done when the transaction has begun, ``future`` when it has ended.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, post: Post, seconds: float) -> None:
        super().__init__(loop.create_future())
        self.entered: asyncio.Future[None] = loop.create_future()
        self.future.add_done_callback(self._over)
        self.cause: BaseException = Dropped()  # the reason of the rollback
        self.seconds: float = seconds
        self.dropped: bool = False  # True when the program waits for it no more
        self._post = post
        self._ops: SimpleQueue[Op] = SimpleQueue()
        self._denied = ""
        self._end = 0.0
        self._own: Own | None = None  # the tables of telex, before the program did anything
        self._suspect = False  # True when the program may have changed them
        self._keys = False  # True when foreign keys are enforced

    # -- in the event loop

    def put(self, op: Op) -> None:
        """Add a step. After the end of the transaction it fails at once, with the reason."""
        self._ops.put(op)
        if self.future.done():
            self._over(self.future)

    def drop(self) -> None:
        """Stop the transaction: it does not begin, or is rolled back as soon as its running step can be stopped."""
        self.dropped = True
        self.put(Op(None, None))

    def is_wanted(self) -> bool:
        """Return true until the session is dropped."""
        return not self.dropped

    def refuse(self, error: Callable[[], BaseException]) -> None:
        """Handle a failed commit: a foreign key that does not hold is the program's own mistake."""
        cause = self.cause
        super().refuse(error if not isinstance(cause, sqlite3.IntegrityError) else lambda: cause)

    def _over(self, future: asyncio.Future[Any]) -> None:
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        if future.cancelled():
            self.entered.cancel()
        elif error is not None and not self.entered.done():
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
        """Do steps until the transaction has to end. Return true to commit it."""
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
            try:
                result, error = self._do(op, ledger)
                goes_on = ledger.connection.in_transaction
            except BaseException as failure:  # an error in telex: the caller gets it too
                self._post(_set, op.future, None, told(failure, "using the transaction"))
                raise
            if (
                not goes_on
                or isinstance(error, (Timeout, DamagedTransaction))
                or (error is not None and problems.is_fatal(error))
            ):
                self.cause = error or EngineFailed("the transaction", "SQLite has rolled it back")
                self._post(_set, op.future, None, self.cause)
                return False
            self._post(_set, op.future, result, error)

    def _do(self, op: Op, ledger: Ledger) -> tuple[Any, BaseException | None]:
        assert op.step is not None
        if not op.users:
            try:
                return op.step(ledger), None
            except Exception as error:  # noqa: BLE001  # the caller gets it
                return None, self._say(error)
        ledger.flush()  # before the guard, which refuses all access to the tables of telex
        connection = ledger.connection
        if self._own is None:
            self._own = _own(connection)
            (self._keys,) = connection.execute("PRAGMA foreign_keys").fetchone()
        self._denied = ""
        connection.lend(self._allow, lambda: self.dropped or monotonic() >= self._end)
        result: Any = None
        problem: BaseException | None = None
        try:
            result = op.step(ledger)
        except BaseException as error:  # noqa: BLE001  # any exception belongs to the program
            problem = self._say(error)
        finally:
            connection.take_back()
        if self._suspect and connection.in_transaction:
            self._suspect = False
            if not _is_kept(self._own, _own(connection)):
                return None, DamagedTransaction("change the tables of telex in a transaction", _NO_TABLES)
        return result, problem

    def _say(self, error: BaseException) -> BaseException:
        code = problems.code(error)
        if self._denied and (code == sqlite3.SQLITE_AUTH or "constructor failed" in str(error)):
            fix, self._denied = self._denied, ""
            return Misuse("execute this statement in a transaction", f"{fix} ({error})")
        if code == sqlite3.SQLITE_INTERRUPT and monotonic() >= self._end:
            return Timeout("the transaction", self.seconds)
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY}:
            return problems.failure("the transaction", error)
        if isinstance(error, StopIteration):  # a future does not accept it
            wrapped = RuntimeError("the function raised StopIteration")
            wrapped.__cause__ = error
            return wrapped
        return error

    def _allow(
        self, action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
    ) -> int:
        """Allow or refuse one part of a program's statement. SQLite calls this for each part."""
        if action in _ROWS:
            self._suspect = self._suspect or first in _INSIDES
            fix = _NO_TABLES if is_reserved(first) or first == "sqlite_dbpage" else ""
        elif action in _TABLES:
            self._suspect = True  # SQLite does not report the new name of a table
            fix = _NO_TABLES if is_reserved(first) or is_reserved(second) else ""
        elif action == sqlite3.SQLITE_PRAGMA:
            fix = self._judge((first or "").lower(), second)
        else:
            fix = _REFUSED.get(action, "")
        if not fix:
            return sqlite3.SQLITE_OK
        self._denied = fix
        return sqlite3.SQLITE_DENY

    def _judge(self, pragma: str, value: str | None) -> str:
        """Return the reason to refuse a pragma, or an empty text."""
        if pragma in _TELLING or (value is None and pragma in _ASKING):
            return ""
        if pragma != "foreign_keys":
            return _NO_PRAGMAS
        if (str(value).lower() in _ON) == bool(self._keys):
            return ""
        return _KEYS_ON if self._keys else _KEYS_OFF


_REFUSED = {
    sqlite3.SQLITE_TRANSACTION: _NO_END,
    sqlite3.SQLITE_SAVEPOINT: _NO_MARKS,
    sqlite3.SQLITE_ATTACH: _NO_FILES,
    sqlite3.SQLITE_DETACH: _NO_FILES,
}
Own = tuple[set[tuple[Any, ...]], int]
"""The parts of the schema with names of telex, and the id of the last topic."""


def _own(connection: sqlite3.Connection) -> Own:
    found = connection.execute(_OWN).fetchall()
    (last,) = connection.execute(_LAST_TOPIC).fetchone() or (0,)
    return {row for row in found if is_reserved(row[2]) or is_reserved(row[3])}, last


def _is_kept(before: Own, now: Own) -> bool:
    return now[0] == before[0] and now[1] >= before[1]


def _set(future: asyncio.Future[Any] | None, result: Any, error: BaseException | None) -> None:
    if future is None or future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def told(error: BaseException, what: str) -> BaseException:
    """Return the error for those who wait for a transaction."""
    return error if isinstance(error, (TelexError, Dropped)) else problems.failure(what, error)
