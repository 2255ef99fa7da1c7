"""`Topic`: a named log, to publish to and to subscribe to."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from threading import get_ident
from time import time
from typing import Any, Generic, Literal, NoReturn, TypeVar, overload

import msgspec

from telex.codec import Content
from telex.cursor import Cursor
from telex.dedup import Window
from telex.durations import Duration, optional_seconds, seconds
from telex.errors import BadName, BadOption, Closed, TelexError, WrongThread
from telex.holdings import Options, Overflow
from telex.log import Log
from telex.message import Lost, Message, Position, check_headers, check_id
from telex.names import is_pattern
from telex.overflow import NAMES
from telex.room import Turnstile, open_room
from telex.start import Start, check_start, find
from telex.subscription import ReportingSubscription, Subscription
from telex.wakeup import Wakeup

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
        "_feeds",
        "_log",
        "_loop",
        "_plain",
        "_served",
        "_state",
        "_thread",
        "_turnstile",
        "_window",
        "id",
    )

    def __init__(self, id: str, log: Log, declared: type[T] | None = None) -> None:
        self.id: str = id
        self._log = log
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
        timeout: Duration | None = None,
    ) -> Message[T]:
        """Append a message, and return it once the engine has it.

        ``id`` is made (UUIDv7) unless given; the same id again within the engine's window stores nothing and returns
        the message that is there. ``headers`` is text to text. Waits only for subscribers with ``overflow="block"``,
        at most ``timeout`` seconds; cancelled or timed out while it waits, nothing was published. At every 64th message
        of the topic it lets other tasks run first, so that a loop that publishes cannot keep readers from reading.

        Raises `ContentError`, `BadOption`, `BadName` (a pattern), `Closed`, `Timeout`, `BufferFull`.
        """
        limit = None if timeout is None else seconds(timeout, "timeout")
        if not self._log.end % FAIR:
            # Before anything is done, so that who is cancelled here has published nothing.
            await asyncio.sleep(0)
        return await self._publish(content, id, headers, limit)

    async def _publish(
        self, content: T, id: str | None, headers: Mapping[str, str] | None, limit: float | None
    ) -> Message[T]:
        if not self._log.gates and (not self._feeds or not self._gated()) and not self._turnstile:
            return self.publish_nowait(content, id=id, headers=headers)
        message = self._make(content, id, headers)
        if self._seen(message) is not None:
            return self._append(message)
        if self._turnstile is None:
            self._turnstile = Turnstile()
        turnstile = self._turnstile
        logs = (self._log, *self._feeds)
        size = message.size if self._counts_bytes() else 0
        with await turnstile.wait(logs, size, limit, lambda: self._seen(message) is not None):
            return self._append(message)

    def publish_nowait(
        self, content: T, *, id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Message[T]:
        """As `publish`, at once. Raises `WouldBlock` where that would wait."""
        log = self._log
        if not self._plain or log.gates or id is not None or headers is not None or get_ident() != self._thread:
            return self._publish_with_care(content, id, headers)
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
        self, content: T, *, id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Future[Message[T]]:
        """Publish from another thread than the hub's; the future's result is the message.

        Raises `Closed` when the hub is not open; what `publish` raises comes from the future. Cancelling the future
        before the message is appended takes it back. In the hub's own thread it is `publish_nowait`, done when this
        returns, since waiting for the future there would be waiting for oneself.
        """
        self._check_open()
        if self._loop is None:
            raise self._closed()
        if get_ident() == self._thread and self._loop.is_running():
            return _done(lambda: self.publish_nowait(content, id=id, headers=headers))
        returned: list[Future[Message[T]]] = []

        async def publish() -> Message[T]:
            # asyncio would pass the news on only after the first step of this task, which may be all of it.
            if returned and returned[0].cancelled():
                raise asyncio.CancelledError
            # Without giving way: the next one that this thread published would overtake it.
            return await self._publish(content, id, headers, None)

        publishing = publish()
        try:
            future = asyncio.run_coroutine_threadsafe(publishing, self._loop)
        except RuntimeError:  # the loop was closed, and the hub in it was not
            publishing.close()
            raise Closed(f"topic {self.id!r}", "the event loop of its hub has ended") from None
        returned.append(future)
        return future

    def _publish_with_care(self, content: T, id: str | None, headers: Mapping[str, str] | None) -> Message[T]:
        message = self._make(content, id, headers)
        if self._gated() and self._seen(message) is None:
            turnstile = self._turnstile or Turnstile()
            turnstile.pass_nowait((self._log, *self._feeds), message.size if self._counts_bytes() else 0)
        return self._append(message)

    def _make(self, content: T, id: str | None, headers: Mapping[str, str] | None) -> Message[T]:
        if is_pattern(self.id):
            raise BadName(self.id, "this is a pattern, to subscribe to; publish to one topic, hub.topic('a:b')")
        self._check_open()
        if get_ident() != self._thread:
            raise WrongThread(f"publish to {self.id!r}")
        if self._content is not None:
            content = self._content.check(content, self.id)
        uid: int | str = self._log.uid if id is None else check_id(id)
        if id is not None and self._window is None:
            self._window = Window(self._log)
        return Message(content, self.id, self._log.end, uid, time(), check_headers(headers))

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
        optional_seconds(timeout)
        options = check_options(overflow, buffer, buffer_bytes, key, report_lost, block_timeout)
        start = check_start(start)
        if start in ("new", "earliest") and not report_lost:
            return Subscription(self, options, start)
        return ReportingSubscription(self, options, start)

    def attach(self, options: Options, start: Start) -> Cursor:
        """A cursor in the log: what a subscription asks for when it is entered. Raises `Closed`, `WrongThread`."""
        self._check_open()
        if get_ident() != self._thread or asyncio.get_running_loop() is not self._loop:
            raise WrongThread(f"subscribe to {self.id!r}")
        first, told = find(self._log, start, time())
        return Cursor(self._log, options, first, told)

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
        return _History(partial(self._snapshot, check_start(start), limit))

    def _snapshot(self, start: Start, limit: int | None) -> Iterator[Message[T] | Lost]:
        self._check_open()
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
        self._plain = not (self._state or self._feeds or self._content is not None or is_pattern(self.id))

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


class _History(Generic[T]):
    """The iterator of `Topic.history`; not a generator, so that leaving its loop early leaves nothing to be closed."""

    __slots__ = ("_items", "_snapshot")

    def __init__(self, snapshot: Callable[[], Iterator[Any]]) -> None:
        self._snapshot = snapshot
        self._items: Iterator[Any] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __iter__(self) -> NoReturn:
        raise BadOption("loop over history", "for", "it is iterated with `async for`")

    def __await__(self) -> NoReturn:
        raise BadOption("await of history", "await", "it is iterated: `[m async for m in topic.history()]`")

    async def __anext__(self) -> Any:
        if self._items is None:
            self._items = self._snapshot()
        for item in self._items:
            return item
        raise StopAsyncIteration


def _done(publish: Callable[[], Message[T]]) -> Future[Message[T]]:
    future: Future[Message[T]] = Future()
    try:
        future.set_result(publish())
    except TelexError as error:
        future.set_exception(error)
    return future


def check_options(
    overflow: Overflow,
    buffer: int,
    buffer_bytes: int | None,
    key: Callable[[Message[Any]], object] | None,
    report_lost: bool,
    block_timeout: Duration,
) -> Options:
    """The options of a subscription. Raises `BadOption` for a value that cannot be, where it is given."""
    if overflow not in NAMES:
        raise BadOption("overflow", overflow, f"it is one of {', '.join(NAMES)}")
    if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1:
        raise BadOption("buffer", buffer, "it is how many messages may wait, at least 1")
    if buffer_bytes is not None and (not isinstance(buffer_bytes, int) or buffer_bytes < 1):
        raise BadOption("buffer_bytes", buffer_bytes, "it is how many bytes may wait, at least 1, or None")
    if key is not None and overflow != "latest":
        raise BadOption("key", key, "it goes with overflow='latest', which keeps the newest of each key")
    if key is not None and (not callable(key) or inspect.iscoroutinefunction(key)):
        raise BadOption("key", key, "it is a function of the message, not async, such as lambda m: m.content['user']")
    if not isinstance(report_lost, bool):
        raise BadOption("report_lost", report_lost, "it is True or False")
    patience = seconds(block_timeout, "block_timeout")
    options = Options(overflow, buffer, buffer_bytes, key, report_lost, patience)
    return _USUAL if options == _USUAL else options  # most subscribers share one


_USUAL = Options()
