"""`Hub`: all topics of a program, on one engine, and the handlers that serve them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import Context
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, overload

from telex.checks import instance, whole
from telex.codec.formats import Codec, Formats, Transform
from telex.commands.client import CommandClient
from telex.commands.dispatcher import CommandDispatcher
from telex.commands.spec import Command
from telex.commands.streaming import KEPT as STREAM
from telex.commands.work import HubStatistics, HubWork
from telex.durations import Duration, optional_seconds, seconds
from telex.engines import Engine, engine_for
from telex.errors import BadOption, Closed, Misuse, Timeout
from telex.groups.admin import GroupAdmin
from telex.groups.runner import GroupRunner
from telex.handlers.dependencies import Dependencies
from telex.handlers.middleware import Middleware
from telex.handlers.runner import HandlerRunner
from telex.handlers.spec import HandlerSpec
from telex.joined import AsyncJoinedTransaction, JoinedTransaction, join
from telex.log.log import Retention
from telex.message import Message
from telex.names import check_pattern, is_pattern
from telex.observe.instrument import Instrument, check_instruments
from telex.process.forks import FORKS
from telex.process.forks import HUB as FORKED
from telex.process.lifespan import lifespan_of
from telex.process.supervision import keep_doing
from telex.process.tasks import start_task
from telex.process.threads import DEFAULT_THREADS
from telex.router import Declaring, Router
from telex.runtime import EngineClosing, Lifecycle, Runtime
from telex.schedules.schedules import Schedules, runner_of
from telex.topics.topic import Topic
from telex.topics.transaction import Transaction
from telex.triggers.declare import Timing, Triggering
from telex.triggers.scheduler import Scheduler
from telex.triggers.spec import TriggerSpec
from telex.triggers.trigger import Trigger

if TYPE_CHECKING:
    import sqlite3
    from typing import Self

T = TypeVar("T")
Lifespan = Callable[["Hub"], AbstractAsyncContextManager[object]] | Callable[["Hub"], AsyncIterator[object]]

CLOSED = "its hub was closed; make another with telex.Hub()"


class Hub(Declaring, CommandClient, Triggering, Timing[Trigger]):
    """All topics of a program. An async context manager; leaving it, or `aclose`, closes it for good.

    ``url`` names the engine (default: the environment's TELEX_URL, else ``memory://``). ``timeout`` bounds opening,
    with all its tries. ``close_timeout`` is the time in which handlers may finish their messages when the hub closes.
    ``lifespan`` is entered with the hub once it is open, before handlers start, and left after they have stopped.
    ``middleware`` is applied to every handler, outermost first. Durations are seconds, text such as ``"5s"``, or
    timedeltas. ``clock`` returns the time, in seconds since 1970, for tests in one process (`telex.testing.clock`).
    ``observe`` are tracers and metrics (`telex.observe`). ``content_type`` and ``content_encoding`` choose among
    ``codecs``, ``transforms`` and telex's for topics without their own (`telex.codec`). Sync functions run in at most
    ``threads`` threads and ``processes`` processes (default: one for each core). ``overrides`` are factories of
    dependencies, each with the factory to call in its place (`telex.Depends`), for tests. Raises `BadOption`.

    Topics, handlers and retention may be declared before it is opened and while it is open.
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
        given = os.environ.get("TELEX_URL") or "memory://" if url is None else url
        self.url: str = given if isinstance(given, str) else type(given).__name__
        """The URL of the engine, or the name of its class."""
        self._timeout = optional_seconds(timeout, "timeout")
        self.close_timeout: float = seconds(close_timeout, "close_timeout")
        """The seconds in which handlers may finish their messages when the hub closes."""
        self._lifespan = None if lifespan is None else lifespan_of(lifespan)
        clock = time if clock is None else clock
        engine = engine_for(given, clock)
        self._runtime = Runtime(engine, self.url, self, clock, threads, processes)
        self._runtime.observe(check_instruments(observe))
        self._dependencies = Dependencies(overrides)
        self._runtime.wire = self._dependencies.wire
        self.groups: GroupAdmin = GroupAdmin(self._runtime)
        """The consumer groups and dead letters."""
        self._topics = self._runtime.topics
        self._topics.formats.known = Formats(codecs, transforms, content_type, content_encoding)
        self._runner = HandlerRunner(self._runtime, self.declarations)
        self._group_runner = GroupRunner(self._runtime, self._runner.origins, self.declarations)
        self._dispatcher = CommandDispatcher(self._runtime, self._group_runner)
        self._work = HubWork(self._runtime, self._runner, self._group_runner, self._dispatcher)
        self._scheduler = Scheduler(self._runtime, self._runner, self._group_runner, self.on)
        self._closing = EngineClosing(engine)
        self.schedules: Schedules = Schedules(self._runtime, self._scheduler.timers, self._dispatcher)
        """The schedules that programs add at run time."""
        self._exits = AsyncExitStack()
        self._turn = asyncio.Lock()  # opening and closing do not overlap
        self._turn_of: asyncio.Task[Any] | None = None
        self._chores: set[asyncio.Task[None]] = set()  # work on the engine that plain functions have started

    async def __aenter__(self) -> Self:
        """Open the engine, enter the lifespan, and start the handlers. If a step fails, undo the steps before.

        Raises `Timeout`, `ConnectFailed`; `Closed` when the hub was opened before.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            fix = "telex runs on asyncio: open the hub in asyncio.run(...), or use telex.blocking.Hub, also under trio"
            raise Misuse("open a hub without a running asyncio loop", fix) from None
        if self._runtime.state is not Lifecycle.NEW:
            fix = (
                "a hub is opened once; make another where you open it, such as in a lifespan or a fixture: "
                "async with telex.Hub() as hub: hub.include_router(router)"
            )
            raise Closed("this hub", fix)
        self._runtime.state, self._runtime.reason = Lifecycle.OPENING, "it is being opened"
        FORKS.watch(self)
        try:
            async with self._turn_taken():
                await self._open()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def _open(self) -> None:
        self._runtime.processes.check_program(self.declarations, self.declared_commands)
        self._exits.push_async_callback(self._closing.close)
        self._exits.push_async_callback(self._end_chores)
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                await self._runtime.engine.open(self._topics, self._topics)
                await self._topics.keep_rules()
        except TimeoutError:
            if self._timeout is None or not limit.expired():
                raise
            what = f"opening the hub on {self._runtime.address}"
            raise Timeout(what, self._timeout, self._runtime.connection.problem) from None
        self._check_wanted()
        self._exits.callback(self._topics.close, CLOSED)
        self._runtime.reason = ""
        self._topics.open(asyncio.get_running_loop())
        self._exits.push_async_callback(self._runtime.end_pools)
        if self._lifespan is not None:
            await self._exits.enter_async_context(self._lifespan(self))
            self._check_wanted()
        await self._exits.enter_async_context(self._dependencies)
        self._exits.push_async_callback(self._stop)
        self._runtime.state = Lifecycle.OPEN
        self._runner.start()
        for spec in self.declarations:
            self._serve(spec)
        await self._dispatcher.start()
        self._scheduler.start()
        self._runtime.processes.open()
        runner_of(self.schedules).start()

    def _check_wanted(self) -> None:
        if self._runtime.closed:
            raise Closed("this hub", "it was closed while it was being opened")

    @asynccontextmanager
    async def _turn_taken(self) -> AsyncIterator[None]:
        async with self._turn:
            self._turn_of = asyncio.current_task()
            try:
                yield
            finally:
                self._turn_of = None

    async def _stop(self) -> None:
        with self._closing.after(self.close_timeout):
            await runner_of(self.schedules).stop()
            await self._scheduler.stop()
            # The order matters: first no new messages are accepted, then handlers finish, then their subscriptions end.
            self._topics.drain(CLOSED, self._runtime)
            try:
                await self._work.finish(self.close_timeout)
                await self._scheduler.close()
            finally:
                await self._dispatcher.stop()

    def _serve(self, spec: HandlerSpec) -> None:
        if spec.group is None:
            self._runner.add(spec)
        else:
            self._group_runner.add(spec)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Accept no more work, let handlers finish within ``close_timeout``, cancel the others, and close the engine.
        It may be called twice.

        Every subscription ends, after its waiting messages. Cancelling `aclose` while handlers finish cancels the
        handlers, and the hub is closed all the same. An engine that does not answer is closed two seconds after
        ``close_timeout``, whatever still waits for it. A second call waits until the hub is closed. Raises `Misuse`
        in a handler.
        """
        runtime = self._runtime
        if runtime.state is Lifecycle.CLOSED:
            return
        task = asyncio.current_task()
        if task in runtime.tasks:
            fix = "closing waits for the handlers: set an asyncio.Event that the program waits for, and close it there"
            raise Misuse("close the hub in a handler", fix)
        if not runtime.closed:
            runtime.state = Lifecycle.DRAINING if runtime.state is Lifecycle.OPEN else Lifecycle.CLOSING
        runtime.reason = CLOSED
        if self._turn_of is task:
            return  # called by its own lifespan, while the hub is closing
        async with self._turn_taken():
            await self._exits.aclose()
            runtime.state = Lifecycle.CLOSED

    async def idle(self, timeout: Duration | None = 10.0) -> None:
        """Wait until the handlers, groups and commands of this hub have finished every message that was published
        before, and those that their calls publish. For tests, and for programs that end when their work is done.

        A message that waits for its next attempt is not finished. Paused groups, and groups that only other processes
        serve, are not waited for. Raises `Timeout`, whose text names the unfinished work, and `EngineFailed`; `Misuse`
        in a handler, which waits for itself; `Closed` when the hub is closed with unfinished messages.
        """
        self._runtime.check_open()
        await self._work.wait(optional_seconds(timeout, "timeout"))

    def forked(self) -> None:
        """Refuse all use in a forked process."""
        if not self._runtime.closed:
            self._runtime.state, self._runtime.reason = Lifecycle.CLOSED, FORKED
            self._topics.close(FORKED)
        self._exits, self._turn = AsyncExitStack(), asyncio.Lock()  # the opened resources belong to the parent

    @property
    def closed(self) -> bool:
        """True once closing has begun."""
        return self._runtime.closed

    @property
    def connected(self) -> bool:
        """True while the hub is open and reaches its engine. The topic ``$connection`` has the changes."""
        return self._runtime.connection.connected

    @overload
    def topic(self, id: str, *, content_type: str | None = None, content_encoding: str | None = None) -> Topic[Any]: ...
    @overload
    def topic(
        self, id: str, type: type[T], *, content_type: str | None = None, content_encoding: str | None = None
    ) -> Topic[T]: ...
    def topic(
        self,
        id: str,
        type: type[Any] | None = None,
        *,
        content_type: str | None = None,
        content_encoding: str | None = None,
    ) -> Topic[Any]:
        """Return the topic with this id, the same object every time; create it if it is new. A pattern returns a
        readable topic with the messages of all topics that match.

        With ``type``, published content must be of this type (`telex.codec.content.Content`). ``content_type`` names
        the codec of new messages (``"application/msgpack"``), ``content_encoding`` their transforms (``"zlib, jwe"``,
        ``"identity"`` for none); readers decode by what each message names (`telex.codec`). Raises `BadName`;
        `BadOption` for a second type or format; `Closed`.
        """
        if self._runtime.closed:
            self._runtime.check_open()
        if not content_type is content_encoding is None:
            self._topics.set_format(id, content_type, content_encoding)
        return self._topics.get(id, type)

    async def topics(self, pattern: str = ">") -> list[str]:
        """Return the ids of all topics that match ``pattern``, sorted: topics with published messages, with readers, or
        with a declared type. Raises `BadName`, `Closed`.
        """
        self._runtime.check_open()
        return await self._topics.names(pattern)

    async def remove(self, id: str) -> bool:
        """Remove the messages of a topic, which goes on in another epoch. Return whether there was one.

        Subscriptions and handlers go on there after the messages that wait for them; one with ``report_lost`` gets a
        `Lost` with the reason ``epoch`` in between. Groups do not get the messages that they have not settled.

        Raises `BadName`, also for a pattern; `Closed`.
        """
        self._runtime.check_open()
        return await self._topics.remove(id)

    def retain(
        self, pattern: str, *, messages: int | None = None, age: Duration | None = None, bytes: int | None = None
    ) -> None:
        """Set the retention of the topics that match a pattern: the last ``messages``, those younger than ``age``, the
        last that fit in ``bytes`` of content and headers. All given bounds apply. Of two rules that match a topic the
        later applies; without a rule, the last 1000 messages are kept.

        Raises `BadName`, `BadOption`.
        """
        for option, value in (("messages", messages), ("bytes", bytes)):
            whole(0 if value is None else value, option, "it must be at least 0, or None for no bound", least=0)
        if self._topics.retain(check_pattern(pattern), Retention(messages, optional_seconds(age, "age"), bytes)):
            work = keep_doing(
                "sending the retention rules to the engine", self._topics.keep_rules, ended=self._is_ended
            )
            # A context of its own: when called inside a transaction, the task waits for the end of the transaction.
            chore = start_task(work, name="telex hands retention to the engine", context=Context())
            self._chores.add(chore)
            chore.add_done_callback(self._chores.discard)

    def _is_ended(self) -> bool:
        return self.closed or self._topics.ended

    async def _end_chores(self) -> None:
        await asyncio.gather(*self._chores, return_exceptions=True)

    async def adopt(self, messages: Sequence[Message[Any]]) -> Sequence[Message[Any]]:
        """Publish messages of another system, such as those of `Message.from_json`, with their ids, times, headers and
        keys: all or none, in this order. The topic numbers them. A message whose id the topic has, or that was adopted
        before, is not stored again, however old it is. Return the messages that were stored now.

        Raises `Misuse` on the memory engine, `ContentError`, `EngineFailed`, `Closed`.
        """
        self._runtime.check_open()
        self._runtime.require("adopt", "durable", "once_per_id")
        drafts = [self._topics.draft_of(message) for message in messages]
        return await self._runtime.store("adopt").append(drafts, adopt=True)

    def transaction(self, *, timeout: Duration | None = None) -> Transaction:
        """Return a transaction, ``async with hub.transaction() as tx:``. Its messages are published together or not at
        all; on SQLite, together with rows of your own tables in the same file. ``timeout`` bounds entering it, which
        waits for open transactions. See `telex.Transaction`.

        Raises `Misuse` on an engine without transactions, `Closed`.
        """
        return self._runtime.transaction(optional_seconds(timeout, "timeout"))

    @overload
    def join(self, connection: sqlite3.Connection) -> JoinedTransaction: ...
    @overload
    def join(self, connection: Any) -> Any: ...
    def join(self, connection: Any) -> JoinedTransaction | AsyncJoinedTransaction:
        """Publish and send in a transaction of ``connection``, which the program opened to the engine's database.

        The messages are published shortly after the program commits, and never when it rolls back. For that, some hub
        has to be open on the database, in this process or another. This hub need not be open, and no event loop is
        needed. ``connection`` is a `sqlite3.Connection`, a connection of psycopg, a session or connection of
        SQLAlchemy, or Django's, in a transaction that has begun. For an asynchronous connection the methods are
        coroutines (`telex.joined.AsyncJoinedTransaction`).

        Raises `BadOption` for another connection; `Misuse` on an engine without a database.
        """
        return join(self._runtime.outbox("join"), connection, self._runtime.clock, self._runtime.topics.carrier)

    def include_router(self, router: Router, prefix: str = "") -> None:
        """Add all declarations of ``router``, now and later, under ``prefix``. Raises `BadName`, `BadOption`."""
        if not isinstance(router, Router):
            raise BadOption("router", router, "it must be a telex.Router")
        router.connect(self._declared, prefix)

    def _declared(self, declaration: HandlerSpec | Command | TriggerSpec) -> None:
        self._runtime.check_thread()
        if isinstance(declaration, TriggerSpec):  # its functions become handlers of this hub, with the hub's middleware
            declaration.carry_out(self._scheduler)
            return
        declaration = declaration.within(self.middleware)
        if isinstance(declaration, Command):
            if declaration.streams:
                self.retain("$stream:>", messages=STREAM.messages, age=STREAM.age)
            self._dispatcher.declare(declaration)
            self.declared_commands.append(declaration)
            return
        self._group_runner.check(declaration)
        self._dependencies.declare(declaration.function, in_thread=declaration.run_in == "thread")
        self._runtime.engine.guarantees.require_readable(declaration.options, "new")
        for cls in declaration.types:
            self._topics.types.know(cls)
        self.declarations.append(declaration)
        self._serve(declaration)

    def statistics(self) -> HubStatistics:
        """Return the state of the hub now."""
        every = [topic.statistics() for topic in self._topics.all()]
        return HubStatistics(
            self._topics.count(),
            sum(is_pattern(topic.topic) for topic in every),
            sum(s.subscribers for s in every),
            self._runner.unhandled + self._group_runner.unhandled,
            (*self._runner.statistics(), *self._group_runner.statistics()),
            self._dispatcher.statistics(),
            self.connected,
        )

    def __enter__(self) -> NoReturn:
        raise Misuse("use `with` on a hub", "enter it with `async with`; without asyncio, use telex.blocking.Hub")

    def __exit__(self, *error: object) -> None: ...

    def __repr__(self) -> str:
        return f"<Hub on {self._runtime.address!r}, {self._runtime.reason or 'open'}>"


def runtime_of(hub: Hub) -> Runtime:
    """Return the runtime of a hub. Raises `BadOption` for another object."""
    return instance(hub, Hub, "hub", "it must be a telex.Hub")._runtime


def keep_encoded(hub: Hub, which: Literal["unknown", "all"]) -> Hub:
    """Have a hub read encoded content as it is, see `Formats.keeps_encoded`, and return it."""
    hub._topics.formats.known.keeps_encoded = which
    return hub


def dispatcher_of(hub: Hub) -> CommandDispatcher:
    """Return the commands of a hub."""
    return hub._dispatcher


def scheduler_of(hub: Hub) -> Scheduler:
    """Return the triggers of a hub."""
    return hub._scheduler
