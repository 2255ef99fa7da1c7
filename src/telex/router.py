"""`Router`: handlers declared in one file with a prefix, taken into a hub by ``include_router``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from telex.commands.spec import Command, declare_command
from telex.durations import Duration
from telex.errors import BadHandler, BadOption
from telex.handlers.context import Retry
from telex.handlers.middleware import Middleware, check_middleware
from telex.handlers.spec import HandlerSpec, declare
from telex.log.options import Overflow
from telex.log.start import Start
from telex.message import Message
from telex.names import check_pattern
from telex.once.store import OnceStore
from telex.triggers.declare import Timing
from telex.triggers.spec import Maker, TriggerSpec

F = TypeVar("F", bound=Callable[..., object])


class Declaring:
    """What a hub and a router share: the decorators, and what they declared."""

    def __init__(self, prefix: str, middleware: Sequence[Middleware]) -> None:
        self.prefix: str = prefix and check_pattern(prefix)
        self.middleware: tuple[Middleware, ...] = check_middleware(middleware)
        self.declarations: list[HandlerSpec] = []
        self.commands: list[Command] = []
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
        lease: Duration = 30.0,
        dead_letter: str | None = None,
        start: Start = "earliest",
        middleware: Sequence[Middleware] = (),
    ) -> Callable[[F], F]:
        """Call a function for every message: of the topics that fit a pattern, with content of a type, or both.

        ``what`` is patterns, types (classes, or ``int | str``), or both. With types, of all handlers that were declared
        with types on the same pattern those with the most specific type are called, as by `functools.singledispatch`;
        what none takes is counted as unhandled. Without types, all are called.

        The function is sync or async and is called by the loop; sync ones must not wait. It takes the content, or the
        `Message` where an argument is annotated so, and the `Hub` where one is annotated so. ``concurrency`` calls
        run at once (async ones); with 1 the order is kept. When it raises, that is logged with the message's id and
        counted, and the next message is handled. ``buffer`` and the rest are those of ``topic.subscribe``: a handler
        is a live subscriber.

        With ``group`` the members of that group, in all processes that share the engine, share the messages: each goes
        to one of them, leased for ``lease`` and renewed while it works; acknowledged when the function returns, tried
        again as ``retry`` says when it raises, and after the last attempt a dead letter: kept by the engine, and copied
        to the topic ``dead_letter`` (``dead:<group>``). A group that is new begins at ``start``. Messages of one key
        are worked on one after the other. An argument annotated `Context` settles by hand. With types, the handlers of
        a hub with the same group and pattern are one member, and what none of them takes is dead. What comes to the
        group's own dead-letter topic, should its pattern fit, is not for the group.

        ``middleware`` stands around each call, outermost first, within that of the router and of the hub; see
        `telex.handlers.middleware`.

        On a hub that is open the handler is called from the next message on. Raises `BadHandler`, `BadName`,
        `BadOption` here.
        """
        if len(what) == 1 and callable(what[0]) and not isinstance(what[0], type) and not hasattr(what[0], "__args__"):
            name = getattr(what[0], "__name__", repr(what[0]))
            raise BadHandler(name, "say for what: write @hub.on('chatroom:*') or @hub.on(OrderPlaced), not @hub.on")
        options: dict[str, object] = {
            "concurrency": concurrency,
            "buffer": buffer,
            "buffer_bytes": buffer_bytes,
            "overflow": overflow,
        }
        options |= {"key": key, "block_timeout": block_timeout, "group": group, "retry": retry, "lease": lease}
        options |= {"dead_letter": dead_letter, "start": start, "middleware": middleware}

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
        keep: Duration = "24h",
        max_attempts: int = 3,
        backoff: Duration = 1.0,
        version: int = 1,
        store: OnceStore | None = None,
        run_anyway: bool = False,
        concurrency: int = 16,
        middleware: Sequence[Middleware] = (),
    ) -> Callable[[F], F]:
        """Carry out the commands of a name by a function: what it returns is the result, what it raises the error.

        The function is sync or async; it takes the content and, by annotation, the `CommandContext`, the `Hub`, the
        `Message`. The annotation of the content is what commands are held to, before anything runs, and that of what it
        returns is what results are held to. ``concurrency`` calls run at once in this process; programs that declare
        the same name on a shared engine share the work. A worker that dies leaves what it had to another after
        ``lease``, which is renewed while it works.

        With ``once=True`` every command has a key, and each key one recorded outcome, kept for ``keep``: repeats get
        that, and nothing runs. A `CommandError` is recorded; after any other exception it is tried again, ``backoff``
        later and twice that the next time, until it was begun ``max_attempts`` times. ``version`` is of what it takes:
        change it, and an old key with the same content is another command. With an argument ``tx`` the function writes
        in a transaction in which the outcome is recorded and published: a `telex.Transaction` of the engine or, with
        ``store=telex.once.PostgresStore(...)``, a connection of psycopg. When the store cannot be reached nothing is
        run, and the error has the code ``store_unavailable``; with ``run_anyway`` it is run without a record, for work
        that is better done twice than not at all. See `telex.once`.

        ``middleware`` stands around each call. On a hub that is open it is served at once. Raises `BadHandler`,
        `BadName`; `BadOption`, also when another function carries out that name already.
        """
        if callable(name):
            called = getattr(name, "__name__", repr(name))
            raise BadHandler(called, f"give the command a name: @hub.command('{called}'), not @hub.command")
        options: dict[str, object] = {"once": once, "lease": lease, "keep": keep, "max_attempts": max_attempts}
        options |= {"backoff": backoff, "version": version, "store": store, "run_anyway": run_anyway}
        options |= {"concurrency": concurrency, "middleware": middleware}

        def decorate(function: F) -> F:
            self._declared(declare_command(function, name, self.prefix, options))
            return function

        return decorate

    def _declared(self, declaration: HandlerSpec | Command | TriggerSpec) -> None:
        if isinstance(declaration, Command):
            self.commands.append(declaration)
        elif isinstance(declaration, TriggerSpec):
            self.plans.append(declaration)
        else:
            self.declarations.append(declaration)


class Router(Declaring, Timing[TriggerSpec]):
    """Declarations without a hub. ``Router("orders")`` puts ``orders:`` before every pattern; types alone mean
    ``orders:>``. ``middleware`` stands around every handler, within that of the hub.
    """

    def __init__(self, prefix: str = "", *, middleware: Sequence[Middleware] = ()) -> None:
        super().__init__(prefix, middleware)
        self._connected: list[tuple[Callable[[HandlerSpec | Command | TriggerSpec], None], str]] = []

    def connect(self, declared: Callable[[HandlerSpec | Command | TriggerSpec], None], prefix: str = "") -> None:
        """Hand over all declarations, those made and those to come; what ``hub.include_router`` does."""
        checked = prefix and check_pattern(prefix)
        if any(to == declared and under == checked for to, under in self._connected):
            raise BadOption("router", self, "it was included here already; include it once, or with another prefix")
        for declaration in self.declarations:
            declared(declaration.under(checked))
        for command in self.commands:
            declared(command.under(checked))
        for plan in self.plans:
            declared(plan.under(checked))
        self._connected.append((declared, checked))

    def include_router(self, router: Router, prefix: str = "") -> None:
        """Take in another router, under this one's prefix and ``prefix``."""
        if not isinstance(router, Router):
            raise BadOption("router", router, "it is a telex.Router")
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
        return f"<Router {self.prefix!r}, {len(self.declarations) + len(self.commands) + len(self.plans)} declared>"
