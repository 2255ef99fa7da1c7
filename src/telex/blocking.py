"""The same hub for programs that are not async: ``with telex.blocking.Hub() as hub:``.

The hub runs in a thread of its own, on an event loop of its own. Everything here may be called from any thread but
that one, waits for its result, and raises what the coroutine of the same name raises. Handlers declared with `Hub.on`
and `Hub.command` are called in the hub's thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, Self, TypeVar, cast, overload

from telex.commands.desk import Duplicate
from telex.commands.follower import Follower as AsyncFollower
from telex.commands.outcome import Outcome, Progress
from telex.commands.ticket import Ticket as AsyncTicket
from telex.durations import Duration
from telex.errors import BadOption, Closed, WrongThread
from telex.holdings import Overflow
from telex.hub import Hub as AsyncHub
from telex.hub import HubStatistics, Lifespan
from telex.message import Lost, Message, Position
from telex.router import Router
from telex.start import Start
from telex.subscription import AnySubscription, SubscriptionStatistics
from telex.topic import Key, TopicStatistics
from telex.topic import Topic as AsyncTopic

T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])
Item = TypeVar("Item", covariant=True)

AHEAD = 256
"""How many messages iteration takes from the hub's thread at once; they count as received."""


class _Thread:
    """An event loop in a thread, and calls into it."""

    def __init__(self, name: str) -> None:
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(self._ready.set)
            self._loop.run_forever()

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        """What a coroutine returns or raises in there. Interrupted, it is cancelled."""
        loop = self._loop
        if loop is None or not self._thread.is_alive():
            work.close()
            raise Closed("this hub", "it was closed; make another with telex.blocking.Hub()")
        if self.is_current():
            work.close()
            raise WrongThread("wait for the blocking hub")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def is_current(self) -> bool:
        """Whether it is the caller's."""
        return threading.current_thread() is self._thread

    def call(self, function: Callable[[], R]) -> R:
        """What a plain function returns or raises in there."""

        async def work() -> R:
            return function()

        return self.wait(work())

    def stop(self) -> None:
        """End the loop and the thread. Twice is fine."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()


class Hub:
    """A `telex.Hub` behind a thread. Takes the same arguments; a context manager; closed for good by `close`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        timeout: Duration | None = None,
        close_timeout: Duration = 10.0,
        lifespan: Lifespan | None = None,
    ) -> None:
        self._hub = AsyncHub(url, timeout=timeout, close_timeout=close_timeout, lifespan=lifespan)
        self._thread: _Thread | None = None

    def __enter__(self) -> Self:
        """Start the thread and open the hub in it; if that fails, the thread ends. Raises what ``async with``
        raises.
        """
        if self._thread is not None:
            raise Closed("this hub", "a hub is opened once; make another with telex.blocking.Hub()")
        self._thread = thread = _Thread("telex hub")
        try:
            thread.wait(self._hub.__aenter__())
        except BaseException:
            thread.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the hub as ``aclose`` does, and end the thread. Twice is fine."""
        if self._thread is None:
            return
        if self._thread.is_current():
            raise WrongThread("close the blocking hub")
        try:
            with suppress(Closed):
                self._thread.wait(self._hub.aclose())
        finally:
            self._thread.stop()

    @overload
    def topic(self, id: str) -> Topic[Any]: ...
    @overload
    def topic(self, id: str, type: type[T]) -> Topic[T]: ...
    def topic(self, id: str, type: type[Any] | None = None) -> Topic[Any]:
        """The topic or pattern with this id, as ``telex.Hub.topic``."""

        def get() -> AsyncTopic[Any]:
            return self._hub.topic(id) if type is None else self._hub.topic(id, type)

        return Topic(self._open().call(get), self._open())

    def __aenter__(self) -> NoReturn:
        raise BadOption("use of the hub", self._hub.url, "enter it with `with`; `async with` is for telex.Hub")

    def __aexit__(self, *error: object) -> NoReturn:
        raise BadOption("use of the hub", self._hub.url, "enter it with `with`; `async with` is for telex.Hub")

    def topics(self, pattern: str = ">") -> list[str]:
        """The ids of all topics that fit, sorted."""
        return self._open().wait(self._hub.topics(pattern))

    def remove(self, id: str) -> bool:
        """Remove a topic; whether there was one."""
        return self._open().wait(self._hub.remove(id))

    def retain(
        self, pattern: str, *, messages: int | None = None, age: Duration | None = None, bytes: int | None = None
    ) -> None:
        """Say what the topics of a pattern keep. May be called before the hub is opened."""
        self._declare(lambda: self._hub.retain(pattern, messages=messages, age=age, bytes=bytes))

    def on(self, *what: str | type[Any], **options: Any) -> Callable[[F], F]:
        """Declare a handler, with the options of ``telex.Hub.on``; it is called in the hub's thread."""
        decorate: Callable[[F], F] = self._hub.on(*what, **options)
        return lambda function: self._declare(lambda: decorate(function))

    def command(self, name: str, **options: Any) -> Callable[[F], F]:
        """Carry out commands by a function, with the options of ``telex.Hub.command``; it is called in the hub's
        thread.
        """
        decorate: Callable[[F], F] = self._hub.command(name, **options)
        return lambda function: self._declare(lambda: decorate(function))

    def include_router(self, router: Router, prefix: str = "") -> None:
        """Take in what a router declares."""
        self._declare(lambda: self._hub.include_router(router, prefix))

    @overload
    def send(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        duplicate: Duplicate = "wait",
    ) -> Ticket[Any]: ...
    @overload
    def send(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        duplicate: Duplicate = "wait",
        type: type[T],
    ) -> Ticket[T]: ...
    def send(self, name: str, content: object = None, **options: Any) -> Ticket[Any]:
        """Send a command, and return its `Ticket` once it is accepted; as the coroutine of this name."""
        thread = self._open()
        return Ticket(thread.wait(self._hub.send(name, content, **options)), thread)

    @overload
    def call(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        duplicate: Duplicate = "wait",
    ) -> Any: ...
    @overload
    def call(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        duplicate: Duplicate = "wait",
        type: type[T],
    ) -> T: ...
    def call(self, name: str, content: object = None, **options: Any) -> Any:
        """Send a command and wait for its result; as the coroutine of this name."""
        return self._open().wait(self._hub.call(name, content, **options))

    def follow(self, pattern: str, *, progress: bool = False, start: Start = "new", buffer: int = 1024) -> Follower:
        """Hear every outcome of the commands of a pattern, to be entered with ``with``; as ``telex.Hub.follow``."""
        thread = self._open()
        follow = self._hub.follow
        return Follower(thread.call(lambda: follow(pattern, progress=progress, start=start, buffer=buffer)), thread)

    def statistics(self) -> HubStatistics:
        """The hub at this moment."""
        return self._open().call(self._hub.statistics)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._hub.closed

    def _declare(self, declare: Callable[[], R]) -> R:
        return declare() if self._thread is None else self._thread.call(declare)

    def _open(self) -> _Thread:
        if self._thread is None:
            raise Closed("this hub", "it is not open yet: `with hub:`")
        return self._thread


