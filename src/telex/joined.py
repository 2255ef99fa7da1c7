"""`JoinedTransaction`: messages that are published when a transaction of the program's own connection commits.

The messages are written to an outbox table in the same database: the transactional outbox (Richardson, "Microservices
Patterns", chapter 3). A hub that is open on the database publishes them shortly after the commit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any

from telex.codec.content import hold
from telex.commands.spec import check_command
from telex.commands.transports.engine import digest_for
from telex.commands.transports.job_records import DIGEST
from telex.commands.transports.worker import GROUP
from telex.durations import Duration
from telex.engines.contract.outbox import Statement, TransactionOutbox
from telex.errors import BadOption
from telex.message import Draft, aware, check_id, check_key, expiring, own_headers
from telex.names import check_published
from telex.observe.headers import Carrier, with_carried

Written = tuple[str, Sequence[Statement]]
"""The id of a message, and the statements that write it."""
Execute = Callable[[str, Mapping[str, object]], Any]
"""Executes one statement on a connection. Returns an awaitable on an asynchronous connection."""
_KINDS = (
    "give an open connection in a transaction of yours: a sqlite3.Connection, a psycopg.Connection or "
    "AsyncConnection, a Session, AsyncSession, Connection or AsyncConnection of SQLAlchemy, or django.db.connection"
)


class OutboxWriter:
    """A builder of the statements that write messages and commands into the outbox."""

    def __init__(
        self, outbox: TransactionOutbox, execute: Execute, clock: Callable[[], float], carrier: Carrier
    ) -> None:
        self._outbox = outbox
        self.execute: Execute = execute
        self._clock = clock
        self._carrier = carrier

    @contextmanager
    def message(
        self,
        topic: str,
        content: object,
        due: float | None,
        id: str | None,
        headers: Mapping[str, str] | None,
        key: str | None,
        ttl: Duration | None = None,
    ) -> Iterator[Written]:
        """Give the id of a message, and the statements that write it, which are executed in its span, if any."""
        name, now = check_published(topic), self._clock()
        if ttl is not None:
            headers = expiring(headers, ttl, now, due)
        with self._written(name, content, due, id, headers, key) as written:
            yield written

    @contextmanager
    def request(self, name: str, content: object, key: str | None) -> Iterator[Written]:
        """Give the id of a command, and the statements that write it, as `message`."""
        topic = f"$command:{check_command(name)}:request"
        headers = None if key is None else {DIGEST: digest_for(content)}
        with self._written(topic, content, None, None, headers, key, GROUP) as written:
            yield written

    @contextmanager
    def _written(
        self,
        topic: str,
        content: object,
        due: float | None,
        id: str | None,
        headers: Mapping[str, str] | None,
        key: str | None,
        group: str | None = None,
    ) -> Iterator[Written]:
        instrument = self._carrier.instrument
        sending = None if instrument is None else instrument.sending(topic, headers)
        with nullcontext() if sending is None else sending:
            if sending is not None:
                headers = sending.headers
            elif self._carrier.active:
                headers = with_carried(headers)
            data, checked = hold(content, topic), None if id is None else check_id(id)
            draft = Draft(content, topic, checked, self._clock(), own_headers(headers), None, check_key(key), data)
            draft = draft.with_id()
            if sending is not None:
                sending.sent(str(draft.id))
            yield str(draft.id), self._outbox.write(draft, due, group)


class JoinedTransaction:
    """The result of ``hub.join(connection)`` for a synchronous connection. The hub need not be open, and no event loop
    runs.

    Messages are published when the connection's transaction commits, and never when it rolls back. After an exception
    of the connection, which is raised, the database decides about the transaction.
    """

    def __init__(self, writer: OutboxWriter) -> None:
        self._writer = writer

    def publish(
        self,
        topic: str,
        content: object,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Duration | None = None,
    ) -> str:
        """Write a message into the outbox, and return its id. Arguments as for `telex.Topic.publish`; the time of
        ``ttl`` begins now.

        Raises `ContentError`, `BadOption`, `BadName`, and the exceptions of the connection.
        """
        with self._writer.message(topic, content, None, id, headers, key, ttl) as written:
            return self._write(written)

    def publish_at(
        self,
        topic: str,
        content: object,
        when: datetime,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Duration | None = None,
    ) -> str:
        """Write a message, as `publish`, that is published at ``when``, an aware datetime, if that is after the
        commit.
        """
        due = aware(when, "when").timestamp()
        with self._writer.message(topic, content, due, id, headers, key, ttl) as written:
            return self._write(written)

    def send(self, name: str, content: object = None, *, key: str | None = None) -> str:
        """Write a command into the outbox, and return its id. ``hub.follow(name)`` gives its outcome.

        Raises as `publish`.
        """
        with self._writer.request(name, content, key) as written:
            return self._write(written)

    def _write(self, written: Written) -> str:
        id, statements = written
        for sql, values in statements:
            self._writer.execute(sql, values)
        return id


class AsyncJoinedTransaction:
    """The result of ``hub.join(connection)`` for an asynchronous connection: a `JoinedTransaction` with coroutines."""

    def __init__(self, writer: OutboxWriter) -> None:
        self._writer = writer

    async def publish(
        self,
        topic: str,
        content: object,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Duration | None = None,
    ) -> str:
        """Write a message into the outbox; see `JoinedTransaction.publish`."""
        with self._writer.message(topic, content, None, id, headers, key, ttl) as written:
            return await self._write(written)

    async def publish_at(
        self,
        topic: str,
        content: object,
        when: datetime,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Duration | None = None,
    ) -> str:
        """Write a message that is published at ``when``; see `JoinedTransaction.publish_at`."""
        due = aware(when, "when").timestamp()
        with self._writer.message(topic, content, due, id, headers, key, ttl) as written:
            return await self._write(written)

    async def send(self, name: str, content: object = None, *, key: str | None = None) -> str:
        """Write a command into the outbox; see `JoinedTransaction.send`."""
        with self._writer.request(name, content, key) as written:
            return await self._write(written)

    async def _write(self, written: tuple[str, Sequence[Statement]]) -> str:
        id, statements = written
        for sql, values in statements:
            await self._writer.execute(sql, values)
        return id


def join(
    outbox: TransactionOutbox, connection: object, clock: Callable[[], float], carrier: Carrier
) -> JoinedTransaction | AsyncJoinedTransaction:
    """Return an object that writes messages into ``outbox`` with a connection of the program. Raises `BadOption`."""
    for library, adapt in _ADAPTERS.items():
        if any(base.__module__.partition(".")[0] == library for base in type(connection).__mro__):
            execute, is_async = adapt(connection)
            writer = OutboxWriter(outbox, execute, clock, carrier)
            return AsyncJoinedTransaction(writer) if is_async else JoinedTransaction(writer)
    raise BadOption("connection", connection, _KINDS)


def _named(sql: str, style: str) -> str:
    """Return a statement with its parameters in the style of a library."""
    names = ("due", "topic", "id", "time", "type", "key", "headers", "content", "data", "size", "group")
    return sql.format_map({name: style.format(name) for name in names})


def _sqlite3(connection: Any) -> tuple[Execute, bool]:
    # Python 3.12 and newer: with autocommit=True each statement is a transaction by itself.
    commits = connection.isolation_level is None or getattr(connection, "autocommit", None) is True
    if not connection.in_transaction and commits:
        raise BadOption("connection", connection, "begin a transaction first: connection.execute('BEGIN IMMEDIATE')")
    return lambda sql, values: connection.execute(_named(sql, ":{}"), values), False


def _psycopg(connection: Any) -> tuple[Execute, bool]:
    if connection.autocommit and connection.info.transaction_status == 0:
        raise BadOption("connection", connection, "begin a transaction first: with connection.transaction(): ...")
    is_async = inspect.iscoroutinefunction(connection.execute)
    return lambda sql, values: connection.execute(_named(sql, "%({})s"), values), is_async


def _sqlalchemy(connection: Any) -> tuple[Execute, bool]:
    from sqlalchemy import text

    is_session = hasattr(connection, "get_bind")

    def execute(sql: str, values: Mapping[str, object]) -> object:
        _check_transaction(connection.connection() if is_session else connection)
        return connection.execute(text(_named(sql, ":{}")), values)

    async def execute_async(sql: str, values: Mapping[str, object]) -> None:
        own = await connection.connection() if is_session else connection
        _check_transaction(own.sync_connection)
        await connection.execute(text(_named(sql, ":{}")), values)

    is_async = inspect.iscoroutinefunction(connection.execute)
    return (execute_async if is_async else execute), is_async


def _check_transaction(connection: Any) -> None:
    """Raise `BadOption` for a connection of SQLAlchemy that commits each statement. It is known when the connection is
    used: until then a session has none.
    """
    used = connection.connection
    commits = connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
    if connection.dialect.name == "sqlite":  # a program may send BEGIN itself
        commits = used.driver_connection.isolation_level is None and not used.driver_connection.in_transaction
    if commits or getattr(used.dbapi_connection, "autocommit", None) is True:
        fix = "it commits each statement: leave out isolation_level='AUTOCOMMIT' of this connection or its engine"
        raise BadOption("connection", connection, fix)


def _django(connection: Any) -> tuple[Execute, bool]:
    if not connection.in_atomic_block:
        raise BadOption("connection", connection, "open a transaction first: with transaction.atomic(): ...")

    def execute(sql: str, values: Mapping[str, object]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_named(sql, "%({})s"), values)

    return execute, False


_ADAPTERS: Mapping[str, Callable[[Any], tuple[Execute, bool]]] = {
    "sqlite3": _sqlite3,
    "psycopg": _psycopg,
    "sqlalchemy": _sqlalchemy,
    "django": _django,
}
