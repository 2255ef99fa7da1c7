"""`Router`: handlers that are declared in one file with a prefix, and included in a hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from telex.commands.spec import Command, declare_command
from telex.durations import Duration
from telex.errors import BadHandler, BadOption
from telex.handlers.context import Retry
from telex.handlers.middleware import Middleware, check_middleware
from telex.handlers.places import RunIn
from telex.handlers.spec import HandlerSpec, declare
from telex.limits.limit import By, Limit
from telex.log.options import Overflow
from telex.log.start import Start
from telex.message import Message
from telex.names import check_pattern
from telex.once.store import OnceStore
from telex.triggers.declare import Timing
from telex.triggers.spec import Maker, TriggerSpec

F = TypeVar("F", bound=Callable[..., object])


def _check_called(what: Sequence[object]) -> None:
    """Raise `BadHandler` for ``@hub.on`` without parentheses."""
    if len(what) == 1 and callable(what[0]) and not isinstance(what[0], type) and not hasattr(what[0], "__args__"):
        fix = "give a pattern or a type: write @hub.on('chatroom:*') or @hub.on(OrderPlaced), not @hub.on"
        raise BadHandler(getattr(what[0], "__name__", repr(what[0])), fix)


class Declaring:
    """The decorators of a hub and of a router, and the handlers and commands declared with them."""

    def __init__(self, prefix: str, middleware: Sequence[Middleware]) -> None:
        self.prefix: str = prefix and check_pattern(prefix, "prefix")
        self.middleware: tuple[Middleware, ...] = check_middleware(middleware)
        self.declarations: list[HandlerSpec] = []
        self.declared_commands: list[Command] = []
        self.plans: list[TriggerSpec] = []

    def on(
        self,
        *what: str | type[Any],
        concurrency: int = 1,
        buffer: int = 1024,
        buffer_bytes: int | None = None,
        overflow: Overflow = "drop_newest",
        key: Callable[[Message[Any]], object] | None = None,
        block_timeout: Duration = 30.0,
        group: str | None = None,
        retry: Retry | None = None,
        lease: Duration | None = None,
        dead_letter: str | None = None,
        start: Start | None = None,
        tx: bool = False,
        batch: int | None = None,
        within: Duration = 1.0,
        limit: str | Limit | None = None,
        by: By | Literal["key"] | None = None,
        middleware: Sequence[Middleware] = (),
        run_in: RunIn | None = None,
    ) -> Callable[[F], F]:
        """Call a function for every message: of the topics that fit a pattern, with content of a type, or both.

        ``what`` is patterns, types (classes, or ``int | str``), or both. Handlers without types are all called. Of the
        handlers with types on the same pattern, those with the most specific type are called, as by
        `functools.singledispatch`; a message that none of them takes is counted as unhandled.

        The event loop calls async functions, threads call sync functions; ``run_in="loop"`` is for short sync functions
        that do not block, ``run_in="process"`` for functions of a module that compute. The function is passed the
        content, or the `Message` and the `Hub` (sync: `telex.blocking.Hub`) to arguments with these annotations.
        ``concurrency`` calls run at once; with 1 the order is kept. An error is logged and counted. A handler without
        ``group`` is a live subscriber with the options ``buffer`` to ``block_timeout`` of ``topic.subscribe``.

        With ``group``, all consumers of the group, in all processes on the engine, share the messages. Each is leased
        to one consumer for ``lease`` (30 seconds), renewed while the call runs. It is acknowledged when the function
        returns, and redelivered by ``retry`` when it raises. After the last attempt the engine keeps it as a dead
        letter; a copy goes to the topic ``dead_letter`` (``dead:<group>``), whose messages the group skips. A new group
        begins at ``start`` ("earliest"). Messages of one key are handled one after the other. An argument annotated
        `Context` settles by hand. Handlers with types of the same group and pattern are one consumer, which rejects a
        message that none of them takes. With ``tx=True`` each call runs in a transaction for a `Transaction` argument:
        its rows, its messages and the acknowledgement are committed together. With ``batch``, a handler gets lists,
        ``list[T]`` or ``list[telex.Message[T]]``, when ``batch`` messages are there, at the latest ``within`` after the
        first; they are settled together, or by a `BatchContext`. ``limit``, such as ``"10/s"`` or a `Limit`, bounds the
        calls over all processes, for each key that ``by`` returns for the content (``by="key"``: for message keys).

        ``middleware`` is applied to each call, outermost first, inside that of the router and of the hub. On an open
        hub, the handler is called from the next message on. Raises `BadHandler`, `BadName`, `BadOption`.
        """
        _check_called(what)
        options: dict[str, object] = {"concurrency": concurrency, "buffer": buffer, "buffer_bytes": buffer_bytes}
        options |= {"overflow": overflow, "key": key, "block_timeout": block_timeout, "group": group, "retry": retry}
        options |= {"lease": lease, "dead_letter": dead_letter, "start": start, "tx": tx, "run_in": run_in}
        options |= {"middleware": middleware, "batch": batch, "within": within, "limit": limit, "by": by}

        def decorate(function: F) -> F:
            self._declared(declare(function, what, self.prefix, options))
            return function

        return decorate

    def command(
        self,
        name: str,
        *,
        once: bool = False,
        lease: Duration = 30.0,
        keep: Duration | None = None,
        max_attempts: int | None = None,
        backoff: Duration | None = None,
        version: int | None = None,
        store: OnceStore | None = None,
        run_anyway: bool = False,
        concurrency: int = 16,
        limit: str | Limit | None = None,
        by: By | Literal["key"] | None = None,
        middleware: Sequence[Middleware] = (),
        run_in: RunIn | None = None,
    ) -> Callable[[F], F]:
        """Have a function carry out the commands of a name. It returns the result of a command, or raises its error.

        The function is sync or async; ``run_in`` is that of `on`. It is passed the content, and by annotation the
        `CommandContext`, the `Hub`, the `Message`. Content that does not fit its annotation is refused before the
        function runs, and so is a result that does not fit the annotation of the return value. ``concurrency`` calls
        run at once in this process. Programs that declare the same name on a shared engine share the commands. The
        commands of a worker that dies go to another worker after ``lease``, which is renewed while a call runs.

        ``keep`` is the time for which each outcome is kept for `Hub.ticket` and `Hub.commands`; without it, the last
        1000 outcomes of the name are kept. Also the arguments of failed commands are kept, for `Hub.retry`.

        With ``once=True`` every command has a key, and each key has one recorded outcome, kept for ``keep`` (24 hours):
        repeated commands get this outcome, and the function does not run again. A `CommandError` is recorded. After any
        other exception the function runs again, ``backoff`` (1 second) later and twice as long each time, or after the
        ``delay`` of a `Nack`, until it has begun ``max_attempts`` (3) times. ``version`` (1) is that of the content:
        a key that was used with another version raises `KeyConflict`. With an argument ``tx`` the function writes
        in the transaction that records and publishes the outcome: a `telex.Transaction` of the engine or, with
        ``store=telex.once.PostgresStore(...)``, a connection of psycopg. When the store cannot be reached the function
        does not run, and the error has the code ``store_unavailable``; with ``run_anyway`` it runs without a record,
        for work that may run twice but not never. See `telex.once`.

        ``limit`` and ``by`` bound the calls over all processes, as for `on`; ``by="key"`` is the key of the command.
        ``middleware`` is applied to each call. On an open hub, commands are served at once. Raises `BadHandler`,
        `BadName`; `BadOption`, also when another function carries out this name already.
        """
        if callable(name):
            called = getattr(name, "__name__", repr(name))
            raise BadHandler(called, f"give the command a name: @hub.command('{called}'), not @hub.command")
        options: dict[str, object] = {"once": once, "lease": lease, "keep": keep, "max_attempts": max_attempts}
        options |= {"backoff": backoff, "version": version, "store": store, "run_anyway": run_anyway}
        options |= {"concurrency": concurrency, "middleware": middleware, "run_in": run_in, "limit": limit, "by": by}

        def decorate(function: F) -> F:
            self._declared(declare_command(function, name, self.prefix, options))
            return function

        return decorate

    def _declared(self, declaration: HandlerSpec | Command | TriggerSpec) -> None:
        if isinstance(declaration, Command):
            self.declared_commands.append(declaration)
        elif isinstance(declaration, TriggerSpec):
            self.plans.append(declaration)
        else:
            self.declarations.append(declaration)


class Router(Declaring, Timing[TriggerSpec]):
    """Declarations without a hub. ``Router("orders")`` puts ``orders:`` before every pattern; a handler with types only
    gets the pattern ``orders:>``. ``middleware`` is applied to every handler, inside the middleware of the hub.
    """

    def __init__(self, prefix: str = "", *, middleware: Sequence[Middleware] = ()) -> None:
        super().__init__(prefix, middleware)
        self._connected: list[tuple[Callable[[HandlerSpec | Command | TriggerSpec], None], str]] = []

    def connect(self, declared: Callable[[HandlerSpec | Command | TriggerSpec], None], prefix: str = "") -> None:
        """Call ``declared`` with every declaration, also with later ones. ``hub.include_router`` calls this method."""
        checked = prefix and check_pattern(prefix, "prefix")
        if any(to == declared and under == checked for to, under in self._connected):
            raise BadOption(
                "router", self, "this router is included here already; include it once, or with another prefix"
            )
        for declaration in self.declarations:
            declared(declaration.under(checked))
        for command in self.declared_commands:
            declared(command.under(checked))
        for plan in self.plans:
            declared(plan.under(checked))
        self._connected.append((declared, checked))

    def include_router(self, router: Router, prefix: str = "") -> None:
        """Include another router, under the prefix of this router and ``prefix``."""
        if not isinstance(router, Router):
            raise BadOption("router", router, "it must be a telex.Router")
        if self._leads_to(router):
            raise BadOption("router", router, "it cannot include itself")
        router.connect(self._declared, ":".join(part for part in (self.prefix, prefix) if part))

    def _leads_to(self, other: Router) -> bool:
        owners = [getattr(declared, "__self__", None) for declared, _ in self._connected]
        return self is other or any(isinstance(owner, Router) and owner._leads_to(other) for owner in owners)

    def _trigger(self, make: Maker, name: str | None, topic: str | None) -> TriggerSpec:
        plan = TriggerSpec(make, name, topic, self.prefix)
        self._declared(plan)
        return plan

    def _declared(self, declaration: HandlerSpec | Command | TriggerSpec) -> None:
        declaration = declaration.within(self.middleware)
        super()._declared(declaration)
        for declared, prefix in self._connected:
            declared(declaration.under(prefix))

    def __repr__(self) -> str:
        declared = len(self.declarations) + len(self.declared_commands) + len(self.plans)
        return f"<Router {self.prefix!r}, {declared} declared>"
