"""`Topic`: a named log, to publish to and to subscribe to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from threading import get_ident
from time import time
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, overload

import msgspec

from telex.codec import Content
from telex.cursor import Cursor
from telex.dedup import Window
from telex.durations import Duration, due, seconds
from telex.errors import BadName, BadOption, Closed, TelexError, Timeout, WouldBlock, WrongThread
from telex.history import History, Once, Pages
from telex.holdings import Options, Overflow
from telex.log import Log
from telex.message import Lost, Message, Position, check_headers, check_id, check_key, place
from telex.names import Pattern, is_pattern
from telex.options import check_options
from telex.room import Pass, Turnstile, open_room
from telex.start import Start, check_start, find
from telex.subscription import ReportingSubscription, Subscription
from telex.wakeup import Wakeup, park

if TYPE_CHECKING:
    from telex.engines import Engine

T = TypeVar("T")
serving: ContextVar[object] = ContextVar("serving", default=None)
"""For whom the code that runs now works: set by handlers' tasks, and passed on to the tasks and threads they start."""
Key = Callable[[Message[T]], object]
NOT_OPEN = "its hub is not open yet: `async with hub:`"
READ = (
    "a topic is read by a subscription: `async with topic.subscribe() as inbox:` and then `async for message in inbox:`"
)


FAIR = 64
"""How many messages `Topic.publish` appends without giving way to other tasks."""

PAGE = 1024
"""How many messages are read from a store at once."""


class TopicStatistics(msgspec.Struct, frozen=True):
    """A topic at one moment: what was ``published`` ever, what is ``kept`` from number ``first`` on, and who reads."""

    topic: str
    published: int
    kept: int
    first: int
    subscribers: int
    waiting_publishers: int


