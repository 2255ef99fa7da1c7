"""`Publisher`: the internal object of a topic or pattern, which `Topic` and the parts of a hub share."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from itertools import chain
from threading import get_ident
from time import time
from typing import Any, Protocol
from weakref import ref

from telex.codec.content import Content
from telex.codec.encoded import Encoded
from telex.codec.formats import PLAIN, Format
from telex.engines.contract import Engine, Extent
from telex.errors import BadName, BadOption, Closed, WrongThread
from telex.log.cursor import Cursor
from telex.log.log import Log, Retention
from telex.log.options import Options
from telex.log.start import Found, Start, find
from telex.message import Draft, LazyId, Message, Position, Reason, check_id, check_key, id_text, own_headers, time_of
from telex.names import CONNECTION, REFUSED, is_pattern
from telex.observe.headers import Carrier, carries_nothing, with_carried
from telex.process.waiters import Notifier
from telex.topics.backpressure import PublishQueue, PublishSlot
from telex.topics.connection import EngineConnection
from telex.topics.history import History, SinglePage, unexpired

logger: logging.Logger = logging.getLogger("telex")
serving: ContextVar[object] = ContextVar("serving", default=None)
"""The runner whose handler started the current task, or None. Child tasks and threads inherit it."""
NOT_OPEN = "its hub is not open yet: `async with hub:`"
PATTERN = "this is a pattern, to subscribe to; publish to one topic, hub.topic('a:b')"
FINISHED = "it ended with the last message of its trigger; hub.topic(...) creates it again"
"""The reason of a topic that takes no more messages here, and whose stored messages can still be read."""
ON_PUBLISHING = ("once_per_id", "key_order")
"""The guarantees that options of a message need."""
FAIR = 64
"""The number of messages that `Topic.publish` appends without letting other tasks run."""


class PatternOwner(Protocol):
    """The registry of the topics and patterns of a hub, as a `Publisher` uses it."""

    def release(self, publisher: Publisher) -> None:
        """Forget a topic or pattern without readers and messages."""

    def resume(self, pattern: str) -> None:
        """Feed a pattern again after it may have been released."""


class Publisher(ABC):
    """The internal object of one topic or pattern: its log, its life and its checks. One subclass is for logs in this
    process, one for logs that an engine stores.
    """

    __slots__ = (
        "__weakref__",
        "carrier",
        "clock",
        "connection",
        "content",
        "engine",
        "facade",
        "feeds",
        "format",
        "id",
        "light",
        "log",
        "loop",
        "origin",
        "owner",
        "plain",
        "queue",
        "reason",
        "refused",
        "renewed",
        "served",
        "skips",
        "thread",
        "unkept",
    )

    def __init__(
        self,
        id: str,
        log: Log,
        engine: Engine,
        declared: type[Any] | None,
        clock: Callable[[], float],
        connection: EngineConnection,
        carrier: Carrier,
    ) -> None:
        self.id: str = id
        self.refused: str = PATTERN if is_pattern(id) else REFUSED if id == CONNECTION else ""
        """The reason why no program may publish to it; empty for a topic of the program."""
        self.log: Log = log
        self.engine: Engine = engine
        self.unkept: tuple[str, ...] = tuple(name for name in ON_PUBLISHING if not getattr(engine.guarantees, name))
        self.connection: EngineConnection = connection  # of the hub to the engine
        self.carrier: Carrier = carrier
        self.clock: Callable[[], float] = clock
        self.content: Content[Any] | None = None if declared is None else Content(declared)
        self.format: Format | None = None  # None is plain JSON
        self.feeds: tuple[Log, ...] = ()  # of the patterns that match this topic
        self.origin: int = log.end  # the number of the first message after the log of this process began
        self.renewed: bool = False  # true after it has continued with another log
        self.owner: PatternOwner | None = None  # the registry, if it may release this publisher
        self.facade: ref[Any] | None = None  # to the `Topic` of the program
        self.queue: PublishQueue | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: int = 0  # of the loop; compared for every message, since asking for the loop is a system call
        self.reason: str = NOT_OPEN  # why it takes no messages; empty while it does
        self.served: object = None  # while the hub drains: the value of `serving` for handlers that may still use it
        self.light: bool = False  # true when publishing is only an append to `log`
        self.plain: bool = False  # true when `light`, and no message has carried headers
        self.skips: Callable[[], bool] = carries_nothing  # of a `light` message: counts it, true for no span or carry
        log.observer = Notifier(clock)

    # -- publishing

    @abstractmethod
    async def publish(
        self, content: Any, id: str | None, headers: Mapping[str, str] | None, key: str | None, limit: float | None
    ) -> Message[Any]:
        """Publish as `Topic.publish` does, within ``limit`` seconds."""

    @abstractmethod
    async def put(
        self, content: Any, id: str | None, headers: Mapping[str, str] | None, key: str | None, limit: float | None
    ) -> Message[Any]:
        """Publish as `publish` does, without letting other tasks run first."""

    @abstractmethod
    async def put_draft(self, draft: Draft) -> Message[Any]:
        """Publish a draft as `put` publishes content."""

    @abstractmethod
    async def publish_held(
        self, content: Any, *, id: str | None = None, headers: Mapping[str, str] | None = None, key: str | None = None
    ) -> Message[Any]:
        """Publish content that certainly comes back equal from the store: telex's own, or content stored before."""

    @abstractmethod
    def publish_nowait(
        self, content: Any, id: str | None, headers: Mapping[str, str] | None, key: str | None
    ) -> Message[Any]:
        """Publish as `Topic.publish_nowait` does."""

    def publish_new(self, content: Any, id: str | LazyId) -> Message[Any]:
        """Publish without waiting, with an id that is certainly new."""
        return self.publish_nowait(content, id_text(id), None, None)

    @abstractmethod
    async def keep_until(self, draft: Draft, due: float) -> Message[Any]:
        """Keep a draft, and publish it at ``due``; see `Store.append`."""

    @abstractmethod
    async def cancel(self, id: str) -> bool:
        """Discard a message that waits for its time, see `Store.cancel`."""

    def draft(
        self,
        content: Any,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        *,
        held: bool = False,
        data: bytes | None = None,
    ) -> Draft:
        """Return a checked draft. ``held``: its content, with the JSON ``data`` if known, comes back equal."""
        self.check_publisher()
        if self.unkept and not held:
            self.check_promised(id, key)
        if not held or self.content is not None:
            content, data = self.check_content(content)
        id = None if id is None else check_id(id)
        headers = with_carried(headers) if self.carrier.active else headers
        draft = Draft(content, self.id, id, self.clock(), own_headers(headers), None, check_key(key), data)
        return draft if self.format is None and content.__class__ is not Encoded else self.encoded(draft, held=held)

    def encoded(self, draft: Draft, *, held: bool) -> Draft:
        """Return a draft with its content as the codec of the topic encodes it. Raises `ContentError`."""
        format = self.format or PLAIN
        return draft.with_encoded(format.encode(draft.content, self.id, self.content, held=held, data=draft.json))

    def check_promised(self, id: str | None, key: str | None) -> None:
        """Raise `Misuse` when the engine lacks the guarantee that an id or a key of a message needs."""
        if id is not None:
            self.engine.guarantees.require("once_per_id", "publish(id=)")
        if key is not None:
            self.engine.guarantees.require("key_order", "publish(key=)")

    def check_content(self, content: Any) -> tuple[Any, bytes | None]:
        """Return checked content, and its JSON if it was made."""
        return (content if self.content is None else self.content.check(content, self.id)), None

    def room(self, size: int, limit: float | None, stored: Callable[[], bool]) -> Awaitable[PublishSlot]:
        """Wait for room for ``size`` bytes, see `PublishQueue.wait`."""
        if self.queue is None:
            self.queue = PublishQueue()
        return self.queue.wait(self.logs, size, limit, stored)

    def logs(self) -> Sequence[Log]:
        """Return the logs that get its messages."""
        return (self.log, *self.feeds)

    def gated(self) -> bool:
        """Return true when a subscriber has to be asked for room."""
        return bool(self.log.blocking_cursors) or (bool(self.feeds) and any(f.blocking_cursors for f in self.feeds))

    def measures(self) -> bool:
        """Return true when a reader or the retention bounds bytes."""
        return self.log.measures or (bool(self.feeds) and any(feed.measures for feed in self.feeds))

    # -- delivering

    def deliver(self, messages: Sequence[Message[Any]]) -> None:
        """Append messages that an engine has stored."""
        log = self.log
        if not self.feeds and not log.blocking_cursors:
            log.extend(messages, time_of(messages[-1]))
            return
        for message in messages:
            end = log.end
            try:
                self.deliver_one(message)
            except Exception as error:
                if isinstance(error, MemoryError) or log.end > end:
                    raise
                # Measuring content may raise: its message is skipped, and the others are delivered.
                logger.error(
                    "message %d of %s cannot be delivered; it is skipped", message.seq, self.id, exc_info=error
                )
                self.skip(1, "unreadable")

    def deliver_one(self, message: Message[Any]) -> None:
        """Append a numbered message. A full subscriber that was not asked for room is closed as slow."""
        logs, now = (self.log, *self.feeds), time_of(message)
        if self.gated() and not self.has_room_for(message):
            for log in logs:
                for cursor in list(log.blocking_cursors):
                    if cursor.is_full(message.size if cursor.options.buffer_bytes is not None else 0):
                        cursor.end("slow", slow=True)
        for log in logs:
            log.expect((message,))
            log.append(message, now)

    def skip(self, count: int, reason: Reason) -> None:
        """Give readers a `Lost` in the place of messages that come to nobody here."""
        if count > 0:
            for log in (self.log, *self.feeds):
                log.jump(count, reason)
                if log.observer.waiters:
                    log.observer.notify()

    def has_room_for(self, message: Message[Any]) -> bool:
        """Return true when all subscribers were asked for room for this message."""
        return False

    # -- reading

    def attach(self, options: Options, start: Start, found: Found | None = None) -> Cursor:
        """Return the cursor of a new subscription; ``found`` is from `prepare`. Raises `Closed`, `WrongThread`."""
        self.check_here()
        self.resume()
        first, hole = found or find(self.log, start, self.clock())
        cursor = Cursor(self.log, options, first, hole)
        self.refresh()  # the subscriber may block publishers, or bound bytes
        if self.reason is FINISHED:
            cursor.end("finished")
        return cursor

    def detach(self) -> None:
        """Let the registry release a topic without messages that its last subscription has left."""
        log = self.log
        self.refresh()  # the last subscriber that blocks publishers may have left
        if self.owner is None or (self.content is not None and not self.renewed):
            return
        if not log.cursors and not log.observer.waiters and log.end == self.origin:
            self.owner.release(self)

    def resume(self) -> None:
        """Note that the topic or pattern is used."""
        if self.owner is not None:
            self.owner.resume(self.id)

    def prepare(self, options: Options, start: Start) -> Awaitable[Found | None] | None:
        """Return an awaitable for `attach`'s ``found``, or None when nothing has to be awaited, as in memory."""
        self.check_here()
        return None

    @abstractmethod
    async def load(self, cursor: Cursor) -> None:
        """Read the next messages of a cursor from the store. Raises `Closed`, `EngineFailed`."""

    def history(self, start: Start, limit: int | None) -> AsyncIterator[Any]:
        """Iterate over the kept messages, see `Topic.history`."""
        return History(SinglePage(partial(self.snapshot, start, limit)))

    async def snapshot(self, start: Start, limit: int | None) -> Any:
        """Return the kept messages of the local log that have not expired."""
        self.check_open()
        self.resume()
        first, hole = find(self.log, start, self.clock())
        page = self.log.slice(first, self.log.end if limit is None else min(self.log.end, first + limit))
        kept = unexpired(page, self.clock) if self.log.expires else page
        return chain([hole], kept) if hole is not None and isinstance(start, Position) else kept

    @property
    def end(self) -> int:
        """The number that the next message gets."""
        return self.log.end

    def extent(self) -> Extent:
        """Return the numbers and counts of the log."""
        first, end = self.log.keep(self.clock()), self.end
        return Extent(first, end, end - 1, end - first)

    def backlog(self) -> Iterable[Message[Any]]:
        """Return the messages with which the log of a new pattern begins: in memory all kept messages."""
        return self.log.history(self.clock())

    def retain(self, retention: Retention) -> None:
        """Set the retention."""
        self.log.retain(retention)
        self.log.trim(self.clock())
        self.refresh()

    # -- checks

    def check_publisher(self) -> None:
        """Raise `BadName`, `Closed` or `WrongThread` unless the caller may publish."""
        if self.refused:
            raise BadName(self.id, self.refused)
        self.check_open()
        if get_ident() != self.thread:
            raise WrongThread(f"publish to {self.id!r}")

    def check_open(self) -> None:
        """Raise `Closed` unless the caller may use the topic."""
        if self.reason and (self.served is None or serving.get() is not self.served):
            raise self.closed()

    def check_readable(self) -> None:
        """Raise `Closed` unless the caller may read the topic."""
        self.check_open()

    def check_here(self) -> None:
        """Raise `Closed`, or `WrongThread` outside of the hub's event loop."""
        self.check_readable()
        if get_ident() != self.thread or asyncio.get_running_loop() is not self.loop:
            raise WrongThread(f"subscribe to {self.id!r}")

    def closed(self) -> Closed:
        """Return the error with the reason why the topic is closed."""
        return Closed(f"topic {self.id!r}", self.reason)

    # -- life

    @abstractmethod
    def begin(self) -> None:
        """Set the start of the log: the engine was opened after this publisher was made."""

    def open(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        """Take messages and readers from now on, in ``loop``."""
        self.loop, self.thread, self.reason = loop, thread, ""
        self.refresh()

    def drain(self, reason: str, served: object) -> None:
        """Refuse all callers but handlers whose `serving` is ``served``, and their child tasks."""
        self.reason, self.served = reason, served
        self.refresh()

    def renew(self, log: Log) -> None:
        """Continue with another log: this one was removed. Readers continue there after their waiting messages."""
        old, self.log = self.log, log
        log.observer, self.origin = Notifier(self.clock), log.end
        log.tell(old.noted)
        for cursor in list(old.cursors):
            cursor.go_on(log)
        self.refresh()
        old.observer.notify()

    @abstractmethod
    def take_epoch(self, log: Log) -> None:
        """Take the epoch of ``log``, which an engine has begun, for a log that never had a message."""

    def finish(self) -> None:
        """End subscriptions that are not lasting after their waiting messages; refuse callers until `begin_again`."""
        self.reason = self.reason or FINISHED
        for cursor in list(self.log.cursors):
            if not cursor.lasting:
                cursor.end("finished")
        self.refresh()
        self.log.observer.notify()

    def begin_again(self) -> None:
        """Take messages and readers again, after `finish`."""
        if self.reason is FINISHED:
            self.reason = ""
            self.refresh()

    def close(self, reason: str) -> None:
        """End the subscriptions after their waiting messages, and refuse callers with ``reason``."""
        self.reason, self.served = reason, None
        self.refresh()
        if self.queue is not None:
            self.queue.close(self.closed())
        for cursor in list(self.log.cursors):
            cursor.end("closed")
        self.log.observer.notify()

    def feed(self, feeds: tuple[Log, ...]) -> None:
        """Set the logs of the patterns that match this topic."""
        self.feeds = feeds
        self.refresh()

    def declare(self, declared: type[Any]) -> None:
        """Set the type of the content. Raises `BadOption` when another type was declared."""
        if self.content is None:
            self.content = Content(declared)
            self.refresh()
        elif self.content.declared != declared:  # not by identity: list[int] is a new object each time
            fix = f"topic {self.id!r} is declared with {self.content.name} already; use one type for it"
            raise BadOption("type", declared, fix)

    @abstractmethod
    def refresh(self) -> None:
        """Set the flag of the fast path again."""

    def is_free(self) -> bool:
        """Return true when a message without options needs only the checks of the thread and of subscribers."""
        return not (self.reason or self.content or self.format or self.refused) and self.clock is time
