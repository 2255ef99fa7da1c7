"""`Subscription`: the asynchronous shell around a cursor. Decisions are the cursor's; here is waiting and being
woken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar, cast

import msgspec

from telex.batches import Batches
from telex.cursor import ASK, EMPTY, ENDED, FAR, HOLE, READY, Cursor
from telex.durations import Duration, optional_seconds, seconds
from telex.errors import BadOption, Closed, SlowSubscriber, Timeout, WouldBlock
from telex.holdings import Options, Overflow
from telex.message import Lost, Message, Position
from telex.overflow import LONGEST_SEGMENT
from telex.start import Start
from telex.wakeup import Seat, park
from telex.walk import Walk, together

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)


class Host(Protocol):
    """What a subscription needs of its topic."""

    @property
    def id(self) -> str: ...
    def attach(self, options: Options, start: Start, found: tuple[int, Lost | None] | None = None) -> Cursor:
        """A cursor in the topic's log; ``found`` is what `prepare` found. Raises `Closed`, `WrongThread`."""

    def prepare(self, options: Options, start: Start) -> Awaitable[tuple[int, Lost | None] | None] | None:
        """What has to be awaited before `attach`, if anything."""

    async def bring(self, cursor: Cursor) -> None:
        """Read the next messages of a cursor from where they are kept."""


class SubscriptionStatistics(msgspec.Struct, frozen=True):
    """What became of every message since a subscription began: ``published == received + lost + waiting``."""

    topic: str
    published: int
    received: int
    lost: int
    waiting: int
    buffer: int
    overflow: Overflow
    ended: str | None
    """None while it is open, else why it ended: ``closed``, ``removed``, ``slow``, ``failed``."""


