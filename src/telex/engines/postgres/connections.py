"""Connections to the server: opening one, and the pool for single statements and transactions."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from psycopg import AsyncConnection, Error, OperationalError, waiting
from psycopg.abc import PQGen
from psycopg.errors import CancellationTimeout
from psycopg.pq import TransactionStatus

from telex.engines.postgres.address import ServerAddress
from telex.engines.postgres.arrays import register

RV = TypeVar("RV")
CONNECT_SECONDS = "10"
"""Seconds that one attempt to connect may take, unless the URL has connect_timeout."""
WAKE_SECONDS = 1.0
"""The seconds between two checks by psycopg of its socket, also without an event."""
CANCEL_SECONDS = 1.0
"""The most seconds for the request to cancel a statement of a program's transaction."""
RESET_SECONDS = 5.0
"""The seconds after which a connection whose session is not reset is closed."""
ISOLATION = "read committed"
"""The isolation of transactions: a writer that has waited for the lock has to see what the one before has stored."""
_SET = f"""SELECT name, set_config(name, value, false) FROM pg_settings JOIN (VALUES
    ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '30000'), ('default_transaction_isolation', '{ISOLATION}')) AS wanted (name, value)
    USING (name) WHERE source = 'default' OR name = 'default_transaction_isolation'""".encode()
"""Sets that isolation. Lets the server end connections of dead clients, unless an administrator has set otherwise."""

_RESET = """CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; {sets} UNLISTEN *;
    SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES"""
"""Removes the state that a program's statements have left in a session, in one round trip. It keeps the settings of
`_SET`, and the prepared statements, which psycopg uses again.
"""


class ServerConnection(AsyncConnection[tuple[Any, ...]]):
    """A connection that is closed at once when a task that waits for it is cancelled.

    psycopg would ask the server to cancel the statement and wait for the answer, which takes seconds if the server is
    unreachable. In a program's transaction it does so, since the program's statements may be long.
    """

    lent: bool = False
    """True while a program's transaction uses it."""
    touched: bool = False
    """True when the program has executed statements, which may have changed the session."""
    reset: bytes = b""
    """The SQL that resets the session; empty behind a pooler, where the next statement may have another session."""

    async def wait(self, gen: PQGen[RV], interval: float = WAKE_SECONDS, timeout: float | None = None) -> RV:
        """Wait for a step of a statement."""
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        if self.lent:
            return await super().wait(gen, interval)
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval)
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.pgconn.finish()
            raise

    async def cancel_safe(self, *, timeout: float = CANCEL_SECONDS) -> None:
        """Ask the server to cancel the statement, but not for long: it may be unreachable."""
        try:
            await super().cancel_safe(timeout=min(timeout, CANCEL_SECONDS))
        except CancellationTimeout as error:
            error.__context__ = None  # psycopg's frames have the socket of the request, and psycopg logs the error
            raise error.with_traceback(None) from None

    def drop(self) -> None:
        """Close the connection at once."""
        self.pgconn.finish()

    def hang_up(self) -> None:
        """Shut the socket down, so that the task that waits for the server gets `psycopg.OperationalError`."""
        if not self.closed:
            with suppress(OSError), socket.socket(fileno=os.dup(self.pgconn.socket)) as own:
                own.shutdown(socket.SHUT_RDWR)

    @property
    def is_usable(self) -> bool:
        """Return true when the connection is open and idle, and the server has not ended it."""
        if self.closed or self.pgconn.transaction_status != TransactionStatus.IDLE:
            return False
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        if poll.poll(0):
            try:
                self.pgconn.consume_input()
            except OperationalError:
                return False
        return not self.closed


async def connect(address: ServerAddress, settings: Mapping[str, str] | None = None) -> ServerConnection:
    """Open a connection. Raises `psycopg.Error`, `TimeoutError`.

    When this process's machine disappears, the server ends the connection within half a minute, unless its own settings
    say otherwise: with the system's defaults an open transaction would hold its locks for two hours.
    """
    given: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, **(settings or address.settings)}
    threshold = None if address.pooled else 0
    try:
        connection = await ServerConnection.connect(autocommit=True, prepare_threshold=threshold, **given)
    except asyncio.CancelledError as error:
        # psycopg's frames have the socket, and would keep it open as long as the error exists.
        error.__context__ = None
        raise error.with_traceback(None) from None
    register(connection)
    if not address.pooled:
        try:
            async with asyncio.timeout(float(CONNECT_SECONDS)):
                found = await (await connection.execute(_SET)).fetchall()
        except BaseException:
            connection.drop()
            raise
        sets = " ".join(f"SET {name} = '{value}';" for name, value in found)
        connection.reset = _RESET.format(sets=sets).encode()
    return connection


class ConnectionPool:
    """A bounded number of connections. A user returns its connection; a broken connection is closed.

    Transactions of the program have one connection each while they are open, and may not take the last ones: calls
    inside of them may need another.
    """

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._idle: list[ServerConnection] = []
        self._lent: set[ServerConnection] = set()
        self._free = asyncio.Semaphore(address.connections)
        self._for_programs = asyncio.Semaphore(max(1, address.connections - max(1, address.connections // 4)))
        self._closed = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[ServerConnection]:
        """Enter a connection for one statement."""
        async with self._free:
            connection = await self._take()
            try:
                yield connection
            finally:
                self._give(connection)

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[ServerConnection]:
        """Enter a connection for a transaction of the program."""
        async with self._for_programs, self.one() as connection:
            connection.lent = True
            self._lent.add(connection)
            try:
                yield connection
                if connection.touched and connection.reset and not connection.closed:
                    await self._reset(connection)
            finally:
                connection.lent = False
                self._lent.discard(connection)

    async def _reset(self, connection: ServerConnection) -> None:
        """Reset the session of a connection, which is dropped when that fails."""
        try:
            async with asyncio.timeout(RESET_SECONDS):
                await connection.execute(connection.reset, prepare=False)
            connection.touched = False
        except (Error, TimeoutError):
            connection.drop()

    async def _take(self) -> ServerConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.drop()
        return await connect(self._address)

    def _give(self, connection: ServerConnection) -> None:
        if self._closed or connection.closed or connection.pgconn.transaction_status != TransactionStatus.IDLE:
            connection.drop()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections; used ones are closed when they are returned."""
        self._closed = True
        while self._idle:
            self._idle.pop().drop()

    def hang_up(self) -> None:
        """End the connections of transactions of the program, whatever they wait for."""
        for connection in self._lent:
            connection.hang_up()

    def forget(self) -> None:
        """Drop the connections in a forked process: they belong to the parent."""
        self._closed = True
        self._idle = []
