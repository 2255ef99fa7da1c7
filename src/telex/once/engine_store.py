"""`EngineStore`: the records of commands that run once, on the engine of their hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from telex.engines.contract.records import Record
from telex.once.store import OnceTransaction
from telex.topics.transaction import engine_of

if TYPE_CHECKING:
    from telex.runtime import Runtime


class GetRecord(Protocol):
    """The type of `telex.engines.Records.get`."""

    def __call__(self, bucket: str, key: str) -> Coroutine[Any, Any, Record | None]: ...


class PutRecord(Protocol):
    """The type of `telex.engines.Records.put`."""

    def __call__(
        self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None
    ) -> Coroutine[Any, Any, int | None]: ...


class EngineStore:
    """A `telex.once.OnceStore` on the records of a hub's engine. Raises `BadOption` when the engine has none."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._records = runtime.records("once=True (or give store=)")
        self.get: GetRecord = self._records.get  # without a method in between: that costs as much as a dictionary
        self.put: PutRecord = self._records.put
        self.peek: Callable[[str, str], Record | None] | None = getattr(self._records, "peek", None)

    async def open(self) -> None:
        """Do nothing: the hub opens the engine."""

    async def close(self) -> None:
        """Do nothing: the hub closes the engine."""

    async def delete(self, bucket: str, key: str, revision: int) -> bool:
        """See `telex.engines.Records`."""
        return await self._records.delete(bucket, key, revision)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[OnceTransaction]:
        """Enter a transaction of the engine; its connection is a `telex.Transaction`."""
        async with self._runtime.transaction() as tx:
            yield EngineOnceTransaction(tx)


class EngineOnceTransaction:
    """See `telex.once.OnceTransaction`."""

    def __init__(self, tx: Any) -> None:
        self.connection: Any = tx

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None) -> int | None:
        """As `Records.put`, when the transaction commits."""
        number: int | None = await engine_of(self.connection).put(bucket, key, value, revision, expires)
        return number
