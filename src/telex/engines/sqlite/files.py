"""Opening connections. These functions touch the disk, and run in the threads that own the connections."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

from telex.engines.sqlite import problems, schema
from telex.engines.sqlite.address import FileAddress
from telex.engines.sqlite.clock import Clock
from telex.engines.sqlite.connection import GuardedConnection
from telex.errors import ConnectFailed
from telex.process.forks import FILE as FORKED
from telex.process.forks import FORKS

RETRY = 0.001


class Place:
    """The files of an open database: the file, its log and the index of the log. When other files take their names,
    SQLite continues with the open ones, and all its writes are lost.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._names = (path, f"{path}-wal", f"{path}-shm")
        self._files = list(map(identity, self._names))

    def check(self) -> None:
        """Raise `problems.Replaced` unless all names still belong to the same files."""
        if list(map(identity, self._names)) != self._files:
            raise problems.Replaced(self._path)


def identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of a file, or None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # called after every commit
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def never() -> bool:
    """Return false: `persist` is not interrupted."""
    return False


def persist(
    connection: sqlite3.Connection, sql: str, limit: float, hurry: Callable[[], bool] = never
) -> sqlite3.Cursor:
    """Execute ``sql``, and try again for ``limit`` seconds while another process has the file locked.

    SQLite's own waiting sleeps for up to a tenth of a second; here it is a millisecond, since locks are short. When
    ``hurry`` returns true, there are no more tries.
    """
    end = monotonic() + limit
    while True:
        try:
            return connection.execute(sql)
        except sqlite3.OperationalError as error:
            if not problems.is_busy(error) or monotonic() >= end or hurry():
                raise
        sleep(RETRY)


def writing(address: FileAddress, clock: Clock | None = None) -> GuardedConnection:
    """Return the writing connection. Create the file and its tables if they do not exist, and join ``clock``. Raises
    `ConnectFailed`.
    """
    path = Path(address.path)
    connection: GuardedConnection | None = None
    try:
        if identity(address.path) in FORKS.files:
            raise schema.NotOurs(FORKED)
        connection = sqlite3.connect(
            path, timeout=address.busy, isolation_level=None, factory=GuardedConnection, cached_statements=256
        )
        _make(connection, address, clock)
    except schema.NotOurs as error:
        problem = str(error)
    except sqlite3.Error as error:
        problem = problems.explain_open(error, path)
    else:
        return connection
    if connection is not None:
        connection.close()
    raise ConnectFailed(address.url, problem)


def _make(connection: sqlite3.Connection, address: FileAddress, clock: Clock | None) -> None:
    schema.version_of(connection)  # before anything is written to a file that may belong to another program
    (mode,) = persist(connection, "PRAGMA journal_mode = WAL", address.busy).fetchone()
    if mode != "wal":
        raise schema.NotOurs(f"its file system has no shared memory (journal mode {mode}); put it on a local disk")
    connection.execute(f"PRAGMA synchronous = {'FULL' if address.full else 'NORMAL'}")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -16384")
    persist(connection, "BEGIN IMMEDIATE", address.busy)
    try:
        schema.prepare(connection)
        if clock is not None:
            clock.join(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    connection.execute("PRAGMA busy_timeout = 0")  # from now on `persist` waits


def reading(address: FileAddress) -> sqlite3.Connection:
    """Return a connection that only reads."""
    connection = sqlite3.connect(address.path, timeout=address.busy, isolation_level=None, cached_statements=256)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -16384")
    return connection
