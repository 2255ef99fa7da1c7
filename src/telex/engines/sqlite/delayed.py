"""`Delayed`: stores messages for later. Any process that has the file open publishes them, once."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from time import time
from typing import TYPE_CHECKING, Any

from telex.engines import forms
from telex.engines.contract.groups import Unreadable
from telex.engines.sqlite import problems, rows
from telex.errors import Closed

if TYPE_CHECKING:
    from telex.engines.sqlite.client import FileClient
    from telex.engines.sqlite.ledger import Ledger
    from telex.message import Draft, Message

logger: logging.Logger = logging.getLogger("telex")
MANY = 500
"""The most messages that are published in one transaction."""
LONGEST = 3600.0
"""The seconds after which a timer checks the clock again, since the clock of the machine may be set."""
_INSERT = """INSERT INTO telex_delayed (due, topic, id, time, type, key, headers, content, size)
    SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM telex_delayed WHERE topic = ? AND id = ?)"""
_TAKE = """DELETE FROM telex_delayed WHERE n IN (SELECT n FROM telex_delayed WHERE due <= ? ORDER BY due, n LIMIT ?)
    RETURNING due, n, topic, id, type, key, headers, content, size"""

_CANCEL = "DELETE FROM telex_delayed WHERE topic = ? AND id = ?"


class Delayed:
    """The publisher of delayed messages, in the event loop. Each process has a timer; the first process that is due
    publishes.
    """

    def __init__(self, client: FileClient) -> None:
        self._client = client
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._closed = False

    async def keep(self, drafts: Sequence[Draft], due: float) -> Sequence[Message[Any]]:
        """Store messages until ``due``."""
        kept = [draft.with_id() for draft in drafts]
        forms_ = [(draft, forms.encode(draft, rows.LARGEST)) for draft in kept]
        values = [(due, d.topic, d.id, d.time, *form, d.topic, d.id) for d, form in forms_]

        def keep(ledger: Ledger, now: float) -> None:
            ledger.connection.executemany(_INSERT, values)
            ledger.connection.execute("UPDATE telex_state SET delays = delays + 1")

        await self._client.call(keep, lambda _: self.arm(due))
        return [draft.numbered(0, 0) for draft in kept]

    async def cancel(self, topic: str, id: str) -> bool:
        """Discard a message that waits. Return false when there is none."""

        def discard(connection: sqlite3.Connection, now: float) -> bool:
            return connection.execute(_CANCEL, (topic, id)).rowcount > 0

        return await self._client.write(discard)

    def arm(self, due: float | None) -> None:
        """Set the timer for a message that is due at ``due``."""
        if due is None or self._closed or (self._due is not None and self._due <= due):
            return
        self._disarm()
        self._due = due
        wait = min(max(0.0, due - time()), LONGEST)
        self._timer = self._client.loop.call_later(wait, self._ring)

    def close(self) -> None:
        """Stop the timer."""
        self._closed = True
        self._disarm()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None

    def _ring(self) -> None:
        self._disarm()
        self._client.start("delayed messages", self._publish())

    async def _publish(self) -> None:
        try:
            await self._client.call(publish_due, self.arm)
        except Closed:
            return
        # the disk may have been full: the messages are still stored, and tried again
        except Exception as error:  # noqa: BLE001
            if not self._client.failed:
                logger.error("delayed messages are published later: %s", problems.explain(error))
                self.arm(time() + self._client.address.bounds.delay_seconds)


def publish_due(ledger: Ledger, now: float) -> float | None:
    """Publish the messages that are due. Return the time of the next one."""
    connection = ledger.connection
    with rows.leniently(connection):  # the rows are deleted, so they cannot be read twice
        taken = sorted(connection.execute(_TAKE, (now, MANY)).fetchall(), key=itemgetter(0, 1))
    for _, n, topic, id, type_, key, headers, content, size in taken:
        if type(topic) is not str or type(id) is not str:
            logger.error("delayed message %d is dropped: the file is damaged, and its topic or id is not text", n)
            continue
        pos = ledger.pos
        ledger.move(topic, id, now, (type_, key, headers, content, size))
        if ledger.pos > pos and isinstance(content, Unreadable):  # it stays text that cannot be decoded
            connection.execute("UPDATE telex_messages SET content = CAST(content AS TEXT) WHERE pos = ?", (pos,))
    (due,) = connection.execute("SELECT min(due) FROM telex_delayed").fetchone()
    return None if due is None else float(due)
