"""`EngineStore`: the records of commands that run once, on the engine of their hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from telex.engines.contract.records import Record
from telex.errors import BadOption
from telex.once.store import OnceTransaction
from telex.topics.transaction import engine_of

if TYPE_CHECKING:
    from telex.runtime import Runtime


class Get(Protocol):
    """See `telex.engines.Records`."""

    def __call__(self, bucket: str, key: str) -> Coroutine[Any, Any, Record | None]: ...


class Put(Protocol):
    """See `telex.engines.Records`."""

    def __call__(
        self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None
    ) -> Coroutine[Any, Any, int | None]: ...


class EngineStore:
    """A `telex.once.OnceStore` on the records of a hub's engine."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        if runtime.engine.records is None:
            raise BadOption("once", True, "the engine of this hub has no records: give store=")
        self._records = runtime.engine.records
        # What stands between costs as much as a dictionary does.
        self.get: Get = self._records.get
        self.put: Put = self._records.put
        self.peek: Callable[[str, str], Record | None] | None = getattr(self._records, "peek", None)

    async def open(self) -> None:
        """It is open with its hub."""

    async def close(self) -> None:
        """It is closed with its hub."""

    async def delete(self, bucket: str, key: str, revision: int) -> bool:
        """See `telex.engines.Records`."""
        return await self._records.delete(bucket, key, revision)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[OnceTransaction]:
        """A transaction of the engine; its connection is a `telex.Transaction`."""
        async with self._runtime.transaction() as tx:
            yield EngineOnceTransaction(tx)


class EngineOnceTransaction:
    """See `telex.once.OnceTransaction`."""

    def __init__(self, tx: Any) -> None:
        self.connection: Any = tx

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None) -> int | None:
        """As `Records.put`, when it commits."""
        number: int | None = await engine_of(self.connection).put(bucket, key, value, revision, expires)
        return number
