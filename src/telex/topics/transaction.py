"""`Transaction`: messages that are published together or not at all, with other writes in the same database."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from telex.durations import Duration
from telex.engines.contract.store import EnteredTransaction, inside
from telex.errors import BadOption, Closed
from telex.message import Draft, Message, expiring
from telex.process.waiters import within
from telex.topics.connection import EngineConnection
from telex.topics.sending import sent
from telex.topics.topic import Topic, publisher_of

if TYPE_CHECKING:
    from typing import Self

    from telex.engines.contract import Engine, SqlTransaction, store

T = TypeVar("T")
R = TypeVar("R")


class Transaction:
    """A transaction, made by ``hub.transaction()`` and entered with ``async with``. Left without an error it commits,
    and its messages are acknowledged. Left with an error or a cancellation it rolls back, and no reader has seen any of
    them.

    On SQLite it is a transaction of the database file, in which a program may write its own tables with `execute` and
    `run`, in any order with `publish`. It holds the file's write lock until its end, at most 30 seconds, so other
    publishers wait: keep it short. A task inside that publishes by the hub, or begins another transaction, would wait
    for itself, and gets `Misuse` at once; for a child task, which waits, a warning is logged. Subscribers with
    ``block`` or ``fail`` are not asked for room: a full one is closed as slow.
    """

    def __init__(
        self,
        topic: Callable[[str], Topic[Any]],
        publish: Callable[[Draft], object],
        engine: Engine,
        connection: EngineConnection,
        timeout: float | None = None,
    ) -> None:
        self._topic = topic
        self._engine = engine.transaction(publish)
        self._guarantees = engine.guarantees
        self._connection = connection
        self._timeout = timeout
        self._open = False

    async def __aenter__(self) -> Self:
        """Wait until no other transaction is open, and begin. When the call is cancelled or times out, it does not
        begin.

        Raises `Timeout`, `EngineFailed`, `Closed`; `Misuse` inside of another transaction of the same file, for which
        it would wait.
        """
        entering = self._engine.__aenter__()
        await within(self._timeout, "entering the transaction", entering, self._connection)
        self._open = True
        enter_context(self, asyncio.current_task())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        leave_context(self)
        await self._engine.__aexit__(kind, error, trace)

    async def publish(
        self,
        topic: str | Topic[T],
        content: T,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Duration | None = None,
    ) -> Message[T]:
        """Publish a message when the transaction commits, as `Topic.publish`. The time of ``ttl`` begins now. The
        number of the returned message is certain only after the commit.

        Raises `ContentError`, `BadOption`, `BadName`, `Closed`, `EngineFailed`.
        """
        self._check()
        if not isinstance(topic, (str, Topic)):
            raise BadOption("topic", topic, "it must be a topic id, or hub.topic(...)")
        publisher = publisher_of(self._topic(topic) if isinstance(topic, str) else topic)
        if ttl is not None:
            headers = expiring(headers, ttl, publisher.clock())
        return await sent(
            publisher, headers, lambda carry: self._engine.append(publisher.draft(content, id, carry, key))
        )

    async def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Execute one statement of SQL in the transaction, and return its rows.

        Raises the errors of the database. Raises `Misuse` on an engine without SQL, and for a statement that ends the
        transaction or a part of it (COMMIT, SAVEPOINT), leaves the file (ATTACH), sets a pragma, or changes tables of
        telex, whose names begin with ``telex_``.
        """
        return await self._sql().execute(sql, parameters)

    async def run(self, function: Callable[[Any], R]) -> R:
        """Call ``function`` with the engine's connection (a `sqlite3.Connection`) inside the transaction, in the thread
        of the connection, and return its result: for several statements at once. It must neither commit nor roll back,
        and return values instead of cursors, which are closed when it returns. Its registrations, such as SQL
        functions, stay.

        Raises its exceptions; `BadOption` for a coroutine function; `Misuse` as `execute`, when it closes the
        connection or changes a setting of it, and on an engine without a connection.
        """
        self._check()
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise BadOption(
                "function", function, "it must be a sync function of the connection, called in the connection's thread"
            )
        return await self._sql().run(function)

    def _sql(self) -> SqlTransaction:
        self._check()
        self._guarantees.require("sql", "SQL in a transaction")
        return cast("SqlTransaction", self._engine)

    def _check(self) -> None:
        if not self._open:
            raise Closed("this transaction", "it is used inside `async with hub.transaction() as tx:`")


def engine_of(transaction: Transaction) -> store.EngineTransaction:
    """Return the engine's part of a transaction."""
    return transaction._engine


async def publish_held(transaction: Transaction, topic: str, content: object) -> Message[Any]:
    """Publish content that certainly comes back equal from the store, when the transaction commits."""
    transaction._check()
    publisher = publisher_of(transaction._topic(topic))
    return await transaction._engine.append(publisher.draft(content, held=True))


def enter_context(transaction: Transaction, task: asyncio.Task[Any] | None) -> None:
    """Note that ``task``, or for None all code of this context, is inside the transaction, and must not wait for its
    end.
    """
    inside.set((*inside.get(), EnteredTransaction(transaction._engine, task)))


def leave_context(transaction: Transaction) -> None:
    """Note that the code of this context is no longer inside."""
    inside.set(tuple(entered for entered in inside.get() if entered.transaction is not transaction._engine))
