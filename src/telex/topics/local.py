"""`LocalPublisher`: publishes to a topic whose log is in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import get_ident
from time import time
from typing import Any

import msgspec

from telex.codec.formats import PLAIN
from telex.engines.contract import Engine
from telex.log.cursor import Cursor
from telex.log.dedup import Window
from telex.log.log import Log, Retention
from telex.message import (
    EXPIRES,
    Draft,
    LazyId,
    Message,
    check_id,
    check_key,
    headers_of,
    id_text,
    own_headers,
    size_of,
)
from telex.observe.headers import Carrier, carried, carried_in, carries_nothing, with_carried
from telex.topics.backpressure import PublishQueue
from telex.topics.connection import EngineConnection
from telex.topics.delayed import DelayedMessages
from telex.topics.publisher import FAIR, Publisher


class LocalPublisher(Publisher):
    """The `Publisher` of a log in this process. It numbers messages itself, and appends them to the log and to the logs
    of matching patterns.
    """

    __slots__ = ("_delayed", "_window")

    def __init__(
        self,
        id: str,
        log: Log,
        engine: Engine,
        declared: type[Any] | None,
        clock: Callable[[], float],
        connection: EngineConnection,
        carrier: Carrier,
        delayed: DelayedMessages,
    ) -> None:
        super().__init__(id, log, engine, declared, clock, connection, carrier)
        self._delayed = delayed
        self._window: Window | None = None  # made for the first id that a publisher gives

    async def publish(
        self, content: Any, id: str | None, headers: Mapping[str, str] | None, key: str | None, limit: float | None
    ) -> Message[Any]:
        """Append a message when the subscribers have room."""
        if not self.log.end % FAIR:
            await asyncio.sleep(0)  # first, so that a publisher that is cancelled here has published nothing
        return await self.put(content, id, headers, key, limit)

    async def put(
        self, content: Any, id: str | None, headers: Mapping[str, str] | None, key: str | None, limit: float | None
    ) -> Message[Any]:
        """Append a message when the subscribers have room."""
        if not self.queue and not self.gated():
            return self.publish_nowait(content, id, headers, key)
        return await self.put_draft(self.draft(content, id, headers, key), limit)

    async def put_draft(self, draft: Draft, limit: float | None = None) -> Message[Any]:
        """Append a draft when the subscribers have room."""
        if not (self.queue or self.gated()) or self._seen(draft) is not None:
            return self._append_draft(draft)
        size = size_of(draft.content, draft.headers) if self.measures() else 0
        with await self.room(size, limit, lambda: self._seen(draft) is not None):
            return self._append_draft(draft)

    async def publish_held(
        self,
        content: Any,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Message[Any]:
        """Append a message, as `put`: in memory no content is stored."""
        return await self.publish(content, id, headers, key, None)

    def publish_nowait(
        self, content: Any, id: str | None, headers: Mapping[str, str] | None, key: str | None
    ) -> Message[Any]:
        """Append a message if the subscribers have room. Raises `WouldBlock`."""
        if (
            self.light
            and id is None
            and headers is None
            and key is None
            and not self._window
            and carries_nothing()
            and get_ident() == self.thread
        ):
            return self.append(content, self.log.uid)
        self.check_publisher()
        if self.unkept:
            self.check_promised(id, key)
        if self.content is not None:
            content = self.content.check(content, self.id)
        now, kept = self.clock(), own_headers(with_carried(headers) if self.carrier.active else headers)
        if self.format is not None:
            kept = self.format.describe(content).headers(kept)
        key = check_key(key)
        if id is not None:
            id = check_id(id)
            seen = self._find(id, now)
            if seen is not None:
                return seen
        if self.gated():
            queue = self.queue or PublishQueue()
            queue.pass_nowait((self.log, *self.feeds), size_of(content, kept) if self.measures() else 0)
        return self._append(content, id, now, kept, None, key)

    def encoded(self, draft: Draft, *, held: bool) -> Draft:
        """Return a draft with the content type: in memory no content is encoded."""
        encoded = (self.format or PLAIN).describe(draft.content)
        return msgspec.structs.replace(draft, headers=encoded.headers(draft.headers))

    def publish_new(self, content: Any, id: str | LazyId) -> Message[Any]:
        """Append a message without checking whether its id is known."""
        if (
            not (self.plain or (self.light and carries_nothing()))
            or self._window is not None
            or get_ident() != self.thread
        ):
            return self.publish_nowait(content, id_text(id), None, None)
        return self.append(content, id)

    def append(self, content: Any, id: int | str | LazyId) -> Message[Any]:
        """Append a message while `light` is true. ``id`` is an id, or the log's ``uid``."""
        # as in `Topic.publish_nowait`: the same as `Log.append`, without the call
        log, now = self.log, time()
        end = log.end
        message = Message(content, self.id, end, id, now)
        log.messages.append(message)
        log.end = end = end + 1
        if end >= log.trim_at:
            log.appended(now)
        if log.observer.waiters:
            log.observer.notify()
        return message

    async def keep_until(self, draft: Draft, due: float) -> Message[Any]:
        """Publish at ``due``, unless the hub is closed before."""
        return self._delayed.put(draft, due)

    async def cancel(self, id: str) -> bool:
        """Discard a message that waits for its time."""
        return self._delayed.cancel(self.id, id)

    def publish_due(self, draft: Draft) -> Message[Any]:
        """Publish a delayed message or a message of a transaction; a handler may do so while the hub drains. The number
        of the returned message is 0 when nothing was published.
        """
        if (self.reason and self.served is None) or self._seen(draft) is not None:
            return draft.numbered(0, 0)
        size = size_of(draft.content, draft.headers) if self.measures() else -1
        draft = msgspec.structs.replace(draft, time=self.clock())
        message = draft.numbered(self.log.end, self.log.uid, size)
        self._carrying(partial(self.deliver_one, message), draft.headers)
        return message

    def _append_draft(self, draft: Draft) -> Message[Any]:
        self.check_open()
        seen = self._seen(draft)
        if seen is not None:
            return seen
        return self._append(draft.content, draft.id, draft.time, draft.headers, draft.type, draft.key)

    def _append(
        self,
        content: Any,
        id: str | None,
        now: float,
        headers: dict[str, str] | None,
        type: str | None,
        key: str | None,
    ) -> Message[Any]:
        log = self.log
        size = size_of(content, headers) if self.measures() else -1  # measured once for all readers
        uid = log.uid if id is None else id
        message: Message[Any] = Message(content, self.id, log.end, uid, now, headers, type, size, key)
        self._carrying(partial(self._put, message, now), headers)
        return message

    def _put(self, message: Message[Any], now: float) -> None:
        for log in (self.log, *self.feeds):
            if headers_of(message) is not None:
                log.expect((message,))
            log.append(message, now)

    def _carrying(self, append: Callable[[], None], headers: dict[str, str] | None) -> None:
        """Append a message. Its carried headers are set meanwhile: `telex.handlers.origins` keeps the context for the
        handlers of this process.
        """
        carry = None if headers is None else carried_in(headers)
        if headers is not None and EXPIRES in headers:
            self.carrier.expires = True
        if carry is None:
            append()
            return
        self.carrier.activate()
        token = carried.set(carry)
        try:
            append()
        finally:
            carried.reset(token)

    def _seen(self, draft: Draft) -> Message[Any] | None:
        return None if draft.id is None else self._find(draft.id, draft.time)

    def _find(self, id: str, now: float) -> Message[Any] | None:
        """Return the message that has this id, or None. A topic has a window only after a publisher has given an id."""
        if self._window is None:
            self._window = Window(self.log)
        return self._window.find(id, now)

    def begin(self) -> None:
        """Do nothing: the log begins with its first message."""

    async def load(self, cursor: Cursor) -> None:
        """Do nothing: the log has all messages of its cursors."""

    def renew(self, log: Log) -> None:
        """Continue with another log, in which no id was published."""
        super().renew(log)
        self._window = None

    def take_epoch(self, log: Log) -> None:
        """Keep the epoch: no engine has begun another one."""

    def refresh(self) -> None:
        """Set `plain` again."""
        log = self.log
        self.light: bool = self.is_free() and not (self.feeds or log.measures or log.blocking_cursors)
        self.plain: bool = self.light and not self.carrier.active
        instrument = None if self.id[0] == "$" else self.carrier.instrument  # topics of telex have no spans
        self.skips: Callable[[], bool] = carries_nothing if instrument is None else instrument.skips


class NoStore:
    """The store of an engine whose logs are in this process: no topic is stored."""

    async def topics(self) -> list[str]:
        """Return no topics."""
        return []

    def follow(self, name: str) -> None:
        """Do nothing: publishers append to the logs."""

    def unfollow(self, name: str) -> None:
        """Do nothing."""

    async def remove(self, topic: str) -> bool:
        """Return false: there was no such topic."""
        return False

    async def retain(self, rules: Sequence[tuple[str, Retention]]) -> None:
        """Do nothing: each log has its retention."""
