"""`BlockingHub`: the hub without asyncio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, Unpack, overload

from telex.blocking.groups import BlockingGroups
from telex.blocking.schedules import BlockingSchedules
from telex.blocking.thread import CallThread, HubThread
from telex.blocking.ticket import BlockingFollower, BlockingStream, BlockingTicket
from telex.blocking.topic import BlockingTopic
from telex.blocking.transaction import BlockingTransaction
from telex.blocking.triggers import BlockingTrigger, BlockingVariable
from telex.codec.formats import Codec, Transform
from telex.commands.client import JobOptions, SendOptions
from telex.commands.job import CommandInfo, CommandState
from telex.commands.plan import Priority
from telex.commands.spec import Command
from telex.commands.transports.transport import Duplicate
from telex.commands.work import HubStatistics
from telex.durations import Duration
from telex.engines.contract import Engine
from telex.errors import BadOption, Closed, Misuse, WrongThread
from telex.handlers.middleware import Middleware
from telex.handlers.spec import HandlerSpec
from telex.hub import Hub as AsyncHub
from telex.hub import Lifespan, runtime_of
from telex.joined import JoinedTransaction
from telex.log.start import Start
from telex.message import Message
from telex.observe.instrument import Instrument
from telex.process.threads import DEFAULT_THREADS
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
    """A `telex.Hub` that runs in a thread of its own. Use it with ``with``; `close` closes it for good.

    It takes the arguments of `telex.Hub` and has its methods. Sync functions that are declared on it are called in
    other threads, which may use it, and async functions in its own thread.
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
        observe: Instrument | Sequence[Instrument] | None = None,
        codecs: Sequence[Codec] = (),
        transforms: Sequence[Transform] = (),
        content_type: str | None = None,
        content_encoding: str | None = None,
        threads: int = DEFAULT_THREADS,
        processes: int | None = None,
        overrides: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
    ) -> None:
        super().__init__("", middleware)
        self._hub = AsyncHub(
            url,
            timeout=timeout,
            close_timeout=close_timeout,
            lifespan=lifespan,
            middleware=middleware,
            clock=clock,
            observe=observe,
            codecs=codecs,
            transforms=transforms,
            content_type=content_type,
            content_encoding=content_encoding,
            threads=threads,
            processes=processes,
            overrides=overrides,
        )
        self.declarations: list[HandlerSpec] = self._hub.declarations
        """The handlers that were declared."""
        self.declared_commands: list[Command] = self._hub.declared_commands
        """The commands that were declared."""
        self._thread = HubThread("telex hub", self._hub.aclose)

    @property
    def url(self) -> str:
        """The URL of the engine."""
        return self._hub.url

    @property
    def groups(self) -> BlockingGroups:
        """Consumer groups and dead letters."""
        return BlockingGroups(self._hub.groups, self._thread.opened())

    @property
    def schedules(self) -> BlockingSchedules:
        """The schedules that programs add at run time."""
        return BlockingSchedules(self._hub.schedules, self._thread.opened())

    def __enter__(self) -> Self:
        """Start the thread and open the hub in it. If opening fails, end the thread. Raises the errors of ``async
        with``.
        """
        if self._thread.started:
            raise Closed("this hub", "a hub is opened once; make another with telex.blocking.Hub()")
        self._thread.start()
        try:
            self._thread.wait(self._hub.__aenter__())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the hub as ``aclose`` does, and end the thread. It may be called twice."""
        if not self._thread.started:
            return
        if self._thread.is_current():
            raise WrongThread("close the blocking hub")
        if isinstance(self._thread, CallThread):
            fix = "closing waits for the handlers: set a threading.Event that the program waits for, and close it there"
            raise Misuse("close the hub in a handler", fix)
        try:
            with suppress(Closed):
                self._thread.wait(self._hub.aclose())
        finally:
            self._thread.stop()

    def idle(self, timeout: Duration | None = 10.0) -> None:
        """Wait until everything published before is handled, as `telex.Hub.idle`."""
        self._thread.wait(self._hub.idle(timeout))

    @overload
    def topic(
        self, id: str, *, content_type: str | None = None, content_encoding: str | None = None
    ) -> BlockingTopic[Any]: ...
    @overload
    def topic(
        self, id: str, type: type[T], *, content_type: str | None = None, content_encoding: str | None = None
    ) -> BlockingTopic[T]: ...
    def topic(
        self,
        id: str,
        type: type[Any] | None = None,
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
    ) -> BlockingTopic[Any]:
        """Return the topic or pattern with this id; as ``telex.Hub.topic``."""

        def get() -> AsyncTopic[Any]:
            if type is None:
                return self._hub.topic(id, content_type=content_type, content_encoding=content_encoding)
            return self._hub.topic(id, type, content_type=content_type, content_encoding=content_encoding)

        return BlockingTopic(self._thread.opened().call(get), self._thread)

    def __aenter__(self) -> NoReturn:
        raise Misuse("use `async with` on a telex.blocking.Hub", "enter it with `with`, or use telex.Hub")

    def __aexit__(self, *error: object) -> NoReturn:
        raise Misuse("use `async with` on a telex.blocking.Hub", "enter it with `with`, or use telex.Hub")

    def topics(self, pattern: str = ">") -> list[str]:
        """Return the ids of all topics that match, sorted."""
        return self._thread.wait(self._hub.topics(pattern))

    def remove(self, id: str) -> bool:
        """Remove the messages of a topic, as `telex.Hub.remove`. Return False when there was none."""
        return self._thread.wait(self._hub.remove(id))

    def retain(
        self, pattern: str, *, messages: int | None = None, age: Duration | None = None, bytes: int | None = None
    ) -> None:
        """Set the retention of the topics that match a pattern, also before the hub is opened."""
        self._thread.call(lambda: self._hub.retain(pattern, messages=messages, age=age, bytes=bytes))

    def adopt(self, messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        """Publish messages of another system; as ``telex.Hub.adopt``."""
        return self._thread.wait(self._hub.adopt(messages))

    def transaction(self, *, timeout: Duration | None = None) -> BlockingTransaction:
        """Return a transaction: ``with hub.transaction() as tx:``; as ``telex.Hub.transaction``."""
        thread = self._thread.opened()
        return BlockingTransaction(thread.call(lambda: self._hub.transaction(timeout=timeout)), thread)

    def join(self, connection: Any) -> JoinedTransaction:
        """Publish and send in a transaction of a synchronous connection of the program; as ``telex.Hub.join``."""
        joined: JoinedTransaction = self._hub.join(connection)
        return joined

    # -- declaring

    def include_router(self, router: Router, prefix: str = "") -> None:
        """Add all declarations of ``router``, now and later, under ``prefix``. Raises `BadName`, `BadOption`."""
        if not isinstance(router, Router):
            raise BadOption("router", router, "it must be a telex.Router")
        router.connect(self._declared, prefix)

    def _declared(self, declaration: HandlerSpec | Command | TriggerSpec) -> None:
        self._thread.call(lambda: self._hub._declared(declaration))

    def _trigger(self, make: Maker, name: str | None, topic: str | None) -> BlockingTrigger:
        def trigger() -> AsyncTrigger:
            return self._hub._trigger(make, name, topic)

        return BlockingTrigger(self._thread.call(trigger), self._thread)

    def variable(self, name: str, initial: T, type: type[T] | None = None) -> BlockingVariable[T]:
        """Return the variable ``name``, whose changes are published to the topic of that name; as
        ``telex.Hub.variable``."""

        def variable() -> AsyncVariable[T]:
            return self._hub.variable(name, initial, type)

        return BlockingVariable(self._thread.call(variable), self._thread)

    def triggers(self) -> tuple[TriggerStatistics, ...]:
        """Return the statistics of all triggers, in the order of declaration."""
        return self._thread.call(self._hub.triggers)

    def trigger(self, name: str) -> BlockingTrigger:
        """Return the trigger of this name, to pause it or to fire it by hand. Raises `BadOption` when there is none."""
        return BlockingTrigger(self._thread.call(lambda: self._hub.trigger(name)), self._thread)

    # -- commands

    @overload
    def send(self, name: str, content: object = None, **options: Unpack[JobOptions]) -> BlockingTicket[Any]: ...
    @overload
    def send(
        self, name: str, content: object = None, *, type: type[T], **options: Unpack[JobOptions]
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
        delay: Duration | None = None,
        at: datetime | None = None,
        expires: Duration | None = None,
        priority: Priority = "normal",
    ) -> BlockingTicket[Any]:
        """Send a command, and return its `BlockingTicket` once it is accepted; as ``telex.Hub.send``."""
        options = _sent(key, timeout, duplicate, type)
        sending = self._hub.send(name, content, delay=delay, at=at, expires=expires, priority=priority, **options)
        return BlockingTicket(self._thread.wait(sending), self._thread)

    def ticket(self, id: str) -> BlockingTicket[Any]:
        """Return the ticket of a command that any process has sent; as ``telex.Hub.ticket``."""
        return BlockingTicket(self._thread.wait(self._hub.ticket(id)), self._thread)

    def commands(
        self,
        *,
        state: CommandState | None = None,
        name: str | None = None,
        id: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[CommandInfo]:
        """Return the last commands that were sent, the newest first; as ``telex.Hub.commands``."""
        return self._thread.wait(self._hub.commands(state=state, name=name, id=id, limit=limit, before=before))

    def retry(self, id: str) -> BlockingTicket[Any]:
        """Run a failed command again, and return its ticket; as ``telex.Hub.retry``."""
        return BlockingTicket(self._thread.wait(self._hub.retry(id)), self._thread)

    @overload
    def call(self, name: str, content: object = None, **options: Unpack[SendOptions]) -> Any: ...
    @overload
    def call(self, name: str, content: object = None, *, type: type[T], **options: Unpack[SendOptions]) -> T: ...
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
        """Send a command, and return its result; as ``telex.Hub.call``."""
        return self._thread.wait(self._hub.call(name, content, **_sent(key, timeout, duplicate, type)))

    @overload
    def stream(
        self, name: str, content: object = None, *, key: str | None = None, timeout: Duration | None = None
    ) -> BlockingStream[Any]: ...
    @overload
    def stream(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        type: type[T],
    ) -> BlockingStream[T]: ...
    def stream(
        self,
        name: str,
        content: object = None,
        *,
        key: str | None = None,
        timeout: Duration | None = None,
        type: type[Any] | None = None,
    ) -> BlockingStream[Any]:
        """Return the parts of a command that yields, to iterate over with ``for``; as ``telex.Hub.stream``."""
        stream = self._hub.stream(name, content, key=key, timeout=timeout, type=type)  # type: ignore[arg-type]
        return BlockingStream(stream, self._thread.opened())

    def follow(
        self, pattern: str, *, progress: bool = False, start: Start = "new", buffer: int = 1024
    ) -> BlockingFollower:
        """Return a follower of the outcomes of all commands that match a pattern, to be entered with ``with``; as
        ``telex.Hub.follow``.
        """
        thread, follow = self._thread.opened(), self._hub.follow
        follower = thread.call(lambda: follow(pattern, progress=progress, start=start, buffer=buffer))
        return BlockingFollower(follower, thread)

    def statistics(self) -> HubStatistics:
        """Return the statistics of the hub."""
        return self._thread.opened().call(self._hub.statistics)

    @property
    def connected(self) -> bool:
        """True while the hub is open and reaches its engine; as ``telex.Hub.connected``."""
        return self._hub.connected

    @property
    def closed(self) -> bool:
        """True once the hub was closed."""
        return self._hub.closed


def _sent(key: str | None, timeout: Duration | None, duplicate: Duplicate, type: type[Any] | None) -> dict[str, Any]:
    return {"key": key, "timeout": timeout, "duplicate": duplicate, "type": type}


def hub_of_calls(hub: AsyncHub) -> BlockingHub:
    """Return the open ``hub`` as sync functions use it that the hub calls in threads."""
    found = BlockingHub.__new__(BlockingHub)
    Declaring.__init__(found, "", hub.middleware)
    found._hub, found.declarations, found.declared_commands = hub, hub.declarations, hub.declared_commands
    runtime = runtime_of(hub)
    found._thread = CallThread(lambda: runtime.threads.loop, hub.aclose)
    return found


def async_hub_of(hub: BlockingHub) -> AsyncHub:
    """Return the hub that runs in the thread of a blocking hub."""
    return hub._hub
