"""`Command`: a function decorated with ``@hub.command``, checked and bound to one direct call when it is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from telex.checks import whole
from telex.codec.content import Content
from telex.commands.context import CommandContext
from telex.commands.invocation import Invocation
from telex.durations import optional_seconds, seconds
from telex.errors import BadHandler, BadName, BadOption
from telex.handlers.middleware import Middleware, check_middleware, wrap
from telex.handlers.places import RunIn, bind_process, bind_thread, check_place
from telex.handlers.signature import (
    ArgumentKinds,
    bind_arguments,
    blocking_hub_for,
    calls_async,
    is_stream,
    name_of,
    read_signature,
)
from telex.limits.limit import LimitSpec, check_limit
from telex.message import Message
from telex.names import check_topic
from telex.once.options import OnceOptions, once_options
from telex.topics.transaction import Transaction

if TYPE_CHECKING:
    from telex.runtime import Runtime

MIN_LEASE_SECONDS = 0.1
Invoke = Callable[[Invocation], Any]
"""A bound handler. Its result is awaitable when the function is async."""
KINDS = ArgumentKinds(
    by_class={Message: "message", CommandContext: "context", Transaction: "tx"},
    by_name={"tx": "tx"},
    purpose="carry out a command",
    yields="it is a generator; to stream parts write `async def` with yield, else return one result",
    twice="a command has one content: put what belongs together in a struct or a dataclass",
    streams=True,
    foreign=dict.fromkeys(("Context", "BatchContext"), "in a command annotate telex.CommandContext"),
)
"""The arguments that functions of commands may take."""


class Command(msgspec.Struct, frozen=True):
    """A declared command. ``takes`` and ``gives`` are the types of its content and of its result, ``lease`` is in
    seconds.
    """

    name: str
    function: Callable[..., object]
    wants: tuple[str, ...]
    is_async: bool
    concurrency: int
    takes: Content[Any] | None
    gives: Content[Any] | None
    once: OnceOptions | None
    lease: float
    middleware: tuple[Middleware, ...] = ()
    streams: bool = False
    """True when the function yields parts, of the type ``gives``."""
    keep: float | None = None
    """The seconds for which an outcome is kept by its id; None for a command that runs once, which keeps it by key."""
    run_in: RunIn = "loop"
    """The place in which the function is called."""
    limit: LimitSpec | None = None
    """The limit of its calls over all processes."""

    def under(self, prefix: str) -> Command:
        """Return the command with ``prefix`` and a colon before its name. Raises `BadName` when the name becomes too
        long.
        """
        if not prefix:
            return self
        name, limit = check_command(f"{prefix}:{self.name}"), self.limit
        if limit is not None and limit.name == f"command:{self.name}":
            limit = msgspec.structs.replace(limit, name=f"command:{name}")
        return msgspec.structs.replace(self, name=name, limit=limit)

    def within(self, middleware: Sequence[Middleware]) -> Command:
        """Return the command with more ``middleware`` around its own middleware."""
        if not middleware:
            return self
        return msgspec.structs.replace(self, middleware=(*middleware, *self.middleware), is_async=True)

    def bind(self, runtime: Runtime) -> Invoke:
        """Return one function that calls the handler and its middleware."""
        invoke = self._bind_function(runtime)
        if not self.middleware:
            return invoke
        # Middleware takes messages, and may pass on another message, so the invocation is not passed through it.
        running: ContextVar[Invocation] = ContextVar("running")

        def innermost(message: Message[Any]) -> Any:
            invocation = running.get()
            invocation.content = message.content
            return invoke(invocation)

        step = wrap(innermost, self.middleware)

        async def around(invocation: Invocation) -> object:
            running.set(invocation)
            return await step(invocation.message)

        return around

    def _bind_function(self, runtime: Runtime) -> Invoke:
        if self.run_in == "process":
            carry_out = bind_process(
                self.function, self.wants, self.name, runtime, calls=self.concurrency, answers=True
            )
            return lambda invocation: carry_out(invocation.message)
        sources: dict[str, Callable[[Any], object]] = {"context": CommandContext}
        if "blocking_hub" in self.wants:
            blocking = blocking_hub_for(self.function, runtime.hub)
            sources["blocking_hub"] = lambda invocation: blocking
        function = runtime.wire(self.function, in_thread=self.run_in == "thread")
        if self.run_in == "loop":
            return bind_arguments(function, self.wants, "invocation", sources)
        sources["context"] = lambda invocation: CommandContext(invocation, runtime.threads.loop)
        invoke = bind_arguments(function, self.wants, "invocation", sources)
        return bind_thread(invoke, self.name, runtime)


def check_command(name: object) -> str:
    """Return the checked name of a command. Raises `BadName`."""
    checked = check_topic(name)
    if checked.startswith("$"):
        raise BadName(name, "names that begin with '$' are reserved for telex")
    check_topic(f"$command:{checked}:progress")  # the longest name of its topics
    return checked


def declare_command(function: Any, name: object, prefix: str, options: Mapping[str, Any]) -> Command:
    """Return the command of ``@hub.command(name, **options)`` over ``function``. Raises `BadHandler`, `BadName`,
    `BadOption`.
    """
    checked = check_command(f"{prefix}:{name}" if prefix else name)
    called = name_of(function)
    signature = read_signature(function, KINDS)
    concurrency, lease = options["concurrency"], seconds(options["lease"], "lease")
    whole(concurrency, "concurrency", "it must be at least 1, the number of calls that may run at once")
    if lease < MIN_LEASE_SECONDS:
        fix = f"it must be at least {MIN_LEASE_SECONDS} s, since the worker renews a lease after a third of it"
        raise BadOption("lease", options["lease"], fix)
    middleware = check_middleware(options["middleware"])
    once = once_options(options, lease)
    if "tx" in signature.kinds and once is None:
        raise BadHandler(
            called, "it has an argument tx, which needs once=True; without once=True use hub.transaction()"
        )
    streams = is_stream(function)
    if streams and once is not None:
        raise BadHandler(called, "it yields, and once=True records one result: leave out once, or return one result")
    run_in = check_place(options["run_in"], function, signature.kinds)
    limit = check_limit(options["limit"], options["by"], f"command:{checked}")
    is_async = calls_async(function) or bool(middleware) or run_in != "loop" or limit is not None
    takes, gives = signature.content, signature.result
    keep = None if once is not None else optional_seconds(options["keep"], "keep")
    if keep == 0:
        raise BadOption("keep", options["keep"], "it must be more than 0; leave it out to keep no outcomes")
    kinds = signature.kinds
    return Command(
        checked,
        function,
        kinds,
        is_async,
        concurrency,
        takes,
        gives,
        once,
        lease,
        middleware,
        streams,
        keep,
        run_in,
        limit,
    )
