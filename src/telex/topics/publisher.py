"""`Publisher`: the publishing side of a topic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from datetime import datetime
from threading import get_ident
from time import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from telex.codec.content import Content, hold
from telex.durations import Duration, due, seconds
from telex.errors import BadName, Closed, TelexError, Timeout, WouldBlock, WrongThread
from telex.log.dedup import Window
from telex.log.log import Log
from telex.message import Draft, LazyId, Message, check_headers, check_id, check_key, id_text, size_of, time_of
from telex.names import is_pattern
from telex.topics.backpressure import PublishQueue, PublishSlot
from telex.topics.waiters import Notifier

if TYPE_CHECKING:
    from telex.engines.contract import Engine

T = TypeVar("T")
serving: ContextVar[object] = ContextVar("serving", default=None)
"""For whom the code that runs now works: set by handlers' tasks, and passed on to the tasks and threads they start."""
NOT_OPEN = "its hub is not open yet: `async with hub:`"
FAIR = 64
"""How many messages `Topic.publish` appends without giving way to other tasks."""


class PatternOwner(Protocol):
    """Who has the topics and patterns of a hub."""

    def release(self, topic: Publisher[Any]) -> None:
        """Nobody reads a topic or pattern any more, to which nothing was published."""

    def resume(self, pattern: str) -> None:
        """Somebody uses a pattern that may have been released."""


