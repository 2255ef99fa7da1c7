"""What a function decorated with ``@hub.command`` is: checked, and made into one direct call, when it is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from telex.codec.content import Content
from telex.commands.outcome import Progress
from telex.durations import seconds
from telex.errors import BadHandler, BadName, BadOption, Misuse, text_of
from telex.handlers.middleware import Middleware, check_middleware, wrap
from telex.handlers.signature import ArgumentKinds, bind_arguments, calls_async, name_of, read_signature
from telex.message import Message
from telex.names import check_topic
from telex.once.store import OnceStore
from telex.topics.transaction import Transaction

T = TypeVar("T")
SHORTEST = 0.1
"""Seconds that a lease lasts at least: who works renews it at a third of it."""


class _Nothing:
    """The result of `CommandContext.progress`: as good as None, but it says what is wrong when it is awaited."""

    __slots__ = ()

    def __await__(self) -> NoReturn:
        raise Misuse(
            "await ctx.progress(...)", "write ctx.progress(...) without await: it never waits, and has no result"
        )


_NOTHING = _Nothing()


class CommandContext(Generic[T]):
    """One run of a command, for a handler with an argument that is annotated ``telex.CommandContext``.

    ``attempt`` is 1 when the command is begun for the first time. ``fence`` is larger for every later attempt of the
    same key: give it to whatever the handler changes outside, which then refuses those with a smaller one. It is 0 for
    a command that does not run once.
    """

    __slots__ = (
        "_message",
        "_report",
        "attempt",
        "command",
        "content",
        "deadline",
        "fence",
        "hub",
        "id",
        "key",
        "tx",
    )

    def __init__(
        self,
        command: str,
        content: T,
        id: str,
        key: str | None,
        deadline: float | None,
        hub: Any,
        report: Callable[[Progress], None],
    ) -> None:
        self.command: str = command
        """The name of the command."""
        self.content: T = content
        """The content, of the type that the handler annotates."""
        self.id: str = id
        """The id of the command as it was sent, which is that of its `Ticket` and its `Outcome`."""
        self.key: str | None = key
        """The key that it was sent under."""
        self.deadline: float | None = deadline
        """The time after which its sender does not wait any more, in seconds since 1970; None without one."""
        self.hub: Any = hub
        """The hub that carries it out."""
        self.attempt: int = 1
        """The number of this attempt, from 1."""
        self.fence: int = 0
        """A number that is larger for every later attempt of its key; 0 for a command that does not run once."""
        self.tx: Any = None
        """The transaction, for a handler that asked for ``tx``; else None."""
        self._report = report
        self._message: Message[T] | None = None

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell whoever sent the command, and those who follow it, how far it is: a ``fraction`` from 0 to 1 and text
        for people. Never waits, and is called without ``await``; of many in a short time the last is told. A lone
        surrogate in the text is written as its escape. Raises `BadOption`.
        """
        if not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise BadOption("fraction", fraction, "it is a part of the whole, from 0 to 1")
        self._report(Progress(self.command, self.id, self.key, float(fraction), text_of(text)))
        return _NOTHING  # type: ignore[return-value]  # for those who await it

    @property
    def message(self) -> Message[T]:
        """The command as a message."""
        if self._message is None:
            self._message = Message(self.content, f"$command:{self.command}:request", 0, self.id, 0.0, None, None)
        return self._message

    def __repr__(self) -> str:
        return f"<CommandContext of {self.command!r} {self.id}, attempt {self.attempt}>"


Invoke = Callable[[CommandContext[Any]], Any]
KINDS = ArgumentKinds(
    by_class={Message: "message", CommandContext: "context", Transaction: "tx"},
    by_name={"tx": "tx"},
    purpose="carry out a command",
    yields="it yields; a command returns its result, and tells its progress by its context",
    twice="a command has one content: put what belongs together in a struct or a dataclass",
)
"""The arguments that functions of commands may take."""


class OnceOptions(msgspec.Struct, frozen=True):
    """What a command that runs once was declared with; times in seconds."""

    lease: float
    keep: float
    max_attempts: int
    backoff: float
    version: int
    store: OnceStore | None
    run_anyway: bool = False


