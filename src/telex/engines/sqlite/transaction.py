"""`SQLiteTransaction`: a transaction of the file; see `telex.engines.contract.store.EngineTransaction`."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from telex.engines import forms
from telex.engines.sqlite import lags, records, rows, settling
from telex.engines.sqlite.session import Dropped, Op, TransactionSession

if TYPE_CHECKING:
    from typing import Self

    from telex.engines.contract.groups import Settlement
    from telex.engines.sqlite.client import FileClient
    from telex.engines.sqlite.ledger import Ledger
    from telex.message import Draft, Message

R = TypeVar("R")


class SQLiteTransaction:
    """A transaction that has the file's write lock while it is open, at most ``seconds``."""

    def __init__(self, client: FileClient, seconds: float, groups: object) -> None:
        self.blocks: object = groups
        self._client = client
        self._seconds = seconds
        self._session: TransactionSession | None = None
        self._stirred: list[str] = []  # patterns with messages to claim after the commit

    async def __aenter__(self) -> Self:
        self._session = session = TransactionSession(self._client.loop, self._client.post, self._seconds)
        self._client.put(session)
        try:
            await session.entered
        except BaseException:
            session.drop()
            raise
        self._client.lent = self
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session = self._session
        if session is None:
            raise AssertionError("a transaction is entered first")
        try:
            if kind is None:
                session.put(Op(None, None, commit=True))
                await asyncio.shield(session.future)
                for pattern in self._stirred:
                    self._client.fetches.stir(pattern)
                return
            session.drop()
            with suppress(Dropped, Exception):  # the caller gets the error already
                await asyncio.shield(session.future)
        finally:
            if self._client.lent is self:
                self._client.lent = None

    async def append(self, draft: Draft) -> Message[Any]:
        """Store a message when the transaction commits."""
        form = forms.encode(draft, rows.LARGEST)

        def add(ledger: Ledger) -> Any:
            return ledger.add((draft,), (form,), time())[0]

        kept = await self._do(add, users=False)
        return self._client.message(kept) if type(kept) is tuple else kept

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """Set a record when the transaction commits."""
        number: int | None = await self._do(
            lambda ledger: records.put(ledger.connection, bucket, key, value, revision, expires, time()), users=False
        )
        return number

    async def settle(self, group: str, pattern: str, settlement: Settlement) -> bool:
        """Settle a delivery when the transaction commits."""
        clock = self._client.clock

        def settle(ledger: Ledger) -> settling.Settled:
            found = lags.find(ledger.connection, group, pattern)
            if found is None:
                return settling.Settled([False])
            return settling.settle(ledger.connection, found, (settlement,), clock.now(), time())

        settled: settling.Settled = await self._do(settle, users=False)
        if settled.stirs:
            self._stirred.append(pattern)
        return settled.won[0]

    async def run(self, function: Callable[[Any], R]) -> R:
        """Call ``function(connection)`` in the writing thread, and return its result."""

        result: R = await self._do(lambda ledger: function(ledger.connection), users=True)
        return result

    async def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Execute one statement, and return its rows."""

        if type(parameters) is tuple or type(parameters) is list:
            parameters = named(sql, parameters)

        def execute(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(sql, parameters).fetchall()

        return await self.run(execute)

    async def _do(self, step: Callable[[Ledger], Any], *, users: bool) -> Any:
        if self._session is None:
            raise AssertionError("a transaction is entered first")
        future: asyncio.Future[Any] = self._client.loop.create_future()
        self._session.put(Op(step, future, users=users))
        return await future


def named(sql: str, parameters: Sequence[object]) -> Sequence[object] | Mapping[str, object]:
    """Return the values of numbered parameters by name: Python 3.12.0 to 3.12.3 warn about a sequence."""
    numbers = re.findall(r"\?(\d*)", sql)
    if not numbers or "" in numbers:
        return parameters
    return {str(number): value for number, value in enumerate(parameters, 1)}
