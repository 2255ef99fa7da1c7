"""`Topic`: a named log, to publish to and to subscribe to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from threading import get_ident
from time import time
from typing import Any, Generic, Literal, NoReturn, TypeVar, overload
from weakref import ref

import msgspec

from telex.durations import Duration, due, optional_seconds, seconds
from telex.errors import BadOption, Misuse
from telex.log.options import Overflow, check_options
from telex.log.start import Start, check_start
from telex.message import Lost, Message, Position, expiring
from telex.topics.publisher import FAIR, Publisher
from telex.topics.sending import publish_at, publish_with, sent, sent_nowait
from telex.topics.subscription import ReportingSubscription, Subscription
from telex.topics.threads import cancel, publish_from_thread

T = TypeVar("T")
Key = Callable[[Message[T]], object]
READ = (
    "a topic is read by a subscription: `async with topic.subscribe() as inbox:` and then `async for message in inbox:`"
)


class TopicStatistics(msgspec.Struct, frozen=True):
    """The state of a topic at one moment: the number of messages that were ever ``published`` and that are ``kept``,
    the number of the ``first`` kept message, the readers and waiting publishers, and how often a subscription of this
    process left out a message that had ``expired``.
    """

    topic: str
    published: int
    kept: int
    first: int
    subscribers: int
    waiting_publishers: int
    expired: int = 0


class Topic(Generic[T]):
    """A named log. ``hub.topic(id)`` returns it, the same object every time; a pattern can only be read.

    Messages have rising numbers, ``seq``. All subscribers read the same log, each at its own position.
    """

    __slots__ = ("__weakref__", "_publisher", "id")

    def __init__(self, publisher: Publisher) -> None:
        self.id: str = publisher.id
        """The topic id, or the pattern."""
        self._publisher = publisher

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
        ttl: Duration | None = None,
        timeout: Duration | None = None,
    ) -> Message[T]:
        """Append a message. Return it once the engine has stored it.

        ``id`` is a new UUIDv7 unless given. An id that was published within the engine's window stores nothing, and the
        stored message is returned. ``headers`` are text to text. Groups handle messages of one ``key`` one after the
        other. With ``delay``, or ``at`` (an aware datetime), the engine stores the message and publishes it later; the
        returned message has the number 0. With ``ttl``, no reader gets the message from that time after its publishing
        on (`Message.expires`).

        Waits for the engine, and for subscribers with ``overflow="block"``, at most ``timeout`` seconds. A call that is
        cancelled or times out while it waits for subscribers has published nothing; while it waits for the engine, the
        message may be stored. In memory, every 64th call of a topic lets other tasks run first, so that a publishing
        loop cannot starve its readers.

        Raises `ContentError`, `BadOption`, `BadName` (a pattern), `Closed`, `Timeout`, `BufferFull`, `EngineFailed`.
        """
        publisher = self._publisher
        limit = None if timeout is None else seconds(timeout, "timeout")
        if ttl is not None:
            now = publisher.clock()
            headers = expiring(headers, ttl, now, due(delay, at, now))
        if delay is not None or at is not None:
            when = due(delay, at, publisher.clock())
            return await sent(publisher, headers, partial(publish_at, publisher, content, id, key, when, limit))
        if publisher.light:
            if not publisher.log.end % FAIR:
                await asyncio.sleep(0)  # first, so that a publisher that is cancelled here has published nothing
            if publisher.light and not publisher.queue:
                return self.publish_nowait(content, id=id, headers=headers, key=key)
        if publisher.carrier.instrument is None:
            return await publisher.publish(content, id, headers, key, limit)
        # no lambda: variables that it shares would be slower in each call
        return await sent(publisher, headers, partial(publish_with, publisher, content, id, key, limit))

    def publish_nowait(
        self,
        content: T,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Duration | None = None,
    ) -> Message[T]:
        """Publish as `publish` does, at once. Raises `WouldBlock` when `publish` would wait: always, on engines that
        store messages outside of this process.
        """
        publisher = self._publisher
        if (
            id is not None
            or headers is not None
            or key is not None
            or ttl is not None
            or get_ident() != publisher.thread
            or not (publisher.plain or (publisher.light and publisher.skips()))
        ):
            if ttl is not None:
                headers = expiring(headers, ttl, publisher.clock())
            if publisher.carrier.instrument is None:
                return publisher.publish_nowait(content, id, headers, key)
            return sent_nowait(publisher, content, id, headers, key)
        # the fast path: the same as `Log.append`, without the call
        log, now = publisher.log, time()
        end = log.end
        message = Message(content, self.id, end, log.uid, now)
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
        ttl: Duration | None = None,
    ) -> Future[Message[T]]:
        """Publish from another thread than the hub's. Return a future for the message.

        ``delay``, counted from this call, ``at`` and ``ttl`` are those of `publish`. Cancelling the future before the
        message is appended withdraws it. In the hub's own thread waiting for the future would never end, so the message
        is published before this method returns; there, engines that store messages outside of this process raise
        `WouldBlock`, and so do all engines with ``delay`` or ``at``.

        Raises `Closed` when the hub is not open, and `BadOption` for a bad ``ttl``; the future raises the other errors
        of `publish`.
        """
        if ttl is not None:
            now = self._publisher.clock()
            headers = expiring(headers, ttl, now, due(delay, at, now))
        return publish_from_thread(self._publisher, content, id, headers, key, delay, at)

    async def cancel(self, id: str, *, timeout: Duration | None = None) -> bool:
        """Discard a message that was published with ``delay`` or ``at`` and is not due yet, from any process.

        ``id`` is the message's. Return true when the message will never be published; false when it was published, or
        when no message with this id waits. ``timeout`` bounds waiting for the engine; after that, the message may be
        discarded or not.

        Raises `Misuse` on an engine without delayed messages, `BadOption`, `BadName` (a pattern), `Closed`, `Timeout`,
        `EngineFailed`.
        """
        return await cancel(self._publisher, id, optional_seconds(timeout, "timeout"))

    @property
    def ended(self) -> bool:
        """True when the hub is closed, or not open yet, so that the topic takes no messages."""
        return bool(self._publisher.reason)

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
        """Return a subscription, to enter with ``async with``. It has its own position in the log from then on.

        ``start`` is its first position (`telex.log.start`); when the log no longer has it, a `Lost` comes first.
        ``buffer`` messages, and ``buffer_bytes`` bytes if given, may wait; ``overflow`` is the policy for more
        (`telex.log.overflow`). ``key`` is for ``latest``: the newest message of each ``key(message)`` is kept.
        ``report_lost`` puts a `Lost` in place of every hole. With ``block``, publishers wait at most ``block_timeout``
        seconds. ``timeout`` bounds entering.

        Raises `BadOption` for an invalid value.
        """
        options = check_options(overflow, buffer, buffer_bytes, key, report_lost, block_timeout, timeout)
        start = check_start(start)
        self._publisher.engine.guarantees.require_readable(options, start)
        if start in ("new", "earliest") and not report_lost:
            return Subscription(self._publisher, options, start)
        return ReportingSubscription(self._publisher, options, start)

    # -- reading

    @overload
    def history(
        self, *, start: Literal["earliest"] | datetime | timedelta | int = "earliest", limit: int | None = None
    ) -> AsyncIterator[Message[T]]: ...
    @overload
    def history(self, *, start: Start, limit: int | None = None) -> AsyncIterator[Message[T] | Lost]: ...
    def history(
        self, *, start: Start = "earliest", limit: int | None = None
    ) -> AsyncIterator[Message[T]] | AsyncIterator[Message[T] | Lost]:
        """Iterate over the kept messages at the start of the iteration, oldest first, at most ``limit``.

        ``start`` is as for `subscribe`. When the log no longer has a `Position`, a `Lost` comes first; other starts
        select from the kept messages. Raises `BadOption`; the iteration raises `Closed`, and `EngineFailed` in place of
        a message with damaged content; after that it can continue with the next message. With a `Position`, a `Lost`
        with the reason ``unreadable`` comes in its place.
        """
        if limit is not None and limit < 0:
            raise BadOption("limit", limit, "give a number of messages, or None for all")
        start = check_start(start)
        self._publisher.engine.guarantees.require_history(start)
        return self._publisher.history(start, limit)

    async def position(self) -> Position:
        """Return the position of the end of the log: a subscriber that starts there gets the messages published after
        this call.
        """
        return Position(self._publisher.end - 1, self._publisher.log.epoch)

    def statistics(self) -> TopicStatistics:
        """Return the counts of the topic now."""
        publisher = self._publisher
        first, _, published, kept = publisher.extent()
        waiting = 0 if publisher.queue is None else len(publisher.queue)
        log = publisher.log
        return TopicStatistics(self.id, published, kept, first, len(log.cursors), waiting, log.expired)

    # -- mistakes

    def __aiter__(self) -> NoReturn:
        raise Misuse(f"iterate over topic {self.id!r}", READ)

    def __iter__(self) -> NoReturn:
        raise Misuse(f"iterate over topic {self.id!r}", READ)

    async def __aenter__(self) -> NoReturn:
        raise Misuse(f"enter topic {self.id!r}", READ)

    async def __aexit__(self, *error: object) -> None: ...

    @property
    def type(self) -> Any:
        """The declared type of the content; None when any content may be published."""
        content = self._publisher.content
        return None if content is None else content.declared

    def __repr__(self) -> str:
        return f"<Topic {self.id!r}, {self._publisher.extent().published} published>"


def publisher_of(topic: Topic[Any]) -> Publisher:
    """Return the internal object of a topic."""
    return topic._publisher


def topic_of(publisher: Publisher) -> Topic[Any]:
    """Return the `Topic` of a publisher; create another one if the program has dropped it."""
    topic: Topic[Any] | None = None if publisher.facade is None else publisher.facade()
    if topic is None:
        topic = Topic(publisher)
        publisher.facade = ref(topic)
    return topic
