"""`ServerLink`: the event loop, events, catalogue, clock, statements and tasks, shared by the parts of the open
engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any

from psycopg import Error

from telex.engines.fetching import FetchWaiters
from telex.engines.postgres import problems
from telex.engines.postgres.catalogue import ServerClock, TopicCatalogue
from telex.engines.postgres.connections import ConnectionPool
from telex.engines.postgres.problems import Verdict
from telex.errors import Closed, EngineFailed
from telex.process.supervision import watched
from telex.process.tasks import start_task

if TYPE_CHECKING:
    from telex.engines.contract import Decoder, EngineEvents
    from telex.engines.postgres.address import ServerAddress

PATIENCE = 30.0
"""The seconds for which a statement is tried again while the server is unreachable."""
STATEMENT_SECONDS = 10.0
"""The seconds that the server may take for one statement of telex; then the statement is sent again by another
connection.
"""
PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The seconds until each next attempt; the last number repeats."""


class ServerLink:
    """The shared state of the open engine, used in the event loop of its hub."""

    def __init__(self, address: ServerAddress) -> None:
        self.address: ServerAddress = address
        self.loop: asyncio.AbstractEventLoop
        self.events: EngineEvents
        self.decoder: Decoder
        self.catalogue: TopicCatalogue = TopicCatalogue()
        self.clock: ServerClock = ServerClock()
        self.fetches: FetchWaiters = FetchWaiters()
        self.closed: Exception | None = Closed("the engine", "it is not open")
        """The reason why the engine cannot be used; None while it is open."""
        self.connections: ConnectionPool = ConnectionPool(address)
        self.tasks: set[asyncio.Task[None]] = set()
        self.ended: asyncio.Event = asyncio.Event()
        """Set when closing begins, so that retries end soon."""
        self._limits: set[asyncio.Timeout] = set()  # of the statements that are being executed
        self.lost_at: float | None = None
        """The time, in seconds since 1970, since when the server is unreachable; None while it is reached."""
        self.on_failed: Callable[[], None] | None = None
        """A callback for the failure of the engine."""

    def open(self, events: EngineEvents, decoder: Decoder) -> None:
        """Attach to the running event loop."""
        self.loop, self.events, self.decoder = asyncio.get_running_loop(), events, decoder

    @property
    def opening(self) -> bool:
        """True after `open` was called."""
        return hasattr(self, "loop")

    def start(self, what: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a background task. It is cancelled when the engine closes; its exception fails the
        engine.
        """
        task = start_task(watched(what, coroutine, self.broke), name=f"telex postgres: {what}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def pause(self, seconds: float) -> None:
        """Wait before the next attempt; only for a moment when the engine closes."""
        if self.ended.is_set():
            await asyncio.sleep(min(seconds, PAUSES[0]))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()

    # -- failing

    def fail(self, error: Exception) -> None:
        """Fail the engine: the schema cannot be used, and everything that waits gets ``error``."""
        if self.closed is None:
            self.closed = error
            if self.on_failed is not None:
                self.on_failed()
            self.fetches.stir()
            self.events.failed(error)

    def broke(self, error: BaseException) -> None:
        """Fail the engine after an error in telex, since its state is unknown."""
        self.fail(problems.failure(f"using {self.address.shown}", error))

    def check_fatal(self, error: BaseException) -> None:
        """Fail the engine if the error is permanent."""
        if problems.judge(error) is Verdict.FATAL:
            self.fail(problems.failure(f"using {self.address.shown}", error))

    def failure(self, what: str, error: BaseException) -> EngineFailed:
        """Return the error for those who wait for ``what``. Its text tells since when the connection is lost."""
        failed = problems.failure(what, error)
        if self.lost_at is not None:
            since = datetime.fromtimestamp(self.lost_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            failed = EngineFailed(what, f"{failed.problem}; the connection has been lost since {since}")
            failed.__cause__ = error
        return failed

    def lost(self, error: BaseException) -> None:
        """Note that the server is not reached."""
        if self.lost_at is None:
            self.lost_at = time()
        self.events.disconnected(problems.explain(error))

    def reached(self) -> None:
        """Note that the server has answered."""
        if self.lost_at is not None:
            self.lost_at = None
            self.events.connected()

    def refusal(self) -> Exception:
        """Return a new exception each time: an exception that is raised again and again grows by its tracebacks."""
        return copy(self.closed) or Closed("the engine", "it is not open")

    # -- single statements

    def hang_up(self) -> None:
        """End the statements that wait for the server, and the connections of transactions. Called once `closed` is
        set.
        """
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(self.loop.time())
        self.connections.hang_up()

    @property
    def pool(self) -> ConnectionPool:
        """The connections for statements and transactions. Raises `Closed`, `EngineFailed`."""
        if self.closed is not None:
            raise self.refusal()
        return self.connections

    async def execute(
        self, what: str, statement: bytes, *parameters: object, repeat: bool = True
    ) -> list[tuple[Any, ...]]:
        """Execute a statement that is a transaction by itself, and return its rows.

        While the server is unreachable it is tried again. When it is unknown whether the statement was executed, it is
        tried again only with ``repeat``. Raises `EngineFailed`, `Closed`.
        """
        began, attempt = self.loop.time(), 0
        while True:
            sent, limit = False, asyncio.timeout(STATEMENT_SECONDS)
            self._limits.add(limit)
            try:
                async with limit, self.pool.one() as connection:
                    sent = True
                    cursor = await connection.execute(statement, parameters, binary=True)
                    return await cursor.fetchall() if cursor.description else []
            except (Error, TimeoutError, OSError) as error:
                self.check_fatal(error)
                verdict = problems.judge(error)
                again = verdict is Verdict.AGAIN or (verdict is Verdict.UNKNOWN and (repeat or not sent))
                if not again or self.loop.time() >= began + PATIENCE:
                    raise self.failure(what, error) from error
            finally:
                self._limits.discard(limit)
            await self.pause(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1
