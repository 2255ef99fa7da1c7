"""`Listener`: receives the notifications of other processes. They are hints; messages without a notification are found
by polling.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from psycopg import Error

from telex.engines.postgres import problems
from telex.engines.postgres.connections import ServerConnection, connect
from telex.engines.postgres.link import PAUSES, ServerLink

if TYPE_CHECKING:
    from telex.engines.postgres.live import LiveReader
    from telex.engines.postgres.writer import AppendWriter

logger: logging.Logger = logging.getLogger("telex")


class Listener:
    """The notifications, on a connection of their own. Used in the event loop."""

    def __init__(self, link: ServerLink, writer: AppendWriter, live: LiveReader) -> None:
        self._link = link
        self._writer = writer
        self._live = live
        self._connection: ServerConnection | None = None
        self._descriptor = -1
        self._lost = asyncio.Event()

    async def begin(self) -> None:
        """Start listening. Raises `psycopg.Error`."""
        address = self._link.address
        self._connection = connection = await connect(address, address.listening)
        await connection.execute(f'LISTEN "{address.channel}"'.encode())
        self._descriptor = connection.pgconn.socket
        self._link.loop.add_reader(self._descriptor, self._readable)
        self._lost.clear()

    def drop(self) -> None:
        """Close the connection."""
        if self._descriptor >= 0:
            self._link.loop.remove_reader(self._descriptor)
            self._descriptor = -1
        if self._connection is not None:
            self._connection.drop()
            self._connection = None
        self._lost.set()

    async def run(self) -> None:
        """Connect again when the connection breaks, and let the reader look at once."""
        attempt = 0
        while True:
            await self._lost.wait()
            await self._link.pause(PAUSES[min(attempt, len(PAUSES) - 1)])
            if self._link.closed is not None:
                return
            try:
                await self.begin()
            except (Error, OSError) as error:
                self.drop()
                attempt += 1
                if attempt == len(PAUSES) and self._link.lost_at is None:
                    text = "no notifications from %s, so messages of other processes are found by polling: %s"
                    logger.warning(text, self._link.address.shown, problems.explain(error))
            else:
                attempt = 0
                self._live.look()

    def _readable(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.pgconn.consume_input()
        except Error:
            self.drop()
            self._live.look()  # checks whether the server is reached
            return
        while (found := connection.pgconn.notifies()) is not None:
            if found.be_pid != self._writer.pid:
                try:
                    self._heard(found.extra.decode())
                except ValueError:
                    logger.warning(
                        "a notification on %s is not from telex: %r", self._link.address.channel, found.extra
                    )

    def _heard(self, text: str) -> None:
        kind, rest = text[:1], text[1:]
        if kind == "m":
            before, last, topics = rest.split(":")
            heads = None
            if topics != "*":
                heads = {int(id): int(head) for id, head in (each.split("=") for each in topics.split(","))}
            self._live.hint(int(before), int(last), heads)
        elif kind == "g":
            self._link.fetches.stir(rest)
        else:
            self._live.look()