class Topic(Generic[T]):
    """A `telex.Topic` behind a thread."""

    def __init__(self, topic: AsyncTopic[T], thread: _Thread) -> None:
        self._topic = topic
        self._thread = thread

    @property
    def id(self) -> str:
        """The topic's id."""
        return self._topic.id

    def publish(
        self,
        content: T,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
    ) -> Message[T]:
        """Append a message, and return it once the engine has it; as the coroutine of this name."""
        return self._thread.wait(self._topic.publish(content, id=id, headers=headers, timeout=timeout))

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
    ) -> Subscription[Message[T]]: ...
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
    ) -> Subscription[Message[T] | Lost]: ...
    def subscribe(self, **options: Any) -> Subscription[Any]:
        """A subscription to enter with ``with``; the options of ``telex.Topic.subscribe``."""
        return Subscription(self._topic.subscribe(**options), self._thread)

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


class Subscription(Generic[Item]):
    """A subscription behind a thread: iterate it with ``for``, or call `receive`."""

    def __init__(self, subscription: AnySubscription[Any, Any], thread: _Thread) -> None:
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
            batch = self._thread.wait(self._next_batch())
            if not batch:
                return
            self._ahead.extend(batch)

    async def _next_batch(self) -> tuple[Item, ...]:
        async for batch in self._subscription.batches(AHEAD):
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

    @property
    def position(self) -> Position:
        """Just after the last message that was handed over."""
        position = self._thread.call(lambda: self._subscription.position)
        return Position(position.seq - len(self._ahead), position.epoch)

    def receive_many(self, limit: int = AHEAD, timeout: Duration | None = None) -> tuple[Item, ...]:
        """All that waits, at least one and at most ``limit`` messages; as the coroutine of this name."""
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


