"""The errors of SQLite, with texts that tell how to fix them."""

from __future__ import annotations

import sqlite3
from errno import EMFILE, ENAMETOOLONG, ENFILE
from pathlib import Path

from telex.errors import EngineFailed

_CODES = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space, then publish again",
    sqlite3.SQLITE_READONLY: "the file cannot be written; give this user the right to write it and its directory",
    sqlite3.SQLITE_BUSY: "another program keeps the file locked; end what holds it (a shell, a backup)",
    sqlite3.SQLITE_LOCKED: "another connection keeps a table locked; end what holds it",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; `telex check FILE` says where, and a copy from a backup is whole",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database; give another name, or move that file away",
    sqlite3.SQLITE_IOERR: "the disk reported an error; see the system's log",
    sqlite3.SQLITE_PERM: "this user may not use the file; change its rights",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; see that its directory is there and may be written",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_ERROR: "the tables differ from those of telex; `telex check FILE` says where, and a backup is whole",
    sqlite3.SQLITE_TOOBIG: "a message is larger than SQLite allows; publish smaller ones",
}
NUMBERS = "numbers of its messages are damaged; `telex check FILE` says where, and a copy from a backup is whole"
_FATAL = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SHORTAGES = {
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


class Replaced(Exception):
    """The name of the open file now belongs to another file."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} was deleted, moved, replaced or overwritten while it was open, so it stores nothing more; "
            "check the file, then open another hub"
        )


def code(error: BaseException) -> int:
    """Return the primary result code, or 0 for an error that is not SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Return true when another process has the file locked, so that trying again may help."""
    return code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_fatal(error: BaseException) -> bool:
    """Return true when no operation on this file can succeed any more. The cause of an `EngineFailed` is checked."""
    return any(
        each is not None and (code(each) in _FATAL or isinstance(each, Replaced)) for each in (error, error.__cause__)
    )


def is_shortage(error: BaseException) -> bool:
    """Return true when memory, descriptors, disk space or a lock were short, so that trying again later may help."""
    cause = error if error.__cause__ is None else error.__cause__
    return isinstance(cause, (MemoryError, OSError)) or code(cause) in _SHORTAGES


def explain(error: BaseException) -> str:
    """Return the text of an error, with how to fix it."""
    fix = _CODES.get(code(error))
    if fix is not None:
        return f"{fix} (SQLite: {error})"
    if isinstance(error, Replaced):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory; give the process more, or publish smaller messages"
    if isinstance(error, OSError) and error.errno in {EMFILE, ENFILE}:
        return f"there are too few file descriptors; raise the limit (`ulimit -n`), or close some ({error})"
    if isinstance(error, OSError) and error.errno == ENAMETOOLONG:
        return "the file name is too long; give another name"
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  # the exception's own text raised
        text = type(error).__name__
    # the rows differ from those that telex writes
    if isinstance(error, (sqlite3.Error, TypeError, ValueError, LookupError)):
        return (
            f"the file seems to be damaged; `telex check FILE` says where, and a copy from a backup is whole ({text})"
        )
    return text


def failure(what: str, error: BaseException) -> EngineFailed:
    """Return ``error`` as the exception for those who wait for ``what``. The cause is kept for `is_fatal`."""
    failed = EngineFailed(what, explain(error))
    failed.__cause__ = error
    return failed


def explain_open(error: BaseException, path: Path) -> str:
    """Return the text for a file that did not open, after a check of the path. Touches the disk."""
    parent = path.absolute().parent
    if path.is_dir():
        return "it is a directory; name a file in it"
    if not parent.exists():
        return f"there is no directory {parent}; make it first"
    if not parent.is_dir():
        return f"{parent} is not a directory"
    return explain(error)
