"""`EngineStore`: records of commands that run once, on the engine of their hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from telex.engines.contract.records import Record
from telex.once.store import OnceTransaction
from telex.runtime import Runtime
from telex.topics.transaction import engine_of


class EngineStore:
    """A `telex.once.OnceStore` that uses the records of a hub's engine. Raises `Misuse` when the engine has none."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._records = runtime.records("once=True (or give store=)")
        # attributes instead of methods: a method would cost as much as the memory engine's dictionary
        self.get: Any = self._records.get
        self.put: Any = self._records.put
        self.peek: Callable[[str, str], Record | None] | None = getattr(self._records, "peek", None)

    async def open(self) -> None:
        """Do nothing: the hub opens the engine."""

    async def close(self) -> None:
        """Do nothing: the hub closes the engine."""

    async def delete(self, bucket: str, key: str, revision: int) -> bool:
        """Delete a record if its revision is still ``revision``. Return true when it was deleted."""
        return await self._records.put(bucket, key, None, revision) is not None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[OnceTransaction]:
        """Enter a transaction of the engine. Its ``connection`` is a `telex.Transaction`."""
        async with self._runtime.transaction() as tx:
            yield EngineOnceTransaction(tx)


class EngineOnceTransaction:
    """A `telex.once.OnceTransaction` on a `telex.Transaction`."""

    def __init__(self, tx: Any) -> None:
        self.connection: Any = tx

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None) -> int | None:
        """Write a record when the transaction commits; see `telex.engines.Records.put`."""
        number: int | None = await engine_of(self.connection).put(bucket, key, value, revision, expires)
        return number
