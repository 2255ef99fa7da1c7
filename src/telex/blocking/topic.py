"""`BlockingTopic` and `BlockingSubscription`: topics without asyncio."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast, overload

import msgspec

from telex.blocking.thread import HubThread
from telex.durations import Duration
from telex.errors import Closed
from telex.log.options import Overflow
from telex.log.start import Start
from telex.message import Lost, Message, Position, has_expired
from telex.topics.batches import check_limit, position_before
from telex.topics.subscription import MAX_BATCH, AnySubscription, SubscriptionStatistics, cursor_of
from telex.topics.topic import Key, TopicStatistics
from telex.topics.topic import Topic as AsyncTopic

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)

PREFETCHED_MESSAGES = 256
"""The number of messages that iteration takes from the hub's thread at once. They count as received."""


class BlockingTopic(Generic[T]):
    """A topic of a blocking hub; see `telex.Topic`."""

    def __init__(self, topic: AsyncTopic[T], thread: HubThread) -> None:
        self._topic = topic
        self._thread = thread

    @property
    def id(self) -> str:
        """The topic's id."""
        return self._topic.id

    @property
    def type(self) -> Any:
        """The declared type of its content; None when any content may be published."""
        return self._topic.type

    @property
    def ended(self) -> bool:
        """True when the topic takes no more messages while its hub is open; as ``telex.Topic.ended``."""
        return self._topic.ended

    def publish(
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
        """Append a message, and return it once the engine has it; as ``telex.Topic.publish``."""
        publish = self._topic.publish(
            content, id=id, headers=headers, key=key, delay=delay, at=at, ttl=ttl, timeout=timeout
        )
        return self._thread.wait(publish)

    def cancel(self, id: str, *, timeout: Duration | None = None) -> bool:
        """Discard a message that waits for its time; as ``telex.Topic.cancel``."""
        return self._thread.wait(self._topic.cancel(id, timeout=timeout))

    def publish_nowait(
        self,
        content: T,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Duration | None = None,
    ) -> Message[T]:
        """Append a message at once. Raises `WouldBlock` when `publish` would wait: always, on engines that store
        messages outside of this process.
        """
        return self._thread.call(lambda: self._topic.publish_nowait(content, id=id, headers=headers, key=key, ttl=ttl))

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
    ) -> BlockingSubscription[Message[T]]: ...
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
    ) -> BlockingSubscription[Message[T] | Lost]: ...
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
    ) -> BlockingSubscription[Any]:
        """Return a subscription to enter with ``with``; the options are those of ``telex.Topic.subscribe``."""
        subscription = self._topic.subscribe(
            start=start,
            buffer=buffer,
            buffer_bytes=buffer_bytes,
            overflow=overflow,
            key=key,
            report_lost=report_lost,
            block_timeout=block_timeout,
            timeout=timeout,
        )
        return BlockingSubscription(subscription, self._thread)

    def history(self, *, start: Start = "earliest", limit: int | None = None) -> Iterator[Message[T] | Lost]:
        """Iterate over the messages that the topic has now, the oldest first; as ``telex.Topic.history``."""

        async def read() -> list[Message[T] | Lost]:
            return [message async for message in self._topic.history(start=start, limit=limit)]

        return iter(self._thread.wait(read()))

    def position(self) -> Position:
        """Return the position at the end of the log."""
        return self._thread.wait(self._topic.position())

    def statistics(self) -> TopicStatistics:
        """Return the statistics of the topic."""
        return self._thread.call(self._topic.statistics)

    def __repr__(self) -> str:
        return f"<blocking {self._topic!r}>"


