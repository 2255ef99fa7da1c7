"""`ServerClient`: opens and closes the engine, and owns its parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from psycopg import Error

from telex.engines.postgres import migrations, problems
from telex.engines.postgres.connections import ISOLATION, ServerConnection, connect
from telex.engines.postgres.delayed import DelayedTimer
from telex.engines.postgres.link import ServerLink
from telex.engines.postgres.listener import Listener
from telex.engines.postgres.live import LiveReader
from telex.engines.postgres.migrations import WrongSchema
from telex.engines.postgres.store import ServerStore
from telex.engines.postgres.upkeep import RetentionSweeper
from telex.engines.postgres.writer import AppendWriter
from telex.errors import Closed, ConnectFailed
from telex.process.forks import FORKS, HUB

if TYPE_CHECKING:
    from telex.engines.contract import Decoder, EngineEvents
    from telex.engines.postgres.address import ServerAddress

CLOSING_SECONDS = 5.0
"""The seconds for which closing waits until a batch is stored, counted from its sending."""
OLDEST = 130000
"""The oldest version of the server: PostgreSQL 13."""


class ServerClient:
    """The open engine, used in the event loop of its hub."""

    def __init__(self, address: ServerAddress) -> None:
        self.address: ServerAddress = address
        self.link: ServerLink = ServerLink(address)
        self.writer: AppendWriter = AppendWriter(self.link)
        self.delayed: DelayedTimer = DelayedTimer(self.link)
        self.upkeep: RetentionSweeper = RetentionSweeper(self.link)
        self.live: LiveReader = LiveReader(self.link, self.writer, self.delayed, self.upkeep)
        self.store: ServerStore = ServerStore(self.link, self.writer, self.live, self.upkeep, self.delayed)
        self._listener = Listener(self.link, self.writer, self.live)
        self._writing: asyncio.Task[None] | None = None
        self.writer.on_stored = self.live.committed
        self.writer.on_broken = self.live.look
        self.live.on_rules = self.store.learn_rules
        self.link.on_failed = self._failed

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        """Connect, create the schema if there is none, and read the topics. Raises `ConnectFailed`."""
        self.link.open(events, decoder)
        FORKS.watch(self)
        try:
            await self._begin()
        except BaseException as error:
            await self.close()
            if isinstance(error, (Error, WrongSchema, OSError)):
                raise ConnectFailed(self.address.shown, problems.explain(error)) from None
            raise

    async def _begin(self) -> None:
        self.link.events.disconnected(
            f"no answer yet from {self.address.shown}; see the host's name, the port and the firewall, and whether a "
            "PostgreSQL server runs there"
        )
        connection = await connect(self.address)
        self.link.events.disconnected(
            "the server does not answer a statement; see what the statement waits for (pg_stat_activity)"
        )
        try:
            _check_server(connection)
            if self.address.pooled:
                await _check_isolation(connection)
            await migrations.prepare(connection, self.address)
            await self._listener.begin()
            await self.live.begin(connection)
        except BaseException:
            connection.drop()
            raise
        self.link.closed = None
        self._writing = self.link.start("writing", self.writer.run())
        self.link.start("reading", self.live.run())
        self.link.start("listening", self._listener.run())
        self.link.start("upkeep", self.upkeep.run())

    async def close(self) -> None:
        """Store pending messages, and release everything. Cancelling makes it faster; everything is released in any
        case.
        """
        link = self.link
        if not link.opening:
            return
        if link.closed is None:
            link.closed = Closed("the engine", "its hub was closed; open another")
        link.ended.set()
        link.fetches.close()
        self.delayed.close()
        self.writer.close()
        cancelled: asyncio.CancelledError | None = None
        link.hang_up()
        if self._writing is not None:
            left = max(0.0, CLOSING_SECONDS - self.writer.seconds_in_flight)
            try:
                await asyncio.wait({self._writing}, timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
        self.live.close()
        for task in link.tasks:
            task.cancel()
        for each in (self.writer, self.live, self._listener):
            each.drop()
        link.connections.close()
        while link.tasks:
            try:
                await asyncio.wait(link.tasks)
            except asyncio.CancelledError as error:
                cancelled = error
        self.writer.refuse()
        if cancelled is not None:
            raise cancelled

    def _failed(self) -> None:
        self.live.close()  # committed messages are acknowledged all the same
        self.writer.refuse()

    def forked(self) -> None:
        """Refuse all use in a forked process; the connections are the parent's. See `telex.process.forks.Open`."""
        self.link.closed = Closed("the engine", HUB)
        self.link.connections.forget()


def _check_server(connection: ServerConnection) -> None:
    info = connection.info
    if info.server_version < OLDEST:
        raise WrongSchema(f"it is PostgreSQL {info.server_version // 10000}; telex needs 13 or newer")
    encoding = info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        raise WrongSchema(f"the database's encoding is {encoding}; make one with CREATE DATABASE ... ENCODING 'UTF8'")


async def _check_isolation(connection: ServerConnection) -> None:
    """Raise `WrongSchema` unless transactions begin with the isolation that telex needs. Behind a pooler, telex cannot
    set it for a session.
    """
    row = await (await connection.execute("SELECT current_setting('default_transaction_isolation')")).fetchone()
    if row is not None and row[0] != ISOLATION:
        raise WrongSchema(
            f"default_transaction_isolation is {row[0]!r}; ALTER ROLE {connection.info.user} SET "
            f"default_transaction_isolation = '{ISOLATION}'"
        )
