"""`BlockingTopic` and `BlockingSubscription`: those of a program that is not async."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast, overload

from telex.blocking.thread import Thread
from telex.durations import Duration
from telex.errors import Closed
from telex.log.options import Overflow
from telex.log.start import Start
from telex.message import Lost, Message, Position
from telex.topics.subscription import MAX_BATCH, AnySubscription, SubscriptionStatistics, check_limit
from telex.topics.topic import Key, TopicStatistics
from telex.topics.topic import Topic as AsyncTopic

T = TypeVar("T")
Item = TypeVar("Item", covariant=True)

AHEAD = 256
"""How many messages iteration takes from the hub's thread at once; they count as received."""


class BlockingTopic(Generic[T]):
    """A `telex.Topic` behind a thread."""

    def __init__(self, topic: AsyncTopic[T], thread: Thread) -> None:
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
        """Whether it takes no more messages, though its hub is open; as ``telex.Topic.ended``."""
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
        timeout: Duration | None = None,
    ) -> Message[T]:
        """Append a message, and return it once the engine has it; as the coroutine of this name."""
        publish = self._topic.publish(content, id=id, headers=headers, key=key, delay=delay, at=at, timeout=timeout)
        return self._thread.wait(publish)

    def publish_nowait(
        self, content: T, *, id: str | None = None, headers: Mapping[str, str] | None = None, key: str | None = None
    ) -> Message[T]:
        """Append a message at once. Raises `WouldBlock` where `publish` would wait: always, on engines that keep
        messages outside of this process.
        """
        return self._thread.call(lambda: self._topic.publish_nowait(content, id=id, headers=headers, key=key))

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
        """A subscription to enter with ``with``; the options of ``telex.Topic.subscribe``."""
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
        """What is kept, oldest first, as it is now; as ``telex.Topic.history``."""

        async def read() -> list[Message[T] | Lost]:
            return [message async for message in self._topic.history(start=start, limit=limit)]

        return iter(self._thread.wait(read()))

    def position(self) -> Position:
        """Where the log ends now."""
        return self._thread.wait(self._topic.position())

    def statistics(self) -> TopicStatistics:
        """The topic at this moment."""
        return self._thread.call(self._topic.statistics)

    def __repr__(self) -> str:
        return f"<blocking {self._topic!r}>"


class BlockingSubscription(Generic[Item]):
    """A subscription behind a thread: iterate it with ``for``, or call `receive`."""

    def __init__(self, subscription: AnySubscription[Any, Any], thread: Thread) -> None:
        self._subscription = subscription
        self._thread = thread
        self._ahead: deque[Item] = deque()

    def __enter__(self) -> Self:
        """Join the log."""
        self._thread.wait(self._subscription.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the log. A thread that waits in `receive` gets `Closed`. Twice is fine."""
        self._ahead.clear()
        with suppress(Closed):  # of a hub that was closed before it
            self._thread.wait(self._subscription.aclose())

    def __iter__(self) -> Iterator[Item]:
        """Every message in turn, until the topic is removed or the hub or the subscription is closed."""
        while True:
            while self._ahead:
                yield self._ahead.popleft()
            batch = self._thread.wait(self._next_batch(AHEAD))
            if not batch:
                return
            self._ahead.extend(batch)

    async def _next_batch(self, limit: int) -> tuple[Item, ...]:
        async for batch in self._subscription.batches(limit):
            return batch
        return ()

    def receive(self, timeout: Duration | None = None) -> Item:
        """The next message; as the coroutine of this name."""
        if self._ahead:
            return self._ahead.popleft()
        return cast("Item", self._thread.wait(self._subscription.receive(timeout)))

    def receive_nowait(self) -> Item:
        """The next message, if one waits; else `WouldBlock`."""
        if self._ahead:
            return self._ahead.popleft()
        return cast("Item", self._thread.call(self._subscription.receive_nowait))

    def receive_many_nowait(self, limit: int = MAX_BATCH) -> tuple[Item, ...]:
        """At most ``limit`` of the messages that wait, if one does; else `WouldBlock`."""
        if not self._ahead:
            return self._thread.call(lambda: self._subscription.receive_many_nowait(limit))
        return self.receive_many(limit)

    def batches(self, limit: int = MAX_BATCH) -> Iterator[tuple[Item, ...]]:
        """Iterate over all that waits each time, at most ``limit`` messages, until there will be no more."""
        check_limit(limit)
        while batch := self.receive_many(limit) if self._ahead else self._thread.wait(self._next_batch(limit)):
            yield batch

    @property
    def topic(self) -> str:
        """The id or pattern that is subscribed to."""
        return self._subscription.topic

    @property
    def position(self) -> Position:
        """Just after the last message that was handed over."""
        position = self._thread.call(lambda: self._subscription.position)
        return Position(position.seq - len(self._ahead), position.epoch)

    def receive_many(self, limit: int = MAX_BATCH, timeout: Duration | None = None) -> tuple[Item, ...]:
        """All that waits, at least one and at most ``limit`` messages; as the coroutine of this name."""
        check_limit(limit)
        if not self._ahead:
            return self._thread.wait(self._subscription.receive_many(limit, timeout))
        count = min(limit, len(self._ahead))
        return tuple(self._ahead.popleft() for _ in range(count))

    @property
    def waiting(self) -> int:
        """How many messages wait to be taken, those among them that iteration has fetched ahead."""
        return len(self._ahead) + self._thread.call(lambda: self._subscription.waiting)

    @property
    def ended(self) -> str | None:
        """None while messages may come, else why they do not: ``closed``, ``removed``, ``slow``, ``failed``."""
        return self._thread.call(lambda: self._subscription.ended)

    @property
    def lost(self) -> int:
        """How many messages this subscriber has missed until now."""
        return self._thread.call(lambda: self._subscription.lost)

    def statistics(self) -> SubscriptionStatistics:
        """The accounts at this moment."""
        return self._thread.call(self._subscription.statistics)