class Publisher(Generic[T]):
    """What publishes to one log, in this process or through an engine that keeps it elsewhere."""

    __slots__ = (
        "__weakref__",
        "_clock",
        "_content",
        "_engine",
        "_expected",
        "_feeds",
        "_kept",
        "_log",
        "_loop",
        "_origin",
        "_owner",
        "_plain",
        "_publish_queue",
        "_served",
        "_state",
        "_store",
        "_thread",
        "_window",
        "id",
    )

    def __init__(
        self,
        id: str,
        log: Log,
        engine: Engine,
        declared: type[T] | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self.id: str = id
        self._clock = clock
        self._log = log
        self._origin = log.end  # where the log of this process began
        self._engine = engine
        self._owner: PatternOwner | None = None  # who lets it go when nobody reads it, where that can be
        self._store = engine.store
        self._expected: Draft | None = None  # a draft that is being stored, for which the subscribers have room
        log.observer = Notifier()
        self._content: Content[T] | None = None if declared is None else Content(declared)
        self._feeds: tuple[Log, ...] = ()  # the logs of the patterns that this topic fits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = (
            0  # the one that runs the loop; asked for every message, since asking for the loop is a system call
        )
        self._state: str = NOT_OPEN
        self._served: object = None  # while the hub closes: what `serving` is for its handlers, who may still use it
        self._kept = False  # whether publishing is nothing but asking the store
        self._plain = False  # whether publishing is nothing but an append: the fast path
        self._publish_queue: PublishQueue | None = None
        self._window: Window | None = None

    # -- publishing

    async def publish(
        self,
        content: T,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        timeout: Duration | None = None,
    ) -> Message[T]:
        """Append a message, and return it once the engine has it.

        ``id`` is made (UUIDv7) unless given; the same id again within the engine's window stores nothing and returns
        the message that is there. ``headers`` is text to text. Groups work on messages of one ``key`` one after the
        other. With ``delay``, or ``at`` an aware datetime, it is kept and published then; what is returned has the
        number 0 until then.

        Waits for the engine, and for subscribers with ``overflow="block"``, at most ``timeout`` seconds; cancelled or
        timed out while it waits for subscribers, nothing was published; while it waits for the engine, it may have
        been. At every 64th message of a topic in memory it lets other tasks run first, so that a loop that publishes
        cannot keep readers from reading.

        Raises `ContentError`, `BadOption`, `BadName` (a pattern), `Closed`, `Timeout`, `BufferFull`, `EngineFailed`.
        """
        limit = None if timeout is None else seconds(timeout, "timeout")
        store = self._store
        if store is not None or delay is not None or at is not None:
            if store is not None and delay is None and at is None and limit is None and not self._gated():
                if self._kept and id is None and headers is None and key is None and get_ident() == self._thread:
                    # What `_draft` does, without calls.
                    draft = Draft(content, self.id, None, time(), None, None, None, hold(content, self.id))
                else:
                    draft = self._draft(content, id, headers, key)
                return (await store.append((draft,)))[0]
            draft = self._draft(content, id, headers, key)
            return await self._publish_by_engine(draft, due(delay, at, self._clock()), limit)
        if not self._log.end % FAIR:
            # Before anything is done, so that who is cancelled here has published nothing.
            await asyncio.sleep(0)
        return await self._publish(content, id, headers, key, limit)

    async def _publish(
        self, content: T, id: str | None, headers: Mapping[str, str] | None, key: str | None, limit: float | None
    ) -> Message[T]:
        if not self._log.blocking_cursors and (not self._feeds or not self._gated()) and not self._publish_queue:
            return self.publish_nowait(content, id=id, headers=headers, key=key)
        draft = self._draft(content, id, headers, key)
        if self._seen(draft) is not None:
            return self._append(draft)
        with await self._room(draft, limit, lambda: self._seen(draft) is not None):
            return self._append(draft)

    async def publish_held(
        self,
        content: T,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Message[T]:
        """As `publish`, of content that is known to come back from where it is stored: by a type that this topic does
        not declare, or because it was stored before.
        """
        if self._store is None or self._content is not None:
            return await self.publish(content, id=id, headers=headers, key=key)
        return await self._publish_by_engine(self._draft(content, id, headers, key, held=True), None, None)

    async def _publish_by_engine(self, draft: Draft, due: float | None, limit: float | None) -> Message[T]:
        try:
            async with asyncio.timeout(limit) as clock:
                if due is not None:
                    return await self._engine.later(draft, due)
                if not self._gated():
                    return await self._keep(draft)
                with await self._room(draft, None, lambda: False):
                    self._expected = draft  # one at a time: the next publisher has to wait for the slot
                    try:
                        return await self._keep(draft)
                    finally:
                        self._expected = None
        except TimeoutError as error:
            if isinstance(error, Timeout) or limit is None or not clock.expired():
                raise
            raise Timeout(f"publishing to {self.id!r}", limit) from None

    async def _keep(self, draft: Draft) -> Message[T]:
        if self._store is None:
            raise AssertionError("only an engine with a store keeps messages")
        return (await self._store.append((draft,)))[0]

    def _room(self, draft: Draft, limit: float | None, stored: Callable[[], bool]) -> Awaitable[PublishSlot]:
        if self._publish_queue is None:
            self._publish_queue = PublishQueue()
        size = size_of(draft.content, draft.headers) if self._counts_bytes() else 0
        return self._publish_queue.wait((self._log, *self._feeds), size, limit, stored)

    def publish_nowait(
        self, content: T, *, id: str | None = None, headers: Mapping[str, str] | None = None, key: str | None = None
    ) -> Message[T]:
        """As `publish`, at once. Raises `WouldBlock` where that would wait: always, on engines that keep messages
        outside of this process.
        """
        log = self._log
        if (
            not self._plain
            or log.blocking_cursors
            or id is not None
            or headers is not None
            or key is not None
            or get_ident() != self._thread
        ):
            return self._publish_with_care(content, id, headers, key)
        # The fast path: what `Log.append` does, without the call.
        now = time()
        end = log.end
        message = Message(content, self.id, end, log.uid, now)
        log.messages.append(message)
        log.end = end = end + 1
        if end >= log.trim_at:
            log.appended(now)
        if log.observer.waiters:
            log.observer.notify()
        return message

    @property
    def ended(self) -> bool:
        """Whether it was removed or its hub closed: it takes nothing more."""
        return bool(self._state)

    def publish_new(self, content: T, id: str | LazyId) -> Message[T]:
        """As `publish_nowait`, of an id that is new for certain."""
        log = self._log
        if not self._plain or log.blocking_cursors or self._window is not None or get_ident() != self._thread:
            return self._publish_with_care(content, id_text(id), None, None)
        # As in `publish_nowait`, what `Log.append` does.
        now = time()
        end = log.end
        message = Message(content, self.id, end, id, now)
        log.messages.append(message)
        log.end = end = end + 1
        if end >= log.trim_at:
            log.appended(now)
        if log.observer.waiters:
            log.observer.notify()
        return message

    def publish_threadsafe(
        self,
        content: T,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
    ) -> Future[Message[T]]:
        """Publish from another thread than the hub's; the future's result is the message.

        Raises `Closed` when the hub is not open; what `publish` raises comes from the future. Cancelling the future
        before the message is appended takes it back. ``delay``, from this call on, and ``at`` are those of `publish`.
        In the hub's own thread it is `publish_nowait`, done when this returns, since waiting for the future there would
        be waiting for oneself: on engines that keep messages outside of this process it is refused there with
        `WouldBlock`, and so it is on all engines with ``delay`` or ``at``.
        """
        self._check_open()
        if self._loop is None:
            raise self._closed()
        asked, for_later = self._clock(), delay is not None or at is not None
        if get_ident() == self._thread and self._loop.is_running():
            if for_later:
                refused: Future[Message[T]] = Future()
                refused.set_exception(WouldBlock(f"publishing to {self.id!r} for later waits for the engine"))
                return refused
            return _done(lambda: self.publish_nowait(content, id=id, headers=headers, key=key))
        returned: list[Future[Message[T]]] = []

        async def publish() -> Message[T]:
            # asyncio would pass the news on only after the first step of this task, which may be all of it.
            if returned and returned[0].cancelled():
                raise asyncio.CancelledError
            if self._store is not None or for_later:
                draft = self._draft(content, id, headers, key)
                return await self._publish_by_engine(draft, due(delay, at, asked), None)
            # Without giving way: the next one that this thread published would overtake it.
            return await self._publish(content, id, headers, key, None)

        publishing = publish()
        try:
            future = asyncio.run_coroutine_threadsafe(publishing, self._loop)
        except RuntimeError:  # the loop was closed, and the hub in it was not
            publishing.close()
            raise Closed(f"topic {self.id!r}", "the event loop of its hub has ended") from None
        returned.append(future)
        return future

    def _publish_with_care(
        self, content: T, id: str | None, headers: Mapping[str, str] | None, key: str | None
    ) -> Message[T]:
        draft = self._draft(content, id, headers, key)
        if self._store is not None:
            raise WouldBlock(f"publishing to {self.id!r} waits until the engine has the message")
        if self._gated() and self._seen(draft) is None:
            queue = self._publish_queue or PublishQueue()
            size = size_of(draft.content, draft.headers) if self._counts_bytes() else 0
            queue.pass_nowait((self._log, *self._feeds), size)
        return self._append(draft)

    def _draft(
        self,
        content: T,
        id: str | None,
        headers: Mapping[str, str] | None,
        key: str | None,
        *,
        held: bool = False,
    ) -> Draft:
        """Check the parts of a message. ``held``: the content is known to come back from where it is stored."""
        self._check_publisher()
        data: bytes | None = None
        if not held or self._content is not None:
            content, data = self._check_content(content)
        if id is not None:
            id = check_id(id)
            if self._window is None and self._store is None:
                self._window = Window(self._log)
        return Draft(content, self.id, id, self._clock(), check_headers(headers), None, check_key(key), data)

    def _check_publisher(self) -> None:
        if is_pattern(self.id):
            raise BadName(self.id, "this is a pattern, to subscribe to; publish to one topic, hub.topic('a:b')")
        self._check_open()
        if get_ident() != self._thread:
            raise WrongThread(f"publish to {self.id!r}")

    def _check_content(self, content: T) -> tuple[T, bytes | None]:
        """Content as it is published, and its JSON where that was made to prove that the content comes back."""
        if self._content is None:
            return content, None if self._store is None else hold(content, self.id)
        content = self._content.check(content, self.id)
        if self._store is None:
            return content, None
        return content, self._content.hold(content, self.id, content.__class__.__name__)

    def _seen(self, draft: Draft) -> Message[T] | None:
        # Ids that are made here are new; so no topic pays for a window until a publisher gives an id.
        if self._window is None or draft.id is None:
            return None
        return self._window.find(draft.id, draft.time)

    def _check_open(self) -> None:
        if self._state and (self._served is None or serving.get() is not self._served):
            raise self._closed()

    def _append(self, draft: Draft) -> Message[T]:
        self._check_open()
        seen = self._seen(draft)
        if seen is not None:
            return seen
        log = self._log
        message: Message[T] = draft.numbered(log.end, log.uid)
        log.append(message, draft.time)
        for feed in self._feeds:
            feed.append(message, draft.time)
        return message

    def _arrive(self, message: Message[T], missing: int = 0) -> None:
        """Append what an engine kept or what is due now; ``missing`` messages before it come to nobody here."""
        log = self._log
        if missing:
            for each in (log, *self._feeds):
                each.jump(missing)
        if (log.blocking_cursors or self._feeds) and self._gated() and not self._is_expected(message):
            # Its publisher is elsewhere and cannot be made to wait: who has no room is closed as slow.
            for each in (log, *self._feeds):
                for cursor in list(each.blocking_cursors):
                    if cursor.is_full(message.size if cursor.options.buffer_bytes is not None else 0):
                        cursor.end("slow", slow=True)
        now = time_of(message)
        log.append(message, now)
        for feed in self._feeds:
            feed.append(message, now)

    def _is_expected(self, message: Message[T]) -> bool:
        draft = self._expected
        return draft is not None and message.content is draft.content and time_of(message) == draft.time

    def _arrive_unreadable(self, missing: int) -> None:
        """As `_arrive`, of a message that comes to nobody here since it cannot be decoded."""
        for log in (self._log, *self._feeds):
            if missing:
                log.jump(missing)
            log.jump(1, "unreadable")
            if log.observer.waiters:
                log.observer.notify()

    def _arrive_together(self, messages: Sequence[Message[T]]) -> bool:
        """`_arrive` for messages that follow on, when nobody can be full: False, and nothing was done, if one can."""
        log = self._log
        if log.blocking_cursors or self._feeds:
            return False
        log.extend(messages, time_of(messages[-1]))
        return True

    def _arrive_due(self, draft: Draft) -> Message[T]:
        """What an engine without a store publishes: a delayed message, or one of a transaction, also of a handler while
        the hub closes.
        """
        if self._window is None:
            self._window = Window(self._log)
        if (self._state and self._served is None) or self._seen(draft) is not None:
            return draft.numbered(0, 0)
        draft = msgspec.structs.replace(draft, time=self._clock())
        message: Message[T] = draft.numbered(self._log.end, self._log.uid)
        self._arrive(message)
        return message

    def _gated(self) -> bool:
        return bool(self._log.blocking_cursors) or (
            bool(self._feeds) and any(feed.blocking_cursors for feed in self._feeds)
        )

    def _counts_bytes(self) -> bool:
        return any(
            c.options.buffer_bytes is not None for log in (self._log, *self._feeds) for c in log.blocking_cursors
        )

    def _refresh(self) -> None:
        free = not (self._state or self._content is not None or is_pattern(self.id)) and self._clock is time
        self._plain = free and not self._feeds and self._store is None
        self._kept = free and self._store is not None

    def _closed(self) -> Closed:
        return Closed(f"topic {self.id!r}", self._state)


def _done(publish: Callable[[], Message[T]]) -> Future[Message[T]]:
    future: Future[Message[T]] = Future()
    try:
        future.set_result(publish())
    except TelexError as error:
        future.set_exception(error)
    return future