class BlockingSubscription(Generic[Item]):
    """A subscription of a blocking hub: iterate over it with ``for``, or call `receive`."""

    def __init__(self, subscription: AnySubscription[Any, Any], thread: HubThread) -> None:
        self._subscription = subscription
        self._thread = thread
        self._prefetched: deque[Item] = deque()
        self._checks = False  # True when prefetched messages may expire
        self._expired = 0  # the number of prefetched messages that have expired

    def __enter__(self) -> Self:
        """Join the log."""
        self._thread.wait(self._subscription.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the log. A thread that waits in `receive` gets `Closed`. It may be called twice."""
        self._prefetched.clear()
        with suppress(Closed):  # the hub was closed before the subscription
            self._thread.wait(self._subscription.aclose())

    def __iter__(self) -> Iterator[Item]:
        """Iterate over all messages, until the hub or the subscription is closed."""
        while True:
            while self._prefetched:
                if self._checks and not self._has_prefetched():
                    break
                yield self._prefetched.popleft()
            batch = self._thread.wait(self._next_batch(PREFETCHED_MESSAGES))
            if not batch:
                return
            self._prefetched.extend(batch)
            self._checks = cursor_of(self._subscription).log.expires

    def _has_prefetched(self) -> bool:
        """Return true when a prefetched message is left. Messages that have expired are discarded."""
        if self._prefetched and self._checks:
            now = cursor_of(self._subscription).log.observer.now()
            while self._prefetched and isinstance(first := self._prefetched[0], Message) and has_expired(first, now):
                self._prefetched.popleft()
                self._expired += 1
        return bool(self._prefetched)

    async def _next_batch(self, limit: int) -> tuple[Item, ...]:
        async for batch in self._subscription.batches(limit):
            return batch
        return ()

    def receive(self, timeout: Duration | None = None) -> Item:
        """Wait for the next message and return it; as ``telex.Subscription.receive``."""
        if self._has_prefetched():
            return self._prefetched.popleft()
        return cast("Item", self._thread.wait(self._subscription.receive(timeout)))

    def receive_nowait(self) -> Item:
        """Return the next message, or raise `WouldBlock` when none waits."""
        if self._has_prefetched():
            return self._prefetched.popleft()
        return cast("Item", self._thread.call(self._subscription.receive_nowait))

    def receive_many_nowait(self, limit: int = MAX_BATCH) -> tuple[Item, ...]:
        """Return at most ``limit`` of the messages that wait, or raise `WouldBlock` when none waits."""
        check_limit(limit)
        if not self._has_prefetched():
            return self._thread.call(lambda: self._subscription.receive_many_nowait(limit))
        return self._take_prefetched(limit)

    def batches(self, limit: int = MAX_BATCH) -> Iterator[tuple[Item, ...]]:
        """Iterate over batches of all waiting messages, at most ``limit`` each, until the subscription ends."""
        check_limit(limit)
        while True:
            if self._has_prefetched():
                batch = self._take_prefetched(limit)
            else:
                batch = self._thread.wait(self._next_batch(limit))
            if not batch:
                return
            yield batch

    @property
    def topic(self) -> str:
        """The topic id or pattern of the subscription."""
        return self._subscription.topic

    @property
    def position(self) -> Position:
        """The position after the last message that was received."""
        position = self._thread.call(lambda: self._subscription.position)
        if not self._prefetched:
            return position
        following: Any = self._prefetched[0]  # a message: a `Lost` is alone in its batch, and is never left here
        return position_before(following, self.topic, position, len(self._prefetched))

    def receive_many(self, limit: int = MAX_BATCH, timeout: Duration | None = None) -> tuple[Item, ...]:
        """Wait for a message, and return all messages that wait, at most ``limit``; as
        ``telex.Subscription.receive_many``."""
        check_limit(limit)
        if not self._has_prefetched():
            return self._thread.wait(self._subscription.receive_many(limit, timeout))
        return self._take_prefetched(limit)

    def _take_prefetched(self, limit: int) -> tuple[Item, ...]:
        taken: list[Item] = []
        while len(taken) < limit and self._has_prefetched():
            taken.append(self._prefetched.popleft())
        return tuple(taken)

    @property
    def waiting(self) -> int:
        """The number of messages that wait, including those that iteration has prefetched."""
        return len(self._prefetched) + self._thread.call(lambda: self._subscription.waiting)

    @property
    def ended(self) -> str | None:
        """None while messages may come, else the reason of the end: ``closed``, ``finished``, ``slow``, ``failed``."""
        return self._thread.call(lambda: self._subscription.ended)

    @property
    def lost(self) -> int:
        """The number of messages that this subscriber has missed."""
        return self._thread.call(lambda: self._subscription.lost)

    def statistics(self) -> SubscriptionStatistics:
        """Return the statistics of the subscription."""
        found, expired = self._thread.call(self._subscription.statistics), self._expired
        return msgspec.structs.replace(found, received=found.received - expired, expired=found.expired + expired)
