"""`PostgresStore`: the records of commands that run once, in the PostgreSQL database that their handlers write to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg.conninfo
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

from telex.checks import whole
from telex.durations import Duration, seconds
from telex.engines.contract.records import Record
from telex.engines.postgres import problems
from telex.engines.postgres.address import NAME
from telex.engines.postgres.record_sql import COLUMNS, DELETE, GET, INDEX, INSERT, SWEEP, UPDATE, with_parameters
from telex.errors import BadOption, EngineFailed

Connection = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]
R = TypeVar("R")
RECORD_CONNECTIONS = 4
"""The maximal number of connections for records. Handlers have connections of their own, so that leases are renewed in
time.
"""

_THERE = "SELECT to_regclass('<table>') IS NOT NULL AND to_regclass('<sequence>') IS NOT NULL"
_MAKE = (
    f"CREATE TABLE IF NOT EXISTS <table> {COLUMNS}",
    "CREATE SEQUENCE IF NOT EXISTS <sequence>",
    f"CREATE INDEX IF NOT EXISTS <table>_expires {INDEX}",
)


class PostgresStore:
    """A `telex.once.OnceStore` in a table of a PostgreSQL database, for ``@hub.command(..., once=True, store=...)``.

    A handler with an argument ``tx`` gets a `psycopg.AsyncConnection` in a transaction. Its writes and the record of
    its outcome commit together, so its effects happen exactly once. The handler neither commits nor rolls back.

    ``conninfo`` is a libpq connection string or URL. ``table`` is created if it does not exist; a role without the
    right to create it uses the existing table. ``connections`` is the maximal number of open connections for handlers
    with ``tx``, each of which has one while it runs; records have 4 more. ``timeout`` bounds connecting and each step,
    with the wait for a connection. ``pgbouncer=True`` is for a server behind PgBouncer in transaction mode, or a pooler
    like it: no statement is prepared. One store may serve several commands. Needs the extra ``telex[postgres]``.

    A connection that was cut while it was idle is replaced.

    Raises `BadOption`, `ModuleNotFoundError`. Its methods raise `EngineFailed` when the server cannot be reached.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        table: str = "telex_once",
        connections: int = 20,
        timeout: Duration = 10.0,
        pgbouncer: bool = False,
    ) -> None:
        if not isinstance(table, str) or not NAME.fullmatch(table):
            fix = "it must be a name of at most 40 lower-case letters, digits and _ that does not begin with a digit"
            raise BadOption("table", table, fix)
        whole(connections, "connections", "it must be at least 1, the number of connections that may be open at once")
        if not isinstance(pgbouncer, bool):
            raise BadOption(
                "pgbouncer", pgbouncer, "it must be True for a server behind a pooler in transaction mode, else False"
            )
        try:
            parts = psycopg.conninfo.conninfo_to_dict(conninfo)
        except (psycopg.ProgrammingError, AttributeError):  # of wrong text, or no text
            shape = "it must be a connection string of libpq, such as 'postgresql://user@host/database'"
            raise BadOption("conninfo", "...", shape) from None
        # without the password
        self._where = f"postgresql://{parts.get('host') or 'localhost'}/{parts.get('dbname') or ''}"
        self._conninfo = conninfo
        self._table = table
        self._connections = connections
        self._options: dict[str, Any] = {"prepare_threshold": None} if pgbouncer else {}
        self._timeout = seconds(timeout, "timeout")
        self._pool: Pool | None = None  # for records
        self._for_handlers: Pool | None = None
        self._opened = 0
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Connect, and create the table if it does not exist. The store stays open until `close` was called as often as
        `open`.
        """
        async with self._turn:
            if self._pool is None:
                self._pool, self._for_handlers = await self._connect()
            self._opened += 1

    def _new_pool(self, least: int, most: int, *, checks: bool) -> Pool:
        # A record is read again after its connection was cut. A handler cannot run again, so its connection is checked
        # first.
        check = AsyncConnectionPool.check_connection if checks else None

        return AsyncConnectionPool(
            self._conninfo,
            min_size=least,
            max_size=most,
            timeout=self._timeout,
            open=False,
            kwargs={"autocommit": True, "connect_timeout": max(2, round(self._timeout)), **self._options},
            check=check,
            name="telex",
        )

    async def _connect(self) -> tuple[Pool, Pool]:
        pool = self._new_pool(min(2, RECORD_CONNECTIONS), RECORD_CONNECTIONS, checks=False)
        for_handlers = self._new_pool(0, self._connections, checks=True)
        try:
            async with asyncio.timeout(self._timeout):
                # One attempt shows the error; the pool would try again until its timeout, and report only the timeout.
                connecting = psycopg.AsyncConnection.connect(self._conninfo, autocommit=True, **self._options)
                async with await connecting as connection:
                    await self._prepare(connection)
                await pool.open(wait=True, timeout=self._timeout)
                await for_handlers.open()
        except BaseException as error:
            await pool.close()
            await for_handlers.close()
            if isinstance(error, (psycopg.Error, TimeoutError)):
                raise EngineFailed(f"connecting to {self._where}", _explained(error)) from None
            raise
        return pool, for_handlers

    async def _prepare(self, connection: Connection) -> None:
        row = await (await connection.execute(self._sql(_THERE))).fetchone()
        if row is not None and row[0]:
            return
        try:
            await self._make_table(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            table = self._table
            fix = (
                f"{_explained(error)}; open the store once with a role that may create the table, then GRANT SELECT, "
                f"INSERT, UPDATE, DELETE ON {table} and GRANT USAGE ON SEQUENCE {table}_revision to this one"
            )
            raise EngineFailed(f"making the table {table} on {self._where}", fix) from None

    async def _make_table(self, connection: Connection) -> None:
        async with connection.transaction():
            # "IF NOT EXISTS" is not safe when two sessions create the table at the same time.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self._table,))
            for statement in _MAKE:
                await connection.execute(self._sql(statement))

    async def close(self) -> None:
        """Close the connections, after as many calls as `open` had. Further calls do nothing."""
        async with self._turn:
            self._opened = max(0, self._opened - 1)
            if self._opened or self._pool is None:
                return
            pools = (self._pool, self._for_handlers)
            self._pool = self._for_handlers = None
            for pool in pools:
                if pool is not None:
                    await pool.close(timeout=self._timeout)

    # -- records

    async def get(self, bucket: str, key: str) -> Record | None:
        """Return a record, or None when there is none."""
        sql = self._sql(GET)

        async def get(connection: Connection) -> Record | None:
            row = await (await connection.execute(sql, (bucket, key))).fetchone()
            return None if row is None else Record(bytes(row[0]), row[1])

        return await self._do("reading a record", get)

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """Write a record if its revision is still ``revision`` (0: if there is none). Return the new revision, or None
        when another writer was first.
        """

        async def put(connection: Connection) -> int | None:
            if expires is not None:
                await connection.execute(self._sql(SWEEP), (bucket, key))
            return await self._put(connection, bucket, key, value, revision, expires)

        return await self._do("putting a record", put)

    async def _put(
        self, connection: Connection, bucket: str, key: str, value: bytes, revision: int, expires: float | None
    ) -> int | None:
        # One statement compares and sets: a concurrent one waits, and then finds the record changed.
        cursor = connection.cursor(row_factory=tuple_row)  # the handler may have set another
        if revision:
            await cursor.execute(self._sql(UPDATE), (value, expires, bucket, key, revision))
        else:
            await cursor.execute(self._sql(INSERT), (bucket, key, value, expires))
        row = await cursor.fetchone()
        return None if row is None else int(row[0])

    async def delete(self, bucket: str, key: str, revision: int) -> bool:
        """Delete a record if its revision is still ``revision``. Return true when it was deleted."""
        sql = self._sql(DELETE)

        async def delete(connection: Connection) -> bool:
            return (await connection.execute(sql, (bucket, key, revision))).rowcount > 0

        return await self._do("deleting a record", delete)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """Enter a transaction whose ``connection`` the handler gets. Its statements raise errors of psycopg."""
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # this one
        asked = task.cancelling()
        try:
            pool = self._opened_pool(self._for_handlers)
            connection = await pool.getconn(timeout=self._timeout)
        except (psycopg.Error, TimeoutError) as error:
            raise EngineFailed(f"a transaction on {self._where}", _explained(error)) from None
        kept = connection.row_factory, connection.cursor_factory
        try:
            async with connection.transaction():
                yield PostgresTransaction(connection, self._put)
                if task.cancelling() > asked:
                    # In Python 3.11, asyncio.wait_for, which psycopg uses, loses a cancellation that arrives with the
                    # answer (gh-86296). A cancelled transaction is not committed.
                    raise asyncio.CancelledError
        finally:
            connection.row_factory, connection.cursor_factory = kept  # for the next handler
            await pool.putconn(connection)

    async def _do(self, what: str, step: Callable[[Connection], Awaitable[R]]) -> R:
        pool = self._opened_pool(self._pool)
        try:
            async with asyncio.timeout(self._timeout):
                for _ in range(RECORD_CONNECTIONS):
                    async with pool.connection() as connection:
                        try:
                            return await step(connection)
                        except psycopg.OperationalError:
                            # An idle connection may have been cut. After a put, reading shows whether the record was
                            # written.
                            if not connection.closed:
                                raise
                async with pool.connection() as connection:  # all idle connections were cut: the pool makes a new one
                    return await step(connection)
        except (psycopg.Error, TimeoutError) as error:
            raise EngineFailed(f"{what} on {self._where}", _explained(error)) from None

    def _opened_pool(self, pool: Pool | None) -> Pool:
        if pool is None:
            raise EngineFailed(f"use of the store on {self._where}", "it is not open; a hub opens it when it opens")
        return pool

    def _sql(self, statement: str) -> bytes:
        return with_parameters(statement, self._table, f"{self._table}_revision")

    def __repr__(self) -> str:
        return f"<PostgresStore {self._where}, table {self._table}>"


class PostgresTransaction:
    """A `telex.once.OnceTransaction` on a connection of psycopg."""

    def __init__(self, connection: Connection, put: Callable[..., Awaitable[int | None]]) -> None:
        self._connection = connection
        self._put = put

    @property
    def connection(self) -> object:
        """The `psycopg.AsyncConnection` of the transaction."""
        return self._connection

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None) -> int | None:
        """Write a record when the transaction commits; see `PostgresStore.put`."""
        return await self._put(self._connection, bucket, key, value, revision, expires)


def _explained(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "prepared statement" in text or "bind message" in text:
        return f"{text}; behind PgBouncer in transaction mode give the store pgbouncer=True"
    return problems.explain(error)
