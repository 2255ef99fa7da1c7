"""`OnceStore`: the protocol of stores of records for commands that run once."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from telex.engines.contract.records import Record
from telex.process.tasks import start_task


class OnceTransaction(Protocol):
    """A transaction of the database that has the records."""

    @property
    def connection(self) -> object:
        """The connection that a handler gets as ``tx``. The handler writes with it, and neither commits nor rolls
        back.
        """

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None) -> int | None:
        """Write a record in the transaction, as `telex.engines.Records.put`. After None, the caller rolls back."""


class OnceStore(Protocol):
    """`telex.engines.Records` with transactions: those of the engine, or of another database.

    Every method raises `EngineFailed` when the store cannot be reached.
    """

    async def open(self) -> None:
        """Connect, and create the table if it does not exist. A hub calls it when it opens."""

    async def close(self) -> None:
        """Close the connections."""

    async def get(self, bucket: str, key: str) -> Record | None:
        """Return a record, or None when there is none."""

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """Write a record if its revision is still ``revision`` (0: if it does not exist). Return the new revision, or
        None when another writer was first. From ``expires`` (seconds since 1970) on the record may be removed."""

    async def delete(self, bucket: str, key: str, revision: int) -> bool:
        """Delete a record if its revision is still ``revision``. Return true when it was deleted."""

    def transaction(self) -> AbstractAsyncContextManager[OnceTransaction]:
        """Enter a transaction. Leaving it without an error commits, and returns when the commit is durable. Leaving it
        with an error or a cancellation rolls back.
        """


class OnceStores:
    """The stores of a hub's commands. A store that several commands share is opened once."""

    def __init__(self) -> None:
        self._opening: dict[int, tuple[OnceStore, asyncio.Task[None]]] = {}

    def open(self, store: OnceStore) -> asyncio.Task[None]:
        """Return the task that opens the store; the first call starts it."""
        if id(store) not in self._opening:
            self._opening[id(store)] = (store, start_task(store.open(), name="telex opens a store"))
        return self._opening[id(store)][1]

    async def opened(self) -> None:
        """Wait until all stores are open. Raises the exception of a store that does not open."""
        await asyncio.gather(*[opening for _, opening in self._opening.values()])

    async def close(self) -> None:
        """Close the opened stores."""
        for store, opening in self._opening.values():
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            if not opening.cancelled() and opening.exception() is None:
                await store.close()
        self._opening.clear()
