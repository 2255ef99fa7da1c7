"""`ServerTransaction`: messages, records and the program's own rows that are committed together."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg import Error

from telex.engines.postgres import problems
from telex.engines.postgres.connections import ServerConnection
from telex.engines.postgres.groups import settle_parameters, settle_statement
from telex.engines.postgres.link import PATIENCE, PAUSES
from telex.engines.postgres.problems import Verdict
from telex.engines.postgres.records import put_statement
from telex.engines.postgres.writer import AppendJob, PackedBatch, append_statement, form_of, stored

if TYPE_CHECKING:
    from typing import Self

    from telex.engines.contract.groups import Settlement
    from telex.engines.postgres.link import ServerLink
    from telex.engines.postgres.live import LiveReader
    from telex.message import Draft, Message

R = TypeVar("R")


class ServerTransaction:
    """Has a connection of its own from when it is entered until it is left. Nobody waits for it: its messages are
    numbered and stored as the last thing before the commit.
    """

    blocks: object = None

    def __init__(self, link: ServerLink, live: LiveReader) -> None:
        self._link = link
        self._live = live
        self._put = put_statement(link.address.quoted)
        self._exits = AsyncExitStack()
        self._connection: ServerConnection | None = None
        self._settle = settle_statement(link.address.quoted)
        self._jobs: list[AppendJob] = []
        self._stirred: list[str] = []  # patterns with messages to claim after the commit

    async def __aenter__(self) -> Self:
        deadline, attempt = self._link.loop.time() + PATIENCE, 0
        while True:
            try:
                self._connection = await self._exits.enter_async_context(self._link.pool.lent())
                await self._connection.execute(b"BEGIN")
            except (Error, OSError) as error:
                await self._exits.aclose()
                passes = problems.judge(error) in {Verdict.AGAIN, Verdict.UNKNOWN}
                if not passes or self._link.loop.time() >= deadline:
                    raise self._failure(error) from error
            except BaseException:
                await self._exits.aclose()
                raise
            else:
                return self
            await self._link.pause(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._entered
        try:
            if kind is None:
                await self._commit(connection)
                for pattern in self._stirred:
                    self._link.fetches.stir(pattern)
            elif not connection.closed:
                await connection.rollback()
        except Error as problem:
            connection.drop()
            if kind is None:
                raise self._failure(problem) from problem
        except BaseException:
            connection.drop()
            raise
        finally:
            self._connection = None
            await self._exits.aclose()

    async def _commit(self, connection: ServerConnection) -> None:
        if not self._jobs:
            await connection.commit()
            return
        drafts = [draft for job in self._jobs for draft in job.drafts]
        packed = PackedBatch(drafts, [form for job in self._jobs for form in job.forms], self._link)
        # Both in one round trip, so that the lock of appends is held shortly.
        async with connection.pipeline():
            cursor = await connection.execute(
                append_statement(self._link.address.quoted), [None, 0, False, *packed.parameters], binary=True
            )
            await connection.execute(b"COMMIT")
        row = await cursor.fetchone()
        assert row is not None
        committed = asyncio.gather(*(job.future for job in self._jobs))
        self._live.committed(stored(self._jobs, drafts, packed, row))
        await committed

    @property
    def _entered(self) -> ServerConnection:
        if self._connection is None:
            raise AssertionError("a transaction is entered first")
        return self._connection

    def _failure(self, error: BaseException) -> Exception:
        return self._link.failure(f"a transaction on {self._link.address.shown}", error)

    async def append(self, draft: Draft) -> Message[Any]:
        """Store a message when the transaction commits. Its number is a guess until the commit."""
        draft = draft.with_id()
        before = sum(draft.topic == job.drafts[0].topic for job in self._jobs)
        self._jobs.append(AppendJob([draft], [form_of(draft)], self._link.loop.create_future()))
        return draft.numbered(self._link.catalogue.end(draft.topic) + before, 0)

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """Set a record when the transaction commits."""
        parameters = (bucket, key, value, revision, expires)
        try:
            row = await (await self._entered.execute(self._put, parameters, binary=True)).fetchone()
        except Error as error:
            raise self._failure(error) from error
        return None if row is None or row[0] is None else int(row[0])

    async def settle(self, group: str, pattern: str, settlement: Settlement) -> bool:
        """Settle a delivery when the transaction commits."""
        parameters = settle_parameters(group, pattern, (settlement,))
        try:
            row = await (await self._entered.execute(self._settle, parameters, binary=True)).fetchone()
        except Error as error:
            raise self._failure(error) from error
        assert row is not None
        if row[1]:
            self._stirred.append(pattern)
        return bool(row[0][0])

    async def run(self, function: Callable[[Any], R]) -> R:
        """Call ``function(connection)`` with a `psycopg.AsyncConnection`, and return its result; a coroutine is
        awaited.
        """
        connection = self._entered
        connection.touched = True
        kept = connection.row_factory, connection.cursor_factory
        try:
            result: Any = function(connection)
            if inspect.isawaitable(result):
                result = await result
        finally:  # the engine's own statements need them
            connection.row_factory, connection.cursor_factory = kept
        found: R = result
        return found

    async def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Execute one statement of the program, and return its rows."""
        self._entered.touched = True
        cursor = await self._entered.execute(sql.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []
