"""`Reader`: the thread that reads, with a connection of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from telex.engines.sqlite import files, problems
from telex.engines.sqlite.address import FileAddress
from telex.errors import TelexError

Function = Callable[[sqlite3.Connection], Any]
Asked = tuple[Function, asyncio.Future[Any]]


class Told:
    """The callbacks of the thread; `FileClient` handles them in the event loop."""

    def __init__(
        self,
        ended: Callable[[BaseException | None], None],
        answered: Callable[[asyncio.Future[Any], Any, BaseException | None], None],
        post: Callable[..., None],
    ) -> None:
        self.ended: Callable[[BaseException | None], None] = ended
        self.answered: Callable[[asyncio.Future[Any], Any, BaseException | None], None] = answered
        self.post: Callable[..., None] = post


class Reader:
    """The reading thread: it calls functions one after the other, each in one read transaction."""

    def __init__(self, address: FileAddress, told: Told) -> None:
        self._address = address
        self.events: Told = told
        self._inbox: SimpleQueue[Asked | None] = SimpleQueue()
        self._current: Asked | None = None
        self.thread: threading.Thread = threading.Thread(target=self._run, name="telex-sqlite-reader", daemon=True)

    def put(self, function: Function, future: asyncio.Future[Any]) -> None:
        """Add a function to call. From the event loop; never waits."""
        self._inbox.put((function, future))

    def close(self) -> None:
        """End after the functions that were added before."""
        self._inbox.put(None)

    def left(self) -> list[asyncio.Future[Any]]:
        """Return the futures that will not be answered. From the event loop, after the thread has ended."""
        found = [] if self._current is None else [self._current[1]]
        while not self._inbox.empty():
            job = self._inbox.get_nowait()
            if job is not None:
                found.append(job[1])
        return found

    # -- in the thread

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            connection = files.reading(self._address)
            try:
                self._serve(connection)
            finally:
                connection.close()
        except BaseException as error:  # noqa: BLE001  # any exception is passed to the event loop
            failure = error
        self.events.post(self.events.ended, failure)

    def _serve(self, connection: sqlite3.Connection) -> None:
        while (job := self._inbox.get()) is not None:
            self._current = job
            function, future = job
            if not future.cancelled():
                result, error = self._call(connection, function)
                self.events.post(self.events.answered, future, result, error)
            self._current = None

    def _call(self, connection: sqlite3.Connection, function: Function) -> tuple[Any, BaseException | None]:
        try:
            if connection.in_transaction:  # ending the transaction before has failed
                connection.execute("ROLLBACK")
            connection.execute("BEGIN")
            try:
                return function(connection), None
            finally:
                connection.execute("ROLLBACK")
        except (TelexError, UnicodeEncodeError) as error:  # the latter: a name from the caller is not proper text
            return None, error
        except BaseException as error:  # noqa: BLE001  # the caller gets it, and the thread continues
            return None, problems.failure(f"reading {self._address.path}", error)