class Topic(Generic[T]):
    """A named log. Made by ``hub.topic(id)``, which hands out the same one every time; a pattern's is for reading only.

    Messages have numbers, ``seq``, from 1. All who subscribe read the same log, each from its own place.
    """

    __slots__ = (
        "__weakref__",
        "_content",
        "_engine",
        "_feeds",
        "_log",
        "_loop",
        "_mine",
        "_origin",
        "_plain",
        "_served",
        "_state",
        "_store",
        "_thread",
        "_turnstile",
        "_window",
        "id",
    )

    def __init__(self, id: str, log: Log, engine: Engine, declared: type[T] | None = None) -> None:
        self.id: str = id
        self._log = log
        self._origin = log.end  # where the log of this process began
        self._engine = engine
        self._store = engine.store
        self._mine: Message[T] | None = None  # what is being stored, and asked its subscribers before
        log.wake = Wakeup(log).after_append
        log.room_made = partial(open_room, log)
        self._content: Content[T] | None = None if declared is None else Content(declared)
        self._feeds: tuple[Log, ...] = ()  # the logs of the patterns that this topic fits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = (
            0  # the one that runs the loop; asked for every message, since asking for the loop is a system call
        )
        self._state: str = NOT_OPEN
        self._served: object = None  # while the hub closes: what `serving` is for its handlers, who may still use it
        self._plain = False  # whether publishing is nothing but an append: the fast path
        self._turnstile: Turnstile | None = None
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
        if self._store is not None or delay is not None or at is not None:
            return await self._publish_by_engine(content, id, headers, key, due(delay, at, time()), limit)
        if not self._log.end % FAIR:
            # Before anything is done, so that who is cancelled here has published nothing.
            await asyncio.sleep(0)
        return await self._publish(content, id, headers, key, limit)

    async def _publish(
        self, content: T, id: str | None, headers: Mapping[str, str] | None, key: str | None, limit: float | None
    ) -> Message[T]:
        if not self._log.gates and (not self._feeds or not self._gated()) and not self._turnstile:
            return self.publish_nowait(content, id=id, headers=headers, key=key)
        message = self._make(content, id, headers, key)
        if self._seen(message) is not None:
            return self._append(message)
        with await self._room(message, limit, lambda: self._seen(message) is not None):
            return self._append(message)

    async def _publish_by_engine(
        self,
        content: T,
        id: str | None,
        headers: Mapping[str, str] | None,
        key: str | None,
        due: float | None,
        limit: float | None,
    ) -> Message[T]:
        message = self._make(content, id, headers, key)
        msgspec.structs.force_setattr(message, "seq", 0)
        try:
            async with asyncio.timeout(limit) as clock:
                if due is not None:
                    return await self._engine.later(message, due)
                if not self._gated():
                    return await self._keep(message)
                with await self._room(message, None, lambda: False):
                    self._mine = message
                    return await self._keep(message)
        except TimeoutError as error:
            if isinstance(error, Timeout) or limit is None or not clock.expired():
                raise
            raise Timeout(f"publishing to {self.id!r}", limit) from None
        finally:
            self._mine = None

    async def _keep(self, message: Message[T]) -> Message[T]:
        if self._store is None:
            raise AssertionError("only an engine with a store keeps messages")
        return (await self._store.append((message,)))[0]

    def _room(self, message: Message[T], limit: float | None, stored: Callable[[], bool]) -> Awaitable[Pass]:
        if self._turnstile is None:
            self._turnstile = Turnstile()
        size = message.size if self._counts_bytes() else 0
        return self._turnstile.wait((self._log, *self._feeds), size, limit, stored)

    def publish_nowait(
        self, content: T, *, id: str | None = None, headers: Mapping[str, str] | None = None, key: str | None = None
    ) -> Message[T]:
        """As `publish`, at once. Raises `WouldBlock` where that would wait: always, on engines that keep messages
        outside of this process.
        """
        log = self._log
        if (
            not self._plain
            or log.gates
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
            log.trim(now)
        if log.parked:
            log.wake()
        return message

    def publish_threadsafe(
        self, content: T, *, id: str | None = None, headers: Mapping[str, str] | None = None, key: str | None = None
    ) -> Future[Message[T]]:
        """Publish from another thread than the hub's; the future's result is the message.

        Raises `Closed` when the hub is not open; what `publish` raises comes from the future. Cancelling the future
        before the message is appended takes it back. In the hub's own thread it is `publish_nowait`, done when this
        returns, since waiting for the future there would be waiting for oneself: on engines that keep messages outside
        of this process it is refused there with `WouldBlock`.
        """
        self._check_open()
        if self._loop is None:
            raise self._closed()
        if get_ident() == self._thread and self._loop.is_running():
            return _done(lambda: self.publish_nowait(content, id=id, headers=headers, key=key))
        returned: list[Future[Message[T]]] = []

        async def publish() -> Message[T]:
            # asyncio would pass the news on only after the first step of this task, which may be all of it.
            if returned and returned[0].cancelled():
                raise asyncio.CancelledError
            if self._store is not None:
                return await self._publish_by_engine(content, id, headers, key, None, None)
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
        message = self._make(content, id, headers, key)
        if self._store is not None:
            raise WouldBlock(f"publishing to {self.id!r} waits until the engine has the message")
        if self._gated() and self._seen(message) is None:
            turnstile = self._turnstile or Turnstile()
            turnstile.pass_nowait((self._log, *self._feeds), message.size if self._counts_bytes() else 0)
        return self._append(message)

    def _make(self, content: T, id: str | None, headers: Mapping[str, str] | None, key: str | None) -> Message[T]:
        if is_pattern(self.id):
            raise BadName(self.id, "this is a pattern, to subscribe to; publish to one topic, hub.topic('a:b')")
        self._check_open()
        if get_ident() != self._thread:
            raise WrongThread(f"publish to {self.id!r}")
        if self._content is not None:
            content = self._content.check(content, self.id)
        uid: int | str = self._log.uid if id is None else check_id(id)
        if id is not None and self._window is None and self._store is None:
            self._window = Window(self._log)
        return Message(content, self.id, self._log.end, uid, time(), check_headers(headers), None, -1, check_key(key))

    def _seen(self, message: Message[T]) -> Message[T] | None:
        # Ids that are made here are new; so no topic pays for a window until a publisher gives an id.
        if self._window is None or not isinstance(message._uid, str):
            return None
        return self._window.find(message._uid, message._time)

    def _check_open(self) -> None:
        if self._state and (self._served is None or serving.get() is not self._served):
            raise self._closed()

    def _append(self, message: Message[T]) -> Message[T]:
        self._check_open()
        seen = self._seen(message)
        if seen is not None:
            return seen
        log = self._log
        if message.seq != log.end:  # it waited, and others did not
            msgspec.structs.force_setattr(message, "seq", log.end)
        log.append(message, message._time)
        for feed in self._feeds:
            feed.append(message, message._time)
        return message

    def _arrive(self, message: Message[T], missing: int = 0) -> None:
        """Append what an engine kept or what is due now; ``missing`` messages before it come to nobody here."""
        log = self._log
        if missing:
            for each in (log, *self._feeds):
                each.jump(missing)
        if message is not self._mine and self._gated():
            # Its publisher is elsewhere and cannot be made to wait: who has no room is closed as slow.
            for each in (log, *self._feeds):
                for cursor in list(each.gates):
                    if cursor.is_full(message.size if cursor.options.buffer_bytes is not None else 0):
                        cursor.end("slow", slow=True)
        log.append(message, message._time)
        for feed in self._feeds:
            feed.append(message, message._time)

    def _arrive_due(self, message: Message[T]) -> None:
        """A delayed message of an engine without a store is due."""
        if self._window is None:
            self._window = Window(self._log)
        if self._state or self._seen(message) is not None:
            return
        msgspec.structs.force_setattr(message, "_time", time())
        place(message, self._log.end, self._log.uid)
        self._arrive(message)

    def _gated(self) -> bool:
        return bool(self._log.gates) or any(feed.gates for feed in self._feeds)

    def _counts_bytes(self) -> bool:
        return any(c.options.buffer_bytes is not None for log in (self._log, *self._feeds) for c in log.gates)

    # -- subscribing

    @overload
    def subscribe(
        self,
        *,
        start: Literal["new", "earliest"] = "new",
        buffer: int = 1024,
        buffer_bytes: int | None = None,
        overflow: Overflow = "drop_newest",
        key: Key[T] | None = None,
        report_lost: Literal[False] = False,
        block_timeout: Duration = 30.0,
        timeout: Duration | None = None,
    ) -> Subscription[T]: ...
    @overload
    def subscribe(
        self,
        *,
        start: Start = "new",
        buffer: int = 1024,
        buffer_bytes: int | None = None,
        overflow: Overflow = "drop_newest",
        key: Key[T] | None = None,
        report_lost: bool = False,
        block_timeout: Duration = 30.0,
        timeout: Duration | None = None,
    ) -> ReportingSubscription[T]: ...
    def subscribe(
        self,
        *,
        start: Start = "new",
        buffer: int = 1024,
        buffer_bytes: int | None = None,
        overflow: Overflow = "drop_newest",
        key: Key[T] | None = None,
        report_lost: bool = False,
        block_timeout: Duration = 30.0,
        timeout: Duration | None = None,
    ) -> Subscription[T] | ReportingSubscription[T]:
        """A subscription to enter with ``async with``; from then on it has its own place in the log.

        ``start`` says where (`telex.start`); a start that is gone is told by a `Lost`, before anything else. ``buffer``
        messages, and ``buffer_bytes`` bytes if given, may wait; ``overflow`` says what happens then (`telex.overflow`).
        ``key`` is for ``latest``: the newest of each ``key(message)`` is kept. ``report_lost`` puts a `Lost` in the
        place of every hole. ``block_timeout``: how long publishers wait for it under ``block``. ``timeout`` bounds
        entering.

        Raises `BadOption` for a value that cannot be.
        """
        options = check_options(overflow, buffer, buffer_bytes, key, report_lost, block_timeout, timeout)
        start = check_start(start)
        if start in ("new", "earliest") and not report_lost:
            return Subscription(self, options, start)
        return ReportingSubscription(self, options, start)

    def attach(self, options: Options, start: Start, found: tuple[int, Lost | None] | None = None) -> Cursor:
        """A cursor in the log: what a subscription asks for when it is entered. ``found`` is what `prepare` found.

        Raises `Closed`, `WrongThread`.
        """
        self._check_here()
        first, told = found or find(self._log, start, time())
        return Cursor(self._log, options, first, told)

    def prepare(self, options: Options, start: Start) -> Awaitable[tuple[int, Lost | None] | None] | None:
        """What has to be awaited before `attach`: nothing (None) in memory."""
        self._check_here()
        if self._store is None or start == "new":
            return None
        return self._prepare(options, start)

    async def _prepare(self, options: Options, start: Start) -> tuple[int, Lost | None] | None:
        if self._store is None or is_pattern(self.id):
            await self._fill()
            return None
        log = self._log
        first, told = await self._store.find(self.id, start, time())
        while log.end < first:
            self._check_open()
            await park(log)  # this process has not heard of all yet that the store had then
        while options.key is not None and first < log.base:
            # The newest of each key is worked out from the messages themselves.
            base = log.base
            kept = await self._store.read(self.id, max(first, base - PAGE), base)
            run = [message for message in kept if message.seq < log.base]
            if not run or run[-1].seq != log.base - 1 or run[0].seq + len(run) != log.base:
                first = log.base
            log.prepend(run)
        return first, told

    async def _fill(self) -> None:
        """Put what is kept of a pattern's topics before what has come since its log began in this process."""
        log, store = self._log, self._store
        if store is None or log.base != self._origin:
            return  # it was done, or it has all that its retention keeps
        matches = Pattern(self.id).matches
        kept = await store.read_pattern([name for name in store.topics() if matches(name)], self._origin - 1)
        if log.base == self._origin:
            here = {(message.topic, message.seq) for message in log.messages}
            log.prepend([message for message in kept if (message.topic, message.seq) not in here])

    async def bring(self, cursor: Cursor) -> None:
        """Read the next messages of a cursor from the store. Raises `Closed`, `EngineFailed`."""
        far = cursor.far
        if far is None or self._store is None:
            return
        self._check_open()
        messages = await self._store.read(self.id, *far)
        cursor.supply(far[0], messages[-1].seq + 1 if messages else far[1], messages)

    def _check_here(self) -> None:
        self._check_open()
        if get_ident() != self._thread or asyncio.get_running_loop() is not self._loop:
            raise WrongThread(f"subscribe to {self.id!r}")

    # -- looking

    @overload
    def history(
        self, *, start: Literal["earliest"] | datetime | timedelta | int = "earliest", limit: int | None = None
    ) -> AsyncIterator[Message[T]]: ...
    @overload
    def history(self, *, start: Start, limit: int | None = None) -> AsyncIterator[Message[T] | Lost]: ...
    def history(
        self, *, start: Start = "earliest", limit: int | None = None
    ) -> AsyncIterator[Message[T]] | AsyncIterator[Message[T] | Lost]:
        """Iterate over what is kept, oldest first, at most ``limit`` messages, as it was when iteration began.

        ``start`` as for `subscribe`. A `Position` that is gone is told by a `Lost`, first; the other starts mean "of
        what is kept". Raises `BadOption`; `Closed`, from the iteration.
        """
        if limit is not None and limit < 0:
            raise BadOption("limit", limit, "give a number of messages, or None for all")
        start = check_start(start)
        if self._store is not None and not is_pattern(self.id):
            pages = Pages(self._store, self.id, start, limit, time)
            return History(partial(self._page, pages))
        return History(Once(partial(self._snapshot, start, limit)))

    async def _page(self, pages: Pages) -> list[Message[Any] | Lost]:
        self._check_open()
        return await pages()

    async def _snapshot(self, start: Start, limit: int | None) -> Iterator[Message[T] | Lost]:
        self._check_open()
        if self._store is not None:
            await self._fill()
        first, told = find(self._log, start, time())
        end = self._log.end if limit is None else min(self._log.end, first + limit)
        kept: Iterator[Message[T] | Lost] = iter(self._log.slice(first, end))
        return chain([told], kept) if told is not None and isinstance(start, Position) else kept

    async def position(self) -> Position:
        """Where the log ends now: a subscriber that starts here gets what comes after this moment."""
        return Position(self._log.end - 1, self._log.epoch)

    def statistics(self) -> TopicStatistics:
        """The topic at this moment."""
        log = self._log
        first = log.keep(time())
        if self._store is not None and not is_pattern(self.id):
            first = self._store.end(self.id)[0]
        waiting = 0 if self._turnstile is None else len(self._turnstile)
        return TopicStatistics(self.id, log.end - 1, log.end - first, first, len(log.cursors), waiting)

    # -- what the hub does

    def _open(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self._loop, self._thread, self._state = loop, thread, ""
        self._refresh()

    def _drain(self, state: str, served: object) -> None:
        """Refuse all but handlers, for whom `serving` is ``served``, and what they have started."""
        self._state, self._served = state, served
        self._refresh()

    def _close(self, why: str, state: str) -> None:
        """End all subscriptions after what they have, and refuse what comes; ``why`` is for them, ``state`` for
        errors.
        """
        self._state, self._served = state, None
        self._refresh()
        if self._turnstile is not None:
            self._turnstile.close(self._closed())
        for cursor in list(self._log.cursors):
            cursor.end(why)
        self._log.wake()

    def _feed(self, feeds: tuple[Log, ...]) -> None:
        self._feeds = feeds
        self._refresh()

    def _declare(self, declared: type[T]) -> None:
        if self._content is None:
            self._content = Content(declared)
            self._refresh()
        elif self._content.declared != declared:  # not by identity: list[int] is made anew every time it is written
            raise BadOption(
                "type",
                declared,
                f"topic {self.id!r} is declared with {self._content.name} already; use one type for it",
            )

    def _refresh(self) -> None:
        self._plain = not (
            self._state or self._feeds or self._content is not None or self._store is not None or is_pattern(self.id)
        )

    def _closed(self) -> Closed:
        return Closed(f"topic {self.id!r}", self._state)

    # -- mistakes, told where they are made

    def __aiter__(self) -> NoReturn:
        raise BadOption("loop over", self.id, READ)

    def __iter__(self) -> NoReturn:
        raise BadOption("loop over", self.id, READ)

    async def __aenter__(self) -> NoReturn:
        raise BadOption("use of topic", self.id, READ)

    async def __aexit__(self, *error: object) -> None: ...

    @property
    def type(self) -> Any:
        """The declared type of its content; None when any content may be published."""
        return None if self._content is None else self._content.declared

    def __repr__(self) -> str:
        return f"<Topic {self.id!r}, {self._log.end - 1} published>"


def _done(publish: Callable[[], Message[T]]) -> Future[Message[T]]:
    future: Future[Message[T]] = Future()
    try:
        future.set_result(publish())
    except TelexError as error:
        future.set_exception(error)
    return future