class Command(msgspec.Struct, frozen=True):
    """A command as it was declared."""

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

    def under(self, prefix: str) -> Command:
        """The same with ``prefix`` and a colon before its name. Raises `BadName` when that gets too long."""
        return msgspec.structs.replace(self, name=check_command(f"{prefix}:{self.name}")) if prefix else self

    def within(self, middleware: Sequence[Middleware]) -> Command:
        """The same with ``middleware`` around what it has."""
        if not middleware:
            return self
        return msgspec.structs.replace(self, middleware=(*middleware, *self.middleware), is_async=True)

    def bind(self) -> Invoke:
        """One call, of a context; its result is awaitable when the function is async."""
        invoke = bind_arguments(self.function, self.wants, "context", {})
        if not self.middleware:
            return invoke
        # Middleware is of messages, and may pass on another one: the context goes beside it.
        running: ContextVar[CommandContext[Any]] = ContextVar("running")

        def innermost(message: Message[Any]) -> Any:
            context = running.get()
            context.content = message.content
            return invoke(context)

        step = wrap(innermost, self.middleware)

        async def around(context: CommandContext[Any]) -> object:
            running.set(context)
            return await step(context.message)

        return around


def check_command(name: object) -> str:
    """The name of a command. Raises `BadName`."""
    checked = check_topic(name)
    if checked.startswith("$"):
        raise BadName(name, "names that begin with '$' are telex's own")
    check_topic(f"$command:{checked}:progress")  # its topics have names, too
    return checked


def declare_command(function: Any, name: object, prefix: str, options: Mapping[str, Any]) -> Command:
    """A command of ``@command(name, **options)`` over ``function``. Raises `BadHandler`, `BadName`, `BadOption`."""
    checked = check_command(f"{prefix}:{name}" if prefix else name)
    called = name_of(function)
    signature = read_signature(function, KINDS)
    concurrency, lease = options["concurrency"], seconds(options["lease"], "lease")
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise BadOption("concurrency", concurrency, "it is how many calls may run at once, at least 1")
    if lease < SHORTEST:
        raise BadOption("lease", options["lease"], f"it is at least {SHORTEST} s: who works renews it at a third of it")
    middleware = check_middleware(options["middleware"])
    once = _once(options, lease)
    if "tx" in signature.kinds and once is None:
        raise BadHandler(called, "it takes a transaction: that goes with once=True; else use hub.transaction()")
    is_async = calls_async(function) or bool(middleware)
    takes, gives = signature.content, signature.result
    return Command(checked, function, signature.kinds, is_async, concurrency, takes, gives, once, lease, middleware)


_OF_ONCE = {"keep": "24h", "max_attempts": 3, "backoff": 1.0, "version": 1, "store": None, "run_anyway": False}


def _once(options: Mapping[str, Any], lease: float) -> OnceOptions | None:
    if not isinstance(options["once"], bool):
        raise BadOption("once", options["once"], "it is True or False")
    if not options["once"]:
        for option, usual in _OF_ONCE.items():
            if options[option] != usual:
                raise BadOption(option, options[option], "it goes with once=True, whose outcomes are kept")
        return None
    for option in ("max_attempts", "version"):
        value = options[option]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadOption(option, value, "it is a number of at least 1")
    keep = seconds(options["keep"], "keep")
    if keep < lease:
        raise BadOption("keep", options["keep"], "outcomes are kept for longer than a lease, and than senders repeat")
    store = options["store"]
    if store is not None and not (hasattr(store, "transaction") and hasattr(store, "put")):
        raise BadOption("store", store, "it is a telex.once.OnceStore, such as telex.once.PostgresStore(...)")
    backoff = seconds(options["backoff"], "backoff")
    if not isinstance(options["run_anyway"], bool):
        raise BadOption("run_anyway", options["run_anyway"], "it is True or False")
    return OnceOptions(lease, keep, options["max_attempts"], backoff, options["version"], store, options["run_anyway"])
