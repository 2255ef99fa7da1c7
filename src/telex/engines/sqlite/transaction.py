"""`SQLiteTransaction`: see `telex.engines.Transaction`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from telex.engines.sqlite import records, rows
from telex.engines.sqlite.session import Dropped, Op, Session

if TYPE_CHECKING:
    from typing import Self

    from telex.engines.sqlite.ledger import Ledger
    from telex.engines.sqlite.runtime import Runtime
    from telex.message import Message

R = TypeVar("R")


class SQLiteTransaction:
    """Has the file's write lock from when it is entered until it is left, at most ``seconds``."""

    def __init__(self, runtime: Runtime, seconds: float) -> None:
        self._runtime = runtime
        self._seconds = seconds
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        self._session = session = Session(self._runtime.loop, self._runtime.post, self._seconds)
        self._runtime.put(session)
        try:
            await asyncio.shield(session.entered)
        except BaseException:
            await self._end(commit=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end(commit=kind is None)

    async def _end(self, *, commit: bool) -> None:
        session = self._session
        if session is None:
            return
        session.put(Op(None, None, commit=commit))
        if commit:
            await asyncio.shield(session.future)
            return
        with suppress(Dropped, Exception):  # what went wrong is on its way to the caller already
            await asyncio.shield(session.future)

    async def append(self, message: Message[Any]) -> Message[Any]:
        """Keep a message when this commits."""
        form = rows.encode(message)

        def add(ledger: Ledger) -> Any:
            return ledger.add((message,), (form,), time())[0]

        kept = await self._do(add, users=False)
        return self._runtime.message(kept) if type(kept) is tuple else kept

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """Set a record when this commits."""
        number: int | None = await self._do(
            lambda ledger: records.put(ledger.connection, bucket, key, value, revision, expires, time()), users=False
        )
        return number

    async def run(self, function: Callable[[Any], R]) -> R:
        """Call ``function(connection)`` in the thread that writes."""

        def step(ledger: Ledger) -> R:
            ledger.flush()
            return function(ledger.connection)

        result: R = await self._do(step, users=True)
        return result

    async def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Execute one statement; its rows."""

        def execute(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(sql, parameters).fetchall()

        return await self.run(execute)

    async def _do(self, step: Callable[[Ledger], Any], *, users: bool) -> Any:
        if self._session is None:
            raise AssertionError("a transaction is entered first")
        future: asyncio.Future[Any] = self._runtime.loop.create_future()
        self._session.put(Op(step, future, users=users))
        return await future
