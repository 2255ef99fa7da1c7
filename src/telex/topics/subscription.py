"""`Subscription`: the asyncio shell around a cursor: the cursor makes decisions, and the subscription waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from operator import add
from types import AsyncGeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

import msgspec

from telex.durations import Duration, optional_seconds, seconds
from telex.errors import Closed, Misuse, SlowSubscriber, Timeout, WouldBlock
from telex.log.cursor import Cursor
from telex.log.options import Options, Overflow
from telex.log.start import Found, Start
from telex.log.state import EMPTY, ENDED, UNLOADED, State
from telex.message import Lost, Message, Position
from telex.process.waiters import Waiter, within
from telex.topics.batches import Batches, chain_of, check_limit
from telex.topics.publisher import FINISHED, Publisher

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)
MAX_BATCH = 4096
"""The default number of messages that `receive_many` and `batches` return at most."""


class SubscriptionStatistics(msgspec.Struct, frozen=True):
    """The counts of all messages since a subscription began: ``published == received + lost + expired + waiting``."""

    topic: str
    published: int
    received: int
    lost: int
    waiting: int
    buffer: int
    overflow: Overflow
    ended: str | None
    """None while it is open, else the reason of its end: ``closed``, ``finished``, ``slow``, ``failed``."""
    expired: int = 0
    """The messages that the subscription left out, because they had expired when their turn came."""


class AnySubscription(Generic[T, Item]):
    """The common part of `Subscription` and `ReportingSubscription`, which ``topic.subscribe`` returns.

    An async context manager: entering joins the log, leaving removes it from the log. Iterate over it, or call
    `receive`; either takes each message once. Use it in the loop of its hub. When the topic is removed, it continues in
    the topic's next epoch after its waiting messages, with a `Lost` first if it reports losses. Iteration ends when the
    hub or the subscription is closed, or after the last message of a trigger's topic; all after the waiting messages.
    With overflow ``close`` or ``block``, a subscription that fell too far behind raises `SlowSubscriber` after its
    waiting messages.
    """

    __slots__ = ("_cursor", "_iterator", "_options", "_past", "_publisher", "_start", "_waiter")

    def __init__(self, publisher: Publisher, options: Options, start: Start) -> None:
        self._publisher = publisher
        self._options = options
        self._start = start
        self._cursor: Cursor | None = None
        self._past = (0, 0, 0, 0)  # the messages of earlier epochs: published, received, lost, expired
        self._waiter: Waiter | None = None  # a waiter that is free
        self._iterator: AsyncGeneratorType[Item, None] | None = None

    @property
    def topic(self) -> str:
        """The id or pattern of the subscription."""
        return self._publisher.id

    # -- life

    async def __aenter__(self) -> Self:
        """Join the log. Raises `Timeout`; `Closed` when the hub is not open, or when the subscription was entered
        before.
        """
        preparing = None if self._cursor is not None else self._publisher.prepare(self._options, self._start)
        if preparing is None:
            self._enter()
            return self
        connection = self._publisher.connection
        self._enter(await within(self._options.timeout, f"subscribing to {self.topic!r}", preparing, connection))
        return self

    def _enter(self, found: Found | None = None) -> None:
        if self._cursor is not None:
            raise Closed(self._name, "a subscription is entered once; call topic.subscribe() again for another")
        self._cursor = self._publisher.attach(self._options, self._start, found)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the log at once. A task that waits in `receive` gets `Closed`, an iteration ends. It may be called
        twice.
        """
        self._leave()

    def _leave(self) -> None:
        cursor = self._cursor
        if cursor is None or cursor.closed:
            return
        for each in list(chain_of(cursor)):
            each.close()
            if each.log.observer.waiters:
                each.log.observer.notify()
        self._publisher.detach()
        iterator, self._iterator = self._iterator, None
        if iterator is not None and not iterator.ag_running:  # a task that waits in it reaches its end when it is woken
            with suppress(StopIteration):
                iterator.aclose().send(None)  # at a yield, so it awaits nothing

    # -- taking

    def __aiter__(self) -> AsyncIterator[Item]:
        """Iterate over every message. Leaving the loop keeps the place: a second ``async for`` continues after it.

        One task iterates at a time; for several, open a subscription each, or let them all call `receive`.
        """
        cursor, iterator = self._entered(), self._iterator
        if iterator is not None and iterator.ag_running:
            raise Misuse(
                f"iterate over {self._name}", "another task iterates over it; subscribe once more, or use receive()"
            )
        # a loop that was cancelled, or came to the end, cannot continue
        if iterator is None or iterator.ag_frame is None:
            self._iterator = iterator = cast("AsyncGeneratorType[Item, None]", self._iterate(cursor))
        return iterator

    async def _iterate(self, cursor: Cursor) -> AsyncGenerator[Item, None]:
        log, buffer, observer = cursor.log, cursor.buffer, cursor.log.observer
        waiter = Waiter(asyncio.get_running_loop())
        item: Any  # the kernel has no type Item
        while (item := cursor.take()) is not ENDED or self._goes_on(cursor):
            if not isinstance(item, State):
                limit = cursor.limit
                yield item
                if log.end > limit:
                    continue
                # The taken messages are counted by the iterator, the arrived ones by the log's end.
                for item in buffer.current:
                    yield item
                    if log.end > limit:
                        break
            elif item is EMPTY:
                # the same as `park`, without another coroutine
                observer.waiters[waiter] = None
                try:
                    await waiter
                except BaseException:
                    observer.waiters.pop(waiter, None)
                    raise
            elif item is UNLOADED:
                await self._publisher.load(cursor)
            else:
                cursor = self._counted()
                log, buffer, observer = cursor.log, cursor.buffer, cursor.log.observer
        self._raise_if_failed(cursor)

    async def receive(self, timeout: Duration | None = None) -> Item:
        """Wait for the next message, at most ``timeout`` seconds (None: no bound), and return it.

        Raises `Timeout`; `Closed` when no message will come; `SlowSubscriber` when it was closed as slow. Several tasks
        may wait at once: each message goes to one of them. A cancelled call takes no message.
        """
        deadline = None if timeout is None else _deadline(timeout)
        while True:
            cursor = self._cursor
            if cursor is None or cursor.closed:
                cursor = self._entered()
            item: Any = cursor.take()  # the kernel has no type Item
            if not isinstance(item, State):
                return item  # type: ignore[no-any-return]
            if item is not EMPTY or deadline is not None:
                await self._more(cursor, item, timeout, deadline)
                continue
            # As `_more`, without a coroutine of its own.
            waiter, self._waiter = self._waiter or Waiter(asyncio.get_running_loop()), None
            cursor.log.observer.waiters[waiter] = None
            try:
                await waiter
            except BaseException:
                cursor.log.observer.waiters.pop(waiter, None)
                raise
            self._waiter = waiter

    async def _receive_or_end(self) -> Item:
        cursor = self._counted()
        while True:
            item: Any = cursor.take()  # the kernel has no type Item
            if not isinstance(item, State):
                return item  # type: ignore[no-any-return]
            await self._wait_or_end(cursor, item)
            cursor = self._counted()

    async def _wait_or_end(self, cursor: Cursor, state: State) -> Cursor:
        """Wait until another take may find a message, for iterators. Return the cursor to continue with. Raises
        `StopAsyncIteration` at the end.
        """
        if state is ENDED and not self._goes_on(cursor):
            self._raise_if_failed(cursor)
            raise StopAsyncIteration
        if state is not ENDED:
            await self._more(cursor, state, None, None)
        return self._counted()

    def receive_nowait(self) -> Item:
        """Return the next waiting message. Raises `WouldBlock` when none waits, and the errors of `receive` except
        `Timeout`.
        """
        cursor = self._entered()
        item: Any = cursor.take()  # the kernel has no type Item
        if not isinstance(item, State):
            return item  # type: ignore[no-any-return]
        self._check_more(cursor, item)
        return self.receive_nowait()

    def receive_many_nowait(self, limit: int = MAX_BATCH) -> tuple[Item, ...]:
        """Return all waiting messages, as `receive_many`. Raises `WouldBlock` when none waits, and the errors of
        `receive_many` except `Timeout`.
        """
        check_limit(limit)
        cursor = self._entered()
        batch: Any = cursor.take_many(limit)
        if not isinstance(batch, State):
            return batch  # type: ignore[no-any-return]
        self._check_more(cursor, batch)
        return self.receive_many_nowait(limit)

    async def receive_many(self, limit: int = MAX_BATCH, timeout: Duration | None = None) -> tuple[Item, ...]:
        """Wait for a message, and return all waiting messages, at most ``limit``. Raises as `receive`.

        A `Lost` is returned alone, and a batch ends before a message that has expired. Subscribers at the same place
        get the same tuple.
        """
        check_limit(limit)
        deadline = None if timeout is None else _deadline(timeout)
        while True:
            cursor = self._entered()
            batch: Any = cursor.take_many(limit)
            if not isinstance(batch, State):
                return batch  # type: ignore[no-any-return]
            await self._more(cursor, batch, timeout, deadline)

    def batches(self, limit: int = MAX_BATCH) -> AsyncIterator[tuple[Item, ...]]:
        """Iterate over the waiting messages, as tuples of 1 to ``limit`` messages, for work that is cheaper in bulk. It
        ends as `async for`.
        """
        check_limit(limit)
        return Batches(self._entered(), limit, self._wait_or_end, self.topic)

    # -- counts

    @property
    def position(self) -> Position:
        """The position after the last message that was taken. Subscribe with it as ``start=`` to continue from
        there.
        """
        cursor = self._counted()
        return Position(cursor.log.seq(cursor.last), cursor.log.epoch)

    @property
    def lost(self) -> int:
        """The number of messages that this subscriber has missed."""
        return self._past[2] + sum(each.lost for each in chain_of(self._counted()))

    @property
    def waiting(self) -> int:
        """The number of messages that wait to be taken."""
        return sum(each.waiting for each in chain_of(self._counted()))

    @property
    def ended(self) -> str | None:
        """None while messages may come, else the reason of the end: ``closed``, ``finished``, ``slow``, ``failed``."""
        *_, last = chain_of(self._counted())
        return "closed" if last.closed else last.ended

    def statistics(self) -> SubscriptionStatistics:
        """Return the counts now, also for a closed subscription."""
        options, (published, received, _, expired) = self._options, self._past
        cursors = list(chain_of(self._counted()))
        return SubscriptionStatistics(
            self.topic,
            published + sum(each.published for each in cursors),
            received + sum(each.received for each in cursors),
            self.lost,
            self.waiting,
            options.buffer,
            options.overflow,
            self.ended,
            expired + sum(each.expired for each in cursors),
        )

    # -- internal

    def _entered(self) -> Cursor:
        cursor = self._cursor
        if cursor is None:
            raise Closed(
                self._name, "enter it first: `async with topic.subscribe(...) as inbox:` (in telex.blocking, `with`)"
            )
        if cursor.closed:
            raise self._no_more(cursor)
        return cursor

    def _counted(self) -> Cursor:
        return self._entered() if self._cursor is None else self._cursor

    def _goes_on(self, cursor: Cursor) -> bool:
        """Continue in the next epoch of the topic, if there is one and ``cursor`` is empty. Return true then."""
        following = cursor.move_on()
        if following is None:
            return False
        if cursor is self._cursor:  # no other task was first
            counts = cursor.published, cursor.received, cursor.lost, cursor.expired
            self._past = tuple(map(add, self._past, counts))
            self._cursor = following
        return True

    def _check_more(self, cursor: Cursor, state: State) -> None:
        """Raise the errors of `receive_nowait`, unless the next epoch of the topic may have a message."""
        if state is UNLOADED:
            raise WouldBlock(f"the next message of the subscription to {self.topic!r} is read from the engine first")
        if state is EMPTY:
            raise WouldBlock(f"no message waits in the subscription to {self.topic!r}")
        if not self._goes_on(cursor):
            raise self._no_more(cursor)

    async def _more(self, cursor: Cursor, state: State, timeout: Duration | None, deadline: float | None) -> None:
        """Wait until another take may find a message."""
        loop = asyncio.get_running_loop()
        if state is UNLOADED:
            limit = None if deadline is None else max(0.0, deadline - loop.time())
            loading = self._publisher.load(cursor)
            await within(limit, f"receiving from {self.topic!r}", loading, self._publisher.connection)
            return
        if state is ENDED:
            if self._goes_on(cursor):
                return
            raise self._no_more(cursor)
        if deadline is not None and loop.time() >= deadline:
            raise Timeout(f"receiving from {self.topic!r}", optional_seconds(timeout) or 0.0)
        waiter, self._waiter = self._waiter or Waiter(loop), None
        timer = None if deadline is None else loop.call_at(deadline, waiter.wake)
        cursor.log.observer.waiters[waiter] = None
        try:
            await waiter
        finally:
            cursor.log.observer.waiters.pop(waiter, None)
            if timer is not None:
                timer.cancel()
        self._waiter = waiter

    def _raise_if_failed(self, cursor: Cursor) -> None:
        if cursor.ended == "slow":
            error = SlowSubscriber(self.topic, self.lost, self._options.buffer)
            cursor.stop()
            raise error
        if cursor.error is not None:
            raise cursor.error

    def _no_more(self, cursor: Cursor) -> Closed:
        self._raise_if_failed(cursor)
        if cursor.ended == "finished":
            return Closed(f"topic {self.topic!r}", FINISHED)
        return Closed(self._name, "it, or its hub, was closed; subscribe again to receive more")

    @property
    def _name(self) -> str:
        return f"the subscription to {self.topic!r}"

    # -- mistakes

    def __iter__(self) -> NoReturn:
        raise Misuse(f"use `for` on {self._name}", "iterate over it with `async for`")

    def __enter__(self) -> NoReturn:
        raise Misuse(f"use `with` on {self._name}", "enter it with `async with`")

    def __exit__(self, *error: object) -> None: ...

    def __await__(self) -> NoReturn:
        raise Misuse(f"await {self._name}", "enter it: `async with topic.subscribe(...) as inbox:`")

    def __repr__(self) -> str:
        state = "not entered" if self._cursor is None else self._cursor.ended or "open"
        return f"<{type(self).__name__} to {self.topic!r}, {state}>"


