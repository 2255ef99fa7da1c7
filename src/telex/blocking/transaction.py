"""`BlockingTransaction`: transactions without asyncio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from telex.blocking.thread import HubThread
from telex.blocking.topic import BlockingTopic
from telex.durations import Duration
from telex.message import Message
from telex.topics.transaction import Transaction as AsyncTransaction
from telex.topics.transaction import enter_context, leave_context

T = TypeVar("T")
R = TypeVar("R")


class BlockingTransaction:
    """A `telex.Transaction` of a blocking hub, entered with ``with``. On SQLite it holds the file's write lock until
    its end: keep it short, and publish with its own `publish` while it is open.
    """

    def __init__(self, transaction: AsyncTransaction, thread: HubThread) -> None:
        self._transaction = transaction
        self._thread = thread

    def __enter__(self) -> Self:
        """Begin. Raises the errors of ``async with``."""
        self._thread.wait(self._transaction.__aenter__())
        # for this thread; calls in the hub's thread run in a copy of the context
        enter_context(self._transaction, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or roll back if there is an error."""
        leave_context(self._transaction)
        self._thread.wait(self._transaction.__aexit__(kind, error, trace))

    def publish(
        self,
        topic: str | BlockingTopic[T],
        content: T,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Duration | None = None,
    ) -> Message[T]:
        """Publish when this transaction commits; as ``telex.Transaction.publish``."""
        to = topic.id if isinstance(topic, BlockingTopic) else topic  # the hub has one topic of each id
        return self._thread.wait(self._transaction.publish(to, content, id=id, headers=headers, key=key, ttl=ttl))

    def execute(self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """Execute one statement of SQL in the transaction and return its rows; as ``telex.Transaction.execute``."""
        return self._thread.wait(self._transaction.execute(sql, parameters))

    def run(self, function: Callable[[Any], R]) -> R:
        """Call ``function`` with the engine's connection inside the transaction; as ``telex.Transaction.run``."""
        return self._thread.wait(self._transaction.run(function))
