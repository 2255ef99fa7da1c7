"""`DelayedTimer`: publishes delayed messages. Any process that has the engine open publishes them, once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from telex.engines.postgres.writer import form_of
from telex.errors import Closed, EngineFailed

if TYPE_CHECKING:
    from telex.engines.postgres.link import ServerLink
    from telex.message import Draft, Message

logger: logging.Logger = logging.getLogger("telex")
MAX_DUE = 500
"""The most delayed messages that are published in one transaction."""
OTHERS = (0.05, 0.25)
"""The seconds after which a process publishes due messages of another process, if that one has not published them."""
OUTBOX = (0.0, 0.02)
"""The seconds after which a process publishes messages that are due at once, such as those of an outbox."""
MAX_WAIT_SECONDS = 3600.0
_INSERT = """INSERT INTO {s}.delayed (due, topic, id, type, key, headers, content, data, size)
    VALUES {rows} ON CONFLICT (topic, id) DO NOTHING"""
_ROW = "(%s::float8, %s, %s, %s, %s, %s, %s, %s, %s::bigint)"
_CANCEL = "DELETE FROM {s}.delayed d WHERE d.topic = %s AND d.id = %s RETURNING true"
_PUBLISH = "SELECT {s}.publish_due(%s)"


class DelayedTimer:
    """The timer of delayed messages, used in the event loop."""

    def __init__(self, link: ServerLink) -> None:
        self._link = link
        self._insert = _INSERT.replace("{s}", link.address.quoted)
        self._publish_due = _PUBLISH.replace("{s}", link.address.quoted).encode()
        self._cancel = _CANCEL.replace("{s}", link.address.quoted).encode()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0
        self._publishing = False
        self._missed: float | None = None  # the earliest time that `_arm` was given while publishing
        self._closed = False

    async def keep(self, drafts: Sequence[Draft], due: float) -> Sequence[Message[Any]]:
        """Store messages until ``due``."""
        kept, values = [draft.with_id() for draft in drafts], list[object]()
        for draft in kept:
            type_, key, headers, content, size = form_of(draft)
            text, data = (None, content) if isinstance(content, bytes) else (content, None)
            values += (due, draft.topic, draft.id, type_, key, headers, text, data, size)
        insert = self._insert.replace("{rows}", ", ".join([_ROW] * len(kept))).encode()
        await self._link.execute(f"publishing to {self._link.address.shown} for later", insert, *values)
        self._arm(due)
        return [draft.numbered(0, 0) for draft in kept]

    async def cancel(self, topic: str, id: str) -> bool:
        """Discard a message that waits. Return false when there is none."""
        what = f"cancelling a message of {topic!r}"
        return bool(await self._link.execute(what, self._cancel, topic, id, repeat=False))

    def arm(self, due: float | None) -> None:
        """Set the timer for the next due message of any process."""
        if due is not None:
            now = self._link.clock.now()
            self._arm(due + random.uniform(*OTHERS) if due > now else now + random.uniform(*OUTBOX))

    def close(self) -> None:
        """Stop publishing."""
        self._closed = True
        self._disarm()

    def _arm(self, at: float) -> None:
        if self._publishing:
            self._missed = at if self._missed is None else min(at, self._missed)
            return
        if self._closed or (self._timer is not None and self._at <= at):
            return
        self._disarm()
        self._at = at
        wait = min(max(0.0, at - self._link.clock.now()), MAX_WAIT_SECONDS)
        self._timer = self._link.loop.call_later(wait, self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._publishing, self._missed = True, None
        self._link.start("publishing delayed messages", self._publish())

    async def _publish(self) -> None:
        due: float | None = None
        try:
            ((due,),) = await self._link.execute("publishing delayed messages", self._publish_due, MAX_DUE)
        except Closed:
            return
        except EngineFailed as error:  # the messages are still stored, and the next check sets the timer
            if self._link.closed is None and self._link.lost_at is None:
                logger.error("delayed messages are published later: %s", error.problem)
        finally:
            self._publishing = False
        for at in (due, self._missed):
            if at is not None:
                self._arm(at)