class Subscription(AnySubscription[T, Message[T]]):
    """A subscription that gives only `Message`."""

    __slots__ = ()


class ReportingSubscription(AnySubscription[T, Message[T] | Lost]):
    """A subscription that also gives `Lost`, in place of missed messages."""

    __slots__ = ()


def enter(subscription: AnySubscription[Any, Any], *, lasting: bool = False) -> None:
    """Join the log without waiting. The log has to be in this process, or the start ``"new"``. ``lasting``: the
    subscription does not end with the last message of a trigger, and also gets the messages that have expired.
    """
    subscription._enter()
    cursor = cursor_of(subscription)
    cursor.lasting = cursor.takes_expired = lasting


def end_with_topic(subscription: AnySubscription[Any, Any]) -> None:
    """Let a lasting subscription end with the last message of a trigger."""
    for each in chain_of(subscription._counted()):
        each.lasting = False


def leave(subscription: AnySubscription[Any, Any]) -> None:
    """Leave the log as `AnySubscription.aclose` does."""
    subscription._leave()


async def receive_or_end(subscription: AnySubscription[Any, Item]) -> Item:
    """Return the next item. Raises `StopAsyncIteration` at the end."""
    return await subscription._receive_or_end()


async def receive_waiting(subscription: AnySubscription[Any, Item], limit: int) -> tuple[Item, ...]:
    """Return waiting messages as `AnySubscription.receive_many`, or nothing when all of them have expired."""
    while (batch := (cursor := subscription._entered()).take_many(limit)) is not EMPTY:
        if not isinstance(batch, State):
            return cast("tuple[Item, ...]", batch)
        await subscription._more(cursor, batch, None, None)
    return ()


def cursor_of(subscription: AnySubscription[Any, Any]) -> Cursor:
    """Return the cursor of a subscription that was entered."""
    return subscription._counted()


def _deadline(timeout: Duration) -> float:
    return asyncio.get_running_loop().time() + seconds(timeout, "timeout")
