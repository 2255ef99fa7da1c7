"""`Topic`: a named log, to publish to and to subscribe to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from threading import get_ident
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, overload

import msgspec

from telex.codec.content import Content
from telex.durations import Duration
from telex.engines.contract.store import Holed
from telex.errors import BadOption, Misuse, WrongThread
from telex.log.cursor import Cursor
from telex.log.log import Log
from telex.log.options import Options, Overflow, check_options
from telex.log.start import Start, check_start, find
from telex.message import Lost, Message, Position
from telex.names import Pattern, is_pattern
from telex.topics.history import History, Pages, SinglePage
from telex.topics.publisher import Publisher
from telex.topics.subscription import ReportingSubscription, Subscription
from telex.topics.waiters import park

if TYPE_CHECKING:
    pass

T = TypeVar("T")
Key = Callable[[Message[T]], object]
READ = (
    "a topic is read by a subscription: `async with topic.subscribe() as inbox:` and then `async for message in inbox:`"
)


LET_GO = "it ended with its last message; hub.topic(...) makes it anew"
"""The state of a topic that takes nothing more here, and of which what a store keeps can still be read."""
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


class Topic(Publisher[T]):
    """A named log. Made by ``hub.topic(id)``, which hands out the same one every time; a pattern's is for reading only.

    Messages have numbers, ``seq``, from 1. All who subscribe read the same log, each from its own place.
    """

    __slots__ = ()

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

        ``start`` says where (`telex.log.start`); a start that is gone is told by a `Lost`, before anything else.
        ``buffer`` messages, and ``buffer_bytes`` bytes if given, may wait; ``overflow`` says what happens then
        (`telex.log.overflow`). ``key`` is for ``latest``: the newest of each ``key(message)`` is kept. ``report_lost``
        puts a `Lost` in the place of every hole. ``block_timeout``: how long publishers wait for it under ``block``.
        ``timeout`` bounds entering.

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
        self._resume()
        first, told = found or find(self._log, start, self._clock())
        cursor = Cursor(self._log, options, first, told)
        if self._state is LET_GO:
            cursor.end("removed")
        return cursor

    def detach(self) -> None:
        """A subscription has left. What nobody reads, and to which nothing was published, is let go until somebody uses
        it again.
        """
        log = self._log
        if self._owner is None or self._content is not None:
            return
        if not log.cursors and not log.observer.waiters and log.end == self._origin:
            self._owner.release(self)

    def _resume(self) -> None:
        if self._owner is not None:
            self._owner.resume(self.id)

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
        first, told = await self._store.find(self.id, start, self._clock())
        while log.end < first:
            if self._state is LET_GO:
                return log.end, told  # what came later is not for those who read this one
            self._check_open()
            await park(log)  # this process has not heard of all yet that the store had then
        while options.key is not None and first < log.base:
            # The newest of each key is worked out from the messages themselves.
            base = log.base
            kept = await self._store.read(self.id, max(first, base - PAGE), base)
            run: list[Message[Any]] = []
            for item in kept:
                if isinstance(item, Lost):
                    run = []  # the newest of each key is known only from where all can be read
                elif item.seq < log.base:
                    run.append(item)
            if not run or run[-1].seq != log.base - 1 or run[0].seq + len(run) != log.base:
                if isinstance(kept, Holed) and options.report_lost and told is None:
                    told = Lost(log.base - first, first, log.base - 1, "unreadable")
                first = log.base
                break
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
        unloaded = cursor.unloaded
        if unloaded is None or self._store is None:
            return
        self._check_readable()
        found = await self._store.read(self.id, *unloaded)
        if not isinstance(found, Holed):
            messages: Any = found
            cursor.supply(unloaded[0], messages[-1].seq + 1 if messages else unloaded[1], messages)
            return
        lost = next(item for item in found if isinstance(item, Lost))
        before: Any = found[: found.index(lost)]
        if lost.first > unloaded[0]:  # what comes after it is read again
            cursor.supply(unloaded[0], lost.first, before)
        else:
            cursor.supply(unloaded[0], lost.last + 1, (), "unreadable")

    def _check_readable(self) -> None:
        if self._state is not LET_GO:
            self._check_open()

    def _check_here(self) -> None:
        self._check_readable()
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
        what is kept". Raises `BadOption`; from the iteration `Closed`, and `EngineFailed` in the place of a message
        whose content is damaged: iterating on gives what follows. With a `Position`, a `Lost` with the reason
        ``unreadable`` comes there instead.
        """
        if limit is not None and limit < 0:
            raise BadOption("limit", limit, "give a number of messages, or None for all")
        start = check_start(start)
        if self._store is not None and not is_pattern(self.id):
            pages = Pages(self._store, self.id, start, limit, self._clock)
            return History(partial(self._page, pages))
        return History(SinglePage(partial(self._snapshot, start, limit)))

    async def _page(self, pages: Pages) -> Iterable[Message[Any] | Lost]:
        self._check_readable()
        return await pages()

    async def _snapshot(self, start: Start, limit: int | None) -> Iterator[Message[T] | Lost]:
        self._check_open()
        self._resume()
        if self._store is not None:
            await self._fill()
        first, told = find(self._log, start, self._clock())
        end = self._log.end if limit is None else min(self._log.end, first + limit)
        kept: Iterator[Message[T] | Lost] = iter(self._log.slice(first, end))
        return chain([told], kept) if told is not None and isinstance(start, Position) else kept

    async def position(self) -> Position:
        """Where the log ends now: a subscriber that starts here gets what comes after this moment."""
        return Position(self._log.end - 1, self._log.epoch)

    def statistics(self) -> TopicStatistics:
        """The topic at this moment."""
        log = self._log
        first = log.keep(self._clock())
        if self._store is not None and not is_pattern(self.id):
            first = self._store.end(self.id)[0]
        waiting = 0 if self._publish_queue is None else len(self._publish_queue)
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
        if self._publish_queue is not None:
            self._publish_queue.close(self._closed())
        for cursor in list(self._log.cursors):
            cursor.end(why)
        self._log.observer.notify()

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

    # -- mistakes, told where they are made

    def __aiter__(self) -> NoReturn:
        raise Misuse(f"iterate over topic {self.id!r}", READ)

    def __iter__(self) -> NoReturn:
        raise Misuse(f"iterate over topic {self.id!r}", READ)

    async def __aenter__(self) -> NoReturn:
        raise Misuse(f"enter topic {self.id!r}", READ)

    async def __aexit__(self, *error: object) -> None: ...

    @property
    def type(self) -> Any:
        """The declared type of its content; None when any content may be published."""
        return None if self._content is None else self._content.declared

    def __repr__(self) -> str:
        return f"<Topic {self.id!r}, {self._log.end - 1} published>"