class Ticket(Generic[T]):
    """A `telex.Ticket` behind a thread: a command that was accepted. Whoever waits may be interrupted, or run out of
    time: the command goes on.
    """

    def __init__(self, ticket: AsyncTicket[T], thread: _Thread) -> None:
        self._ticket = ticket
        self._thread = thread

    @property
    def command(self) -> str:
        """The command's name."""
        return self._ticket.command

    @property
    def id(self) -> str:
        """The id of this command, as it was sent."""
        return self._ticket.id

    @property
    def key(self) -> str | None:
        """What makes repeats of it one."""
        return self._ticket.key

    @property
    def done(self) -> bool:
        """Whether its outcome is known here."""
        return self._ticket.done

    def result(self, timeout: Duration | None = None) -> T:
        """Its result; as the coroutine of this name. What is known can be asked for when the hub is closed, too."""
        outcome = self.outcome(timeout)
        return outcome.result if outcome.error is None else outcome.fail(self._ticket._cause)

    def outcome(self, timeout: Duration | None = None) -> Outcome[T]:
        """What became of it; as the coroutine of this name."""
        known = self._ticket._outcome
        return self._thread.wait(self._ticket.outcome(timeout)) if known is None else known

    def progress(self) -> Iterator[Progress]:
        """How far it is, as it is told, until its outcome is there."""
        steps = self._ticket.progress()

        async def next_step() -> Progress | None:
            return await anext(steps, None)

        while (step := self._thread.wait(next_step())) is not None:
            yield step

    def cancel(self) -> bool:
        """Ask that it is not begun, or that its handler is cancelled; as the coroutine of this name."""
        return self._thread.wait(self._ticket.cancel())

    def __repr__(self) -> str:
        return f"<blocking {self._ticket!r}>"


class Follower:
    """A `telex.Follower` behind a thread: iterate it with ``for``, or call `receive`."""

    def __init__(self, follower: AsyncFollower, thread: _Thread) -> None:
        self._follower = follower
        self._thread = thread

    def __enter__(self) -> Self:
        """Begin to hear."""
        self._thread.wait(self._follower.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more. Twice is fine."""
        with suppress(Closed):  # of a hub that was closed before it
            self._thread.wait(self._follower.__aexit__(None, None, None))

    def __iter__(self) -> Iterator[Outcome[Any] | Progress | Lost]:
        """Each in turn, until this or the hub is closed."""
        while (told := self._thread.wait(self._next())) is not None:
            yield told

    async def _next(self) -> Outcome[Any] | Progress | Lost | None:
        return await anext(self._follower, None)

    def receive(self, timeout: Duration | None = None) -> Outcome[Any] | Progress | Lost:
        """The next one; as the coroutine of this name."""
        return self._thread.wait(self._follower.receive(timeout))
