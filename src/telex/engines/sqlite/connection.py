"""`GuardedConnection`: the writing connection, which programs use in their transactions under checks."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from typing import Any, NoReturn, Self
from weakref import WeakSet

from telex.errors import EngineFailed, Misuse

RESERVED = "telex_"
"""The prefix of the names of all tables of telex in a file."""
_BY_ITSELF = (
    "the transaction commits when its `async with` is left, and rolls back when the block is left with an error"
)
_SETTING = "telex writes with the same connection and relies on this setting; use a connection of your own for it"
_SCRIPT = "it would commit the earlier statements; execute the statements one by one"
_NOT_YOURS = f"tables whose names begin with {RESERVED!r} belong to telex; open it with readonly=True"
_STEPS = 10_000
"""The instructions of SQLite between two checks whether a statement has to end."""


def is_reserved(name: str | None) -> bool:
    """Return true when only telex may use this name."""
    return name is not None and name.lower().startswith(RESERVED)


class GuardedCursor(sqlite3.Cursor):
    """A cursor of a program on a `GuardedConnection`."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """Execute a statement, unless SQLite has rolled the transaction back: otherwise it would be committed by
        itself.
        """
        _check(self.connection)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Self:
        """Execute a statement with many parameters, as `execute`."""
        _check(self.connection)
        return super().executemany(sql, parameters)

    def executescript(self, script: str, /) -> NoReturn:
        """Raise `Misuse`."""
        raise Misuse("call executescript() on the connection of a transaction", _SCRIPT)


def _check(connection: sqlite3.Connection) -> None:
    if not connection.in_transaction:
        raise EngineFailed("the transaction", "SQLite has rolled it back; begin another")


class GuardedConnection(sqlite3.Connection):
    """A connection that, between `lend` and `take_back`, refuses to end the transaction and to change lasting
    settings.
    """

    _lent = False
    _opened: WeakSet[Any]  # cursors and blobs of a program: left open, they would keep an old state of the file

    def lend(self, allow: Callable[..., int], is_over: Callable[[], bool]) -> None:
        """Give the connection to a program. SQLite calls ``allow`` for each part of a statement, and ``is_over`` to ask
        whether the statement has to end.
        """
        super().set_authorizer(allow)
        super().set_progress_handler(is_over, _STEPS)
        self._opened = WeakSet()
        self._lent = True

    def take_back(self) -> None:
        """Take the connection back from the program: close its cursors and undo its settings."""
        self._lent = False
        for opened in list(self._opened):
            opened.close()
        super().set_authorizer(None)
        super().set_progress_handler(None, 0)
        self.set_trace_callback(None)
        self.row_factory: Any = None
        self.text_factory = str

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor; a guarded one while the connection is lent."""
        if not self._lent:
            return super().cursor()
        made = super().cursor(GuardedCursor if factory is None else factory)
        self._opened.add(made)
        return made

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement with a new cursor."""
        cursor: sqlite3.Cursor = self.cursor() if self._lent else super().cursor()
        return cursor.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """Execute a statement with many parameters, with a new cursor."""
        cursor: sqlite3.Cursor = self.cursor() if self._lent else super().cursor()
        return cursor.executemany(sql, parameters)

    def blobopen(self, table: str, *given: Any, readonly: bool = False, **named: Any) -> sqlite3.Blob:
        """Open a blob. Raises `Misuse` for tables of telex, unless ``readonly``."""
        if is_reserved(table) and not readonly:
            self._refuse("blobopen", _NOT_YOURS)
        blob = super().blobopen(table, *given, readonly=readonly, **named)
        if self._lent:
            self._opened.add(blob)
        return blob

    def _refuse(self, name: str, fix: str) -> None:
        if self._lent:
            raise Misuse(f"use {name} on the connection of a transaction", fix)

    def close(self) -> None:
        """Close the connection. Raises `Misuse` while it is lent."""
        self._refuse("close", _BY_ITSELF)
        super().close()

    def commit(self) -> None:
        """Commit. Raises `Misuse` while the connection is lent."""
        self._refuse("commit", _BY_ITSELF)
        super().commit()

    def rollback(self) -> None:
        """Roll back. Raises `Misuse` while the connection is lent."""
        self._refuse("rollback", _BY_ITSELF)
        super().rollback()

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """Execute a script. Raises `Misuse` while the connection is lent."""
        self._refuse("executescript", _SCRIPT)
        return super().executescript(sql_script)

    def set_authorizer(self, *given: Any, **named: Any) -> None:
        """Set the authorizer. Raises `Misuse` while the connection is lent."""
        self._refuse("set_authorizer", _SETTING)
        super().set_authorizer(*given, **named)

    def set_progress_handler(self, *given: Any, **named: Any) -> None:
        """Set the progress handler. Raises `Misuse` while the connection is lent."""
        self._refuse("set_progress_handler", _SETTING)
        super().set_progress_handler(*given, **named)

    def setlimit(self, category: int, limit: int, /) -> int:
        """Set a limit. Raises `Misuse` while the connection is lent."""
        self._refuse("setlimit", _SETTING)
        return super().setlimit(category, limit)

    def deserialize(self, data: Any, /, *, name: str = "main") -> None:
        """Replace the database. Raises `Misuse` while the connection is lent."""
        self._refuse("deserialize", _BY_ITSELF)
        super().deserialize(data, name=name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in {"isolation_level", "autocommit"}:  # setting one of these may commit
            self._refuse(name, _SETTING)
        super().__setattr__(name, value)

    if sys.version_info >= (3, 12):

        def setconfig(self, op: int, enable: bool = True, /) -> None:
            """Set an option of SQLite. Raises `Misuse` while the connection is lent."""
            self._refuse("setconfig", _SETTING)
            super().setconfig(op, enable)
