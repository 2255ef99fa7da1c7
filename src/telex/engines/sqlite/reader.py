"""`Reader`: the thread that reads, with a connection of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from telex.engines.sqlite import files, problems
from telex.engines.sqlite.address import Address
from telex.errors import ConnectFailed, EngineFailed, TelexError

Function = Callable[[sqlite3.Connection], Any]


class Reader:
    """Calls functions one after the other, each in one read transaction."""

    def __init__(
        self, address: Address, ended: Callable[[BaseException | None], None], post: Callable[..., None]
    ) -> None:
        self._address = address
        self._ended = ended
        self._post = post
        self._inbox: SimpleQueue[tuple[Function, asyncio.Future[Any]] | None] = SimpleQueue()
        self.thread: threading.Thread = threading.Thread(target=self._run, name="telex-sqlite-reader")

    def put(self, function: Function, future: asyncio.Future[Any]) -> None:
        """One more to call. From the event loop; never waits."""
        self._inbox.put((function, future))

    def close(self) -> None:
        """End after what was put before."""
        self._inbox.put(None)

    def _run(self) -> None:
        try:
            connection = files.reading(self._address)
        except sqlite3.Error as error:
            self._post(self._ended, ConnectFailed(self._address.url, problems.explain(error)))
            return
        try:
            while (job := self._inbox.get()) is not None:
                function, future = job
                if not future.cancelled():
                    self._post(_settle, future, *self._call(connection, function))
        finally:
            connection.close()
        self._post(self._ended, None)

    def _call(self, connection: sqlite3.Connection, function: Function) -> tuple[Any, BaseException | None]:
        try:
            connection.execute("BEGIN")
            try:
                return function(connection), None
            finally:
                connection.execute("ROLLBACK")
        except TelexError as error:
            return None, error
        except sqlite3.Error as error:
            return None, EngineFailed(f"reading {self._address.path}", problems.explain(error))
        except Exception as error:  # noqa: BLE001  # it goes to the caller
            return None, error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
