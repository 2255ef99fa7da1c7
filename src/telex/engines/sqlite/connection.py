"""`GuardedConnection`: the connection that writes, which is lent to programs in their transactions."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from typing import Any, NoReturn, Self
from weakref import WeakSet

from telex.errors import EngineFailed, Misuse

RESERVED = "telex_"
"""With this begin the names of all that is telex's own in a file."""
_BY_ITSELF = "the transaction commits when its `async with` is left, and rolls back when that is left with an error"
_SETTING = "telex writes with the same connection and relies on this setting; use a connection of your own for it"
_SCRIPT = "it would commit what was done before; execute the statements one by one"
_NOT_YOURS = f"tables whose names begin with {RESERVED!r} belong to telex; open it with readonly=True"
_STEPS = 10_000
"""Instructions of SQLite between two looks whether a statement is to end."""


def is_reserved(name: str | None) -> bool:
    """Return whether only telex may use this name."""
    return name is not None and name.lower().startswith(RESERVED)


class GuardedCursor(sqlite3.Cursor):
    """A cursor of a program."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """As usual, unless SQLite has rolled the transaction back: then it would be written and committed by itself."""
        _check(self.connection)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Self:
        """As `execute`."""
        _check(self.connection)
        return super().executemany(sql, parameters)

    def executescript(self, script: str, /) -> NoReturn:
        """Refused."""
        raise Misuse("call executescript() on the connection of a transaction", _SCRIPT)


def _check(connection: sqlite3.Connection) -> None:
    if not connection.in_transaction:
        raise EngineFailed("the transaction", "SQLite has rolled it back; begin another")


class GuardedConnection(sqlite3.Connection):
    """From `lend` to `take_back` it refuses to end the transaction, and all that would last longer than that."""

    _lent = False
    _opened: WeakSet[Any]  # what a program has opened: left open, it would keep the file's state of that time

    def lend(self, allow: Callable[..., int], is_over: Callable[[], bool]) -> None:
        """A program uses it. ``allow`` is asked for each part of a statement, ``is_over`` whether it is to end."""
        super().set_authorizer(allow)
        super().set_progress_handler(is_over, _STEPS)
        self._opened = WeakSet()
        self._lent = True

    def take_back(self) -> None:
        """The program has done with it."""
        self._lent = False
        for opened in list(self._opened):
            opened.close()
        super().set_authorizer(None)
        super().set_progress_handler(None, 0)
        self.set_trace_callback(None)
        self.row_factory: Any = None
        self.text_factory = str

    def cursor(self, factory: Any = None) -> Any:
        """A cursor."""
        if not self._lent:
            return super().cursor()
        made = super().cursor(GuardedCursor if factory is None else factory)
        self._opened.add(made)
        return made

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """By a cursor of its own."""
        cursor: sqlite3.Cursor = self.cursor()
        return cursor.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """By a cursor of its own."""
        cursor: sqlite3.Cursor = self.cursor()
        return cursor.executemany(sql, parameters)

    def blobopen(self, table: str, *given: Any, readonly: bool = False, **named: Any) -> sqlite3.Blob:
        """Refused for tables of telex, unless to read."""
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
        """Refused while it is lent."""
        self._refuse("close", _BY_ITSELF)
        super().close()

    def commit(self) -> None:
        """Refused while it is lent."""
        self._refuse("commit", _BY_ITSELF)
        super().commit()

    def rollback(self) -> None:
        """Refused while it is lent."""
        self._refuse("rollback", _BY_ITSELF)
        super().rollback()

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """Refused while it is lent."""
        self._refuse("executescript", _SCRIPT)
        return super().executescript(sql_script)

    def set_authorizer(self, *given: Any, **named: Any) -> None:
        """Refused while it is lent."""
        self._refuse("set_authorizer", _SETTING)
        super().set_authorizer(*given, **named)

    def set_progress_handler(self, *given: Any, **named: Any) -> None:
        """Refused while it is lent."""
        self._refuse("set_progress_handler", _SETTING)
        super().set_progress_handler(*given, **named)

    def setlimit(self, category: int, limit: int, /) -> int:
        """Refused while it is lent."""
        self._refuse("setlimit", _SETTING)
        return super().setlimit(category, limit)

    def deserialize(self, data: Any, /, *, name: str = "main") -> None:
        """Refused while it is lent."""
        self._refuse("deserialize", _BY_ITSELF)
        super().deserialize(data, name=name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in {"isolation_level", "autocommit"}:  # setting either may commit
            self._refuse(name, _SETTING)
        super().__setattr__(name, value)

    if sys.version_info >= (3, 12):

        def setconfig(self, op: int, enable: bool = True, /) -> None:
            """Refused while it is lent."""
            self._refuse("setconfig", _SETTING)
            super().setconfig(op, enable)