class AnySubscription(Generic[T, Item]):
    """What `Subscription` and `ReportingSubscription` have in common; not made by hand, but by ``topic.subscribe``.

    An async context manager: it joins the log when entered, and when left nothing of it stays. Iterate it, or call
    `receive`; either takes each message once. It belongs to the loop of its hub. Iteration ends when the topic is
    removed or the hub or the subscription is closed, after what was waiting; with overflow ``close`` or ``block`` it
    raises `SlowSubscriber` after what was waiting, if it fell behind too far.
    """

    __slots__ = ("_closed", "_cursor", "_host", "_options", "_seat", "_start", "_walk")

    def __init__(self, host: Host, options: Options, start: Start) -> None:
        self._host = host
        self._options = options
        self._start = start
        self._cursor: Cursor | None = None
        self._closed = False
        self._seat: Seat | None = None  # one that is free
        self._walk: Walk[Item] | None = None

    @property
    def topic(self) -> str:
        """The id, or the pattern, that it is to."""
        return self._host.id

    # -- life

    async def __aenter__(self) -> Self:
        """Join the log. Raises `Timeout`; `Closed` when the hub is not open, or when this was entered before."""
        preparing = None if self._cursor is not None else self._host.prepare(self._options, self._start)
        if preparing is None:
            self.enter()
            return self
        limit = self._options.timeout
        try:
            async with asyncio.timeout(limit) as clock:
                found = await preparing
        except TimeoutError as error:
            if isinstance(error, Timeout) or limit is None or not clock.expired():
                raise
            raise Timeout(f"subscribing to {self.topic!r}", limit) from None
        self.enter(found)
        return self

    def enter(self, found: tuple[int, Lost | None] | None = None) -> None:
        """Join the log, without waiting: where it is in this process, or where ``start`` is ``"new"``."""
        if self._cursor is not None:
            raise Closed(self._name, "a subscription is entered once; call topic.subscribe() again for another")
        self._cursor = self._host.attach(self._options, self._start, found)
        self._seat = Seat(asyncio.get_running_loop())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the log, at once. Who waits in `receive` gets `Closed`, who iterates reaches the end. Twice is fine."""
        self.leave()

    def leave(self) -> None:
        """As `aclose`, which never waits."""
        cursor = self._cursor
        if cursor is None or self._closed:
            return
        self._closed = True
        cursor.end("closed")
        cursor.stop()
        if cursor.log.parked:
            cursor.log.wake()
        walk, self._walk = self._walk, None
        if walk is not None:
            walk.close()

    # -- taking

    def __aiter__(self) -> AsyncIterator[Item]:
        """Every message in turn. Leaving the loop keeps the place: a second ``async for`` goes on where it ended.

        One task iterates at a time; for several, open a subscription each, or let them all call `receive`.
        """
        cursor = self._entered()
        walk = self._walk
        if walk is None:
            seat, self._seat = self._seat or Seat(asyncio.get_running_loop()), None
            self._walk = walk = Walk(cursor, seat, self)
        if not walk.begin():
            raise BadOption(
                "use of the subscription", self.topic, "another task iterates it; subscribe once more, or use receive()"
            )
        return walk

    async def _iterate(self, walk: Walk[Item], seat: Seat) -> AsyncGenerator[Item, None]:
        cursor = self._counted()
        log = cursor.log
        while True:
            item: Any = cursor.take()  # the kernel knows no T
            if item is ASK:
                item = cursor.load()
            if item is READY:
                item = together(cursor, seat)
                if item is not None:
                    walk.through(item)
                    item = item[0].result()
                    yield item
                    continue
                limit = cursor.limit
                # What is taken is known from the iterator; what arrived, from the log's end.
                for item in cursor.current:
                    yield item
                    if log.end > limit:
                        break
            elif item is EMPTY:
                # What `park` does, without a coroutine of its own.
                log.parked[seat] = None
                try:
                    await seat
                except BaseException:
                    log.parked.pop(seat, None)
                    raise
            elif item is HOLE:
                yield cast("Item", cursor.tell())  # only with report_lost or a start that may be gone
            elif item is FAR:
                await self._host.bring(cursor)
            elif item is ENDED:
                self._raise_if_failed(cursor)
                return
            else:
                yield item

    async def receive(self, timeout: Duration | None = None) -> Item:
        """The next message, waited for at most ``timeout`` seconds (None: as long as it takes).

        Raises `Timeout`; `Closed` when nothing will come any more; `SlowSubscriber` when it was ended for being slow.
        Several tasks may wait at once: each message goes to one of them. A cancelled wait takes nothing.
        """
        cursor = self._cursor
        if cursor is None or self._closed:
            cursor = self._entered()
        if timeout is not None:
            return await self._receive_until(cursor, timeout)
        log = cursor.log
        while True:
            item: Any = cursor.take()  # the kernel knows no T
            if item is READY:
                return cursor.pop()  # type: ignore[return-value]
            if item is ASK:
                item = self._take(cursor)
                if item is None and cursor.far is not None:
                    await self._host.bring(cursor)
                    continue
            if item is not EMPTY and item is not None:
                return item  # type: ignore[no-any-return]
            # What `park` does, without a coroutine of its own.
            seat, self._seat = self._seat or Seat(asyncio.get_running_loop()), None
            log.parked[seat] = None
            try:
                await seat
            except BaseException:
                log.parked.pop(seat, None)
                raise
            self._seat = seat

    async def _receive_until(self, cursor: Cursor, timeout: Duration) -> Item:
        deadline = _deadline(timeout)
        item = self._take(cursor)
        while item is None:
            await self._wait(cursor, timeout, deadline)
            item = self._take(cursor)
        return item

    async def receive_or_end(self) -> Item:
        """As `receive`, for iterators: raises `StopAsyncIteration` when nothing will come any more."""
        cursor = self._counted()
        while True:
            if self._closed or cursor.load() is ENDED:
                self._raise_if_failed(cursor)
                raise StopAsyncIteration
            item = self._take(cursor)
            if item is not None:
                return item
            if cursor.far is not None:
                await self._host.bring(cursor)
            else:
                await park(cursor.log)

    def receive_nowait(self) -> Item:
        """The next message, if one waits. Raises `WouldBlock` if not, and what `receive` raises but `Timeout`."""
        cursor = self._entered()
        item = self._take(cursor)
        if item is None and cursor.far is not None:
            raise WouldBlock(f"the next message of the subscription to {self.topic!r} is read from the engine first")
        if item is None:
            raise WouldBlock(f"no message waits in the subscription to {self.topic!r}")
        return item

    def receive_many_nowait(self, limit: int = LONGEST_SEGMENT) -> tuple[Item, ...]:
        """All that waits, as `receive_many`. Raises `WouldBlock` if nothing does, and what `receive_many` raises but
        `Timeout`.
        """
        check_limit(limit)
        batch = self._take_many(self._entered(), limit)
        if not batch:
            raise WouldBlock(f"no message waits in the subscription to {self.topic!r}")
        return batch

    async def receive_many(self, limit: int = LONGEST_SEGMENT, timeout: Duration | None = None) -> tuple[Item, ...]:
        """All that waits, at least one and at most ``limit`` messages; raises what `receive` raises.

        A `Lost`, where one is told, comes alone. Subscribers that are at the same place are handed the same tuple.
        """
        check_limit(limit)
        cursor = self._entered()
        deadline = _deadline(timeout)
        batch = self._take_many(cursor, limit)
        if not batch:
            while not batch:
                await self._wait(cursor, timeout, deadline)
                batch = self._take_many(cursor, limit)
        return batch

    def batches(self, limit: int = LONGEST_SEGMENT) -> AsyncIterator[tuple[Item, ...]]:
        """Iterate over what waits, as tuples of 1 to ``limit`` messages: for work that is cheaper in bulk. Ends as
        `async for`.
        """
        check_limit(limit)
        self._entered()
        return Batches(self, limit)

    # -- accounts

    @property
    def position(self) -> Position:
        """Just after the last message that was taken: subscribe with ``start=`` this to go on from here."""
        cursor = self._counted()
        return Position(cursor.last, cursor.log.epoch)

    @property
    def lost(self) -> int:
        """How many messages this subscriber has missed until now."""
        return self._counted().lost

    @property
    def waiting(self) -> int:
        """How many messages wait to be taken."""
        return self._counted().waiting

    @property
    def ended(self) -> str | None:
        """None while messages may come, else why they do not: ``closed``, ``removed``, ``slow``, ``failed``."""
        return "closed" if self._closed else self._counted().ended

    def statistics(self) -> SubscriptionStatistics:
        """The accounts at this moment, also of a subscription that is closed."""
        cursor, options = self._counted(), self._options
        return SubscriptionStatistics(
            self.topic,
            cursor.published,
            cursor.received,
            cursor.lost,
            cursor.waiting,
            options.buffer,
            options.overflow,
            self.ended,
        )

    # -- inside

    def _entered(self) -> Cursor:
        cursor = self._cursor
        if cursor is None:
            raise Closed(
                self._name, "enter it first: `async with topic.subscribe(...) as inbox:` (in telex.blocking, `with`)"
            )
        if self._closed:
            raise self._no_more(cursor)
        return cursor

    def _counted(self) -> Cursor:
        return self._entered() if self._cursor is None else self._cursor

    def _take(self, cursor: Cursor) -> Item | None:
        state = cursor.load()
        if state is READY:
            return cast("Item", cursor.pop())  # the kernel knows no T
        if state is EMPTY or state is FAR:
            return None
        if state is HOLE:
            return cast("Item", cursor.tell())
        self._raise_if_failed(cursor)
        raise self._no_more(cursor)

    def _take_many(self, cursor: Cursor, limit: int) -> tuple[Item, ...]:
        state = cursor.load()
        if state is READY:
            batch = cursor.take_many(limit)
            if len(batch) == 1:
                # Policies that publishers wait for load one at a time.
                while len(batch) < limit and cursor.load() is READY:
                    batch += cursor.take_many(limit - len(batch))
            return batch  # type: ignore[return-value]  # the kernel knows no T
        if state is EMPTY or state is FAR:
            return ()
        if state is HOLE:
            return (cursor.tell(),)  # type: ignore[return-value]
        self._raise_if_failed(cursor)
        raise self._no_more(cursor)

    async def _wait(self, cursor: Cursor, timeout: Duration | None, deadline: float | None) -> None:
        if cursor.far is not None:
            await self._host.bring(cursor)
        elif deadline is None:
            await park(cursor.log)
        elif not await park(cursor.log, deadline - asyncio.get_running_loop().time()) and cursor.load() is EMPTY:
            raise Timeout(f"receiving from {self.topic!r}", optional_seconds(timeout) or 0.0)

    def _raise_if_failed(self, cursor: Cursor) -> None:
        if cursor.slow:
            error = SlowSubscriber(self.topic, cursor.lost, self._options.buffer)
            cursor.stop()
            raise error
        if cursor.error is not None:
            raise cursor.error

    def _no_more(self, cursor: Cursor) -> Closed:
        if cursor.ended == "removed":
            return Closed(f"topic {self.topic!r}", "it was removed; hub.topic(...) makes it anew")
        return Closed(self._name, "it, or its hub, was closed; subscribe again to receive more")

    @property
    def _name(self) -> str:
        return f"the subscription to {self.topic!r}"

    # -- mistakes, told where they are made

    def __iter__(self) -> NoReturn:
        raise BadOption("loop over", self.topic, "a subscription is iterated with `async for`")

    def __enter__(self) -> NoReturn:
        raise BadOption("use of the subscription", self.topic, "enter it with `async with`, not `with`")

    def __exit__(self, *error: object) -> None: ...

    def __await__(self) -> NoReturn:
        raise BadOption(
            "await of the subscription", self.topic, "enter it: `async with topic.subscribe(...) as inbox:`"
        )

    def __repr__(self) -> str:
        state = "not entered" if self._cursor is None else self._cursor.ended or "open"
        return f"<{type(self).__name__} to {self.topic!r}, {state}>"


class Subscription(AnySubscription[T, Message[T]]):
    """A cursor with a buffer and an overflow policy; gives `Message` alone."""

    __slots__ = ()


class ReportingSubscription(AnySubscription[T, Message[T] | Lost]):
    """A subscription that also gives `Lost`, in the place of what was missed."""

    __slots__ = ()


def check_limit(limit: object) -> None:
    """Raises `BadOption` for what is no number of messages to take."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadOption("limit", limit, "it is how many messages are taken at most, at least 1")


def _deadline(timeout: Duration | None) -> float | None:
    if timeout is None:
        return None
    return asyncio.get_running_loop().time() + seconds(timeout, "timeout")
