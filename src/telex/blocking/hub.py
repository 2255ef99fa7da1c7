"""`Hub`: that of a program that is not async."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, Unpack, overload

from telex.blocking.thread import Thread
from telex.blocking.ticket import Follower, Ticket
from telex.blocking.topic import Topic
from telex.commands.sending import SendOptions
from telex.durations import Duration
from telex.errors import BadOption, Closed, WrongThread
from telex.hub import Hub as AsyncHub
from telex.hub import HubStatistics, Lifespan
from telex.router import Router
from telex.start import Start
from telex.topic import Topic as AsyncTopic

T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., object])


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
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        """Start the thread and open the hub in it; if that fails, the thread ends. Raises what ``async with``
        raises.
        """
        if self._thread is not None:
            raise Closed("this hub", "a hub is opened once; make another with telex.blocking.Hub()")
        self._thread = thread = Thread("telex hub")
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
        **options: Unpack[SendOptions],
    ) -> Ticket[Any]: ...
    @overload
    def send(
        self,
        name: str,
        content: object = None,
        *,
        type: type[T],
        **options: Unpack[SendOptions],
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
        **options: Unpack[SendOptions],
    ) -> Any: ...
    @overload
    def call(
        self,
        name: str,
        content: object = None,
        *,
        type: type[T],
        **options: Unpack[SendOptions],
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

    def _open(self) -> Thread:
        if self._thread is None:
            raise Closed("this hub", "it is not open yet: `with hub:`")
        return self._thread
