"""`BlockingHub`: that of a program that is not async."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, Unpack, overload

from telex.blocking.groups import BlockingGroups
from telex.blocking.place import HubThread
from telex.blocking.thread import Thread
from telex.blocking.ticket import BlockingFollower, BlockingTicket
from telex.blocking.topic import BlockingTopic
from telex.blocking.transaction import BlockingTransaction
from telex.blocking.triggers import BlockingTrigger, BlockingVariable
from telex.commands.client import SendOptions
from telex.commands.dispatcher import Duplicate
from telex.commands.spec import Command
from telex.durations import Duration
from telex.engines.contract import Engine
from telex.errors import BadOption, Closed, Misuse, WrongThread
from telex.handlers.middleware import Middleware
from telex.handlers.spec import HandlerSpec
from telex.hub import Hub as AsyncHub
from telex.hub import HubStatistics, Lifespan
from telex.log.start import Start
from telex.message import Message
from telex.router import Declaring, Router
from telex.topics.topic import Topic as AsyncTopic
from telex.triggers.declare import Timing
from telex.triggers.spec import Maker, TriggerSpec
from telex.triggers.trigger import Trigger as AsyncTrigger
from telex.triggers.trigger import TriggerStatistics
from telex.triggers.variable import Variable as AsyncVariable

T = TypeVar("T")
R = TypeVar("R")


class BlockingHub(Declaring, Timing[BlockingTrigger]):
    """A `telex.Hub` behind a thread. Takes the same arguments; a context manager; closed for good by `close`.

    It has every method and option of the async hub. Functions that are declared on it are called in its thread.
    """

    def __init__(
        self,
        url: str | Engine | None = None,
        *,
        timeout: Duration | None = None,
        close_timeout: Duration = 10.0,
        lifespan: Lifespan | None = None,
        middleware: Sequence[Middleware] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__("", middleware)
        self._hub = AsyncHub(
            url, timeout=timeout, close_timeout=close_timeout, lifespan=lifespan, middleware=middleware, clock=clock
        )
        self.declarations: list[HandlerSpec] = self._hub.declarations
        """The handlers that were declared."""
        self.commands: list[Command] = self._hub.commands
        """The commands that were declared."""
        self._place = HubThread()

    @property
    def url(self) -> str:
        """The URL of the engine."""
        return self._hub.url

    @property
    def groups(self) -> BlockingGroups:
        """Consumer groups and dead letters."""
        return BlockingGroups(self._hub.groups, self._place.open())

    def __enter__(self) -> Self:
        """Start the thread and open the hub in it; if that fails, the thread ends. Raises what ``async with``
        raises.
        """
        if self._place.thread is not None:
            raise Closed("this hub", "a hub is opened once; make another with telex.blocking.Hub()")
        self._place.thread = thread = Thread("telex hub", self._hub.aclose)
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
        if self._place.thread is None:
            return
        if self._place.thread.is_current():
            raise WrongThread("close the blocking hub")
        try:
            with suppress(Closed):
                self._place.thread.wait(self._hub.aclose())
        finally:
            self._place.thread.stop()

    @overload
    def topic(self, id: str) -> BlockingTopic[Any]: ...
    @overload
    def topic(self, id: str, type: type[T]) -> BlockingTopic[T]: ...
    def topic(self, id: str, type: type[Any] | None = None) -> BlockingTopic[Any]:
        """The topic or pattern with this id, as ``telex.Hub.topic``."""

        def get() -> AsyncTopic[Any]:
            return self._hub.topic(id) if type is None else self._hub.topic(id, type)

        return BlockingTopic(self._place.open().call(get), self._place.open())

    def __aenter__(self) -> NoReturn:
        raise Misuse("use `async with` on a telex.blocking.Hub", "enter it with `with`, or use telex.Hub")

    def __aexit__(self, *error: object) -> NoReturn:
        raise Misuse("use `async with` on a telex.blocking.Hub", "enter it with `with`, or use telex.Hub")

    def topics(self, pattern: str = ">") -> list[str]:
        """The ids of all topics that fit, sorted."""
        return self._place.open().wait(self._hub.topics(pattern))

    def remove(self, id: str) -> bool:
        """Remove a topic; whether there was one."""
        return self._place.open().wait(self._hub.remove(id))

    def retain(
        self, pattern: str, *, messages: int | None = None, age: Duration | None = None, bytes: int | None = None
    ) -> None:
        """Say what the topics of a pattern keep. May be called before the hub is opened."""
        self._place.call(lambda: self._hub.retain(pattern, messages=messages, age=age, bytes=bytes))

    def adopt(self, messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        """Publish messages that come from elsewhere; as the coroutine of this name."""
        return self._place.open().wait(self._hub.adopt(messages))

    def transaction(self, *, timeout: Duration | None = None) -> BlockingTransaction:
        """Messages that are published together or not at all: ``with hub.transaction() as tx:``; as
        ``telex.Hub.transaction``.
        """
        thread = self._place.open()
        return BlockingTransaction(thread.call(lambda: self._hub.transaction(timeout=timeout)), thread)

    # -- declaring

    def include_router(self, router: Router, prefix: str = "") -> None:
        """Take in all that ``router`` declares, now and later, under ``prefix``. Raises `BadName`, `BadOption`."""
        if not isinstance(router, Router):
            raise BadOption("router", router, "it is a telex.Router")
        router.connect(self._declared, prefix)

    def _declared(self, declaration: HandlerSpec | Command | TriggerSpec) -> None:
        self._place.call(lambda: self._hub._declared(declaration))

    def _trigger(self, make: Maker, name: str | None, topic: str | None) -> BlockingTrigger:
        def trigger() -> AsyncTrigger:
            return self._hub._trigger(make, name, topic)

        return BlockingTrigger(self._place.call(trigger), self._place)

    def variable(self, name: str, initial: T, type: type[T] | None = None) -> BlockingVariable[T]:
        """A value whose changes are published to the topic ``name``; as ``telex.Hub.variable``."""

        def variable() -> AsyncVariable[T]:
            return self._hub.variable(name, initial, type)

        return BlockingVariable(self._place.call(variable), self._place)

    def triggers(self) -> tuple[TriggerStatistics, ...]:
        """All triggers at this moment, in the order of declaration."""
        return self._place.call(self._hub.triggers)

    def trigger(self, name: str) -> BlockingTrigger:
        """The trigger of a name: to pause it, to fire it by hand. Raises `BadOption` when there is none."""
        return BlockingTrigger(self._place.call(lambda: self._hub.trigger(name)), self._place)

    # -- commands

    @overload
    def send(
        self,
        name: str,
        content: object = None,
        **options: Unpack[SendOptions],
    ) -> BlockingTicket[Any]: ...
    @overload
    def send(
        self,
        name: str,
        content: object = None,
        *,
        type: type[T],
        **options: Unpack[SendOptions],
    ) -> BlockingTicket[T]: ...
    def send(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        duplicate: Duplicate = "wait",
        type: type[Any] | None = None,
    ) -> BlockingTicket[Any]:
        """Send a command, and return its `BlockingTicket` once it is accepted; as the coroutine of this name."""
        thread = self._place.open()
        return BlockingTicket(
            thread.wait(self._hub.send(name, content, **_sent(key, timeout, duplicate, type))), thread
        )

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
    def call(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        duplicate: Duplicate = "wait",
        type: type[Any] | None = None,
    ) -> Any:
        """Send a command and wait for its result; as the coroutine of this name."""
        return self._place.open().wait(self._hub.call(name, content, **_sent(key, timeout, duplicate, type)))

    def follow(
        self, pattern: str, *, progress: bool = False, start: Start = "new", buffer: int = 1024
    ) -> BlockingFollower:
        """Hear every outcome of the commands of a pattern, to be entered with ``with``; as ``telex.Hub.follow``."""
        thread = self._place.open()
        follow = self._hub.follow
        return BlockingFollower(
            thread.call(lambda: follow(pattern, progress=progress, start=start, buffer=buffer)), thread
        )

    def statistics(self) -> HubStatistics:
        """The hub at this moment."""
        return self._place.open().call(self._hub.statistics)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._hub.closed


def _sent(key: str | None, timeout: Duration | None, duplicate: Duplicate, type: type[Any] | None) -> dict[str, Any]:
    return {"key": key, "timeout": timeout, "duplicate": duplicate, "type": type}
