"""`HandlerSpec`: a declared handler. It is checked and bound once; nothing is inspected per message."""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from telex.checks import flag, whole
from telex.codec.content import Content
from telex.durations import seconds
from telex.errors import BadHandler, BadName, BadOption, text_of
from telex.handlers.batches import BATCH_SOURCES, BatchSpec, check_batch, of_contents, read_batch_signature
from telex.handlers.call import Invoke
from telex.handlers.carrying import carrying
from telex.handlers.context import Context, Retry, current, entered, shaped
from telex.handlers.middleware import Middleware, check_middleware, wrap
from telex.handlers.places import RunIn, bind_process, bind_thread, check_place
from telex.handlers.signature import (
    ArgumentKinds,
    bind_arguments,
    blocking_hub_for,
    calls_async,
    name_of,
    parts_of,
    read_signature,
)
from telex.limits.limit import LimitSpec, check_limit
from telex.log.options import Options, check_options
from telex.log.start import Start, check_start
from telex.message import Message, headers_of
from telex.names import check_pattern, check_topic
from telex.observe.instrument import Processing, itself
from telex.topics.transaction import Transaction

if TYPE_CHECKING:
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.handlers")
KINDS = ArgumentKinds(
    by_class={Message: "message", Context: "context", Transaction: "tx"},
    by_name={},
    purpose="be called with a message",
    yields="it yields, so calling it runs nothing; publish results with hub.topic(...).publish",
    twice="it takes the content or, where it is annotated, the telex.Message, and the telex.Hub, each once",
    foreign={
        "CommandContext": "in a handler with group= annotate telex.Context",
        "BatchContext": "give batch=, such as batch=100, or annotate telex.Context",
    },
)
"""The arguments that handlers may take."""


class GroupSpec(msgspec.Struct, frozen=True):
    """The group options of a declared handler; ``lease`` in seconds."""

    name: str
    retry: Retry
    lease: float
    dead_letter: str | None
    start: Start
    tx: bool = False
    """True when each call runs in a transaction that also acknowledges its delivery."""


class HandlerSpec(msgspec.Struct, frozen=True):
    """A declared handler: its function, the messages that it takes, and the options of its subscription.

    ``wants`` are the kinds of the function's arguments (`ArgumentKinds`).
    """

    name: str
    function: Callable[..., object]
    wants: tuple[str, ...]
    is_async: bool
    patterns: tuple[str, ...]
    types: tuple[type[Any], ...]
    concurrency: int
    options: Options
    group: GroupSpec | None = None
    middleware: tuple[Middleware, ...] = ()
    takes: Content[Any] | None = None
    """The annotated type of the content. Content from outside of the process is converted to it."""
    run_in: RunIn = "loop"
    """The place in which the function is called."""
    batch: BatchSpec | None = None
    """The bounds of its batches; None for a handler of single messages."""
    limit: LimitSpec | None = None
    """The limit of its calls over all processes."""

    def under(self, prefix: str) -> HandlerSpec:
        """Return a copy with ``prefix`` and a colon before each pattern. Raises `BadName` for a long name."""
        if not prefix:
            return self
        patterns = tuple(check_pattern(f"{prefix}:{pattern}") for pattern in self.patterns)
        return msgspec.structs.replace(self, patterns=patterns)

    def within(self, middleware: Sequence[Middleware]) -> HandlerSpec:
        """Return a copy with ``middleware`` around its own middleware."""
        if not middleware:
            return self
        return msgspec.structs.replace(self, middleware=(*middleware, *self.middleware), is_async=True)

    def bind(self, runtime: Runtime) -> Invoke:
        """Return a function of a message that calls the handler. Its result is awaitable if the handler is async."""
        sources: dict[str, Callable[[Any], object]] = {"hub": lambda message: runtime.hub}
        sources |= {"context": lambda message: current.get(), "tx": lambda message: entered.get()}
        if "blocking_hub" in self.wants:
            blocking = blocking_hub_for(self.function, runtime.hub)
            sources["blocking_hub"] = lambda message: blocking
        if self.batch is not None:
            sources |= BATCH_SOURCES
        if self.run_in == "process":
            wants = self.wants if self.batch is None else ("content",)
            invoke: Invoke = bind_process(
                self.function, wants, self.name, runtime, calls=self.concurrency, answers=False
            )
            invoke = invoke if self.batch is None else of_contents(invoke)
        else:
            function = runtime.wire(self.function, in_thread=self.run_in == "thread")
            invoke = bind_arguments(function, self.wants, "message", sources)
        if self.run_in == "loop" and not calls_async(self.function):
            invoke = _timed(invoke, self.name)
        takes = self.content(runtime)
        if takes is not None:
            runtime.topics.types.hint(takes)
        shapes = takes is not None and self.batch is None  # the messages of a batch are converted one by one
        bound: Invoke = (lambda message: invoke(shaped(message, takes))) if takes is not None and shapes else invoke
        if self.run_in == "thread":
            bound = bind_thread(bound, self.name, runtime)
        bound = wrap(bound, self.middleware) if self.middleware else bound
        group = None if self.group is None else self.group.name
        batch = None if self.batch is None else attrgetter("content")  # a `MessageList`
        bound = runtime.observed(bound, Processing(self.name, self.patterns, group, headers_of, itself, batch))
        # Elsewhere the headers come with the context of the publisher.
        return bound if group is None and runtime.in_process else carrying(bound, runtime.topics.carrier, runtime.clock)

    def content(self, runtime: Runtime) -> Content[Any] | None:
        """Return the type to which content from outside of the process is converted; None when it is passed
        unchanged.
        """
        if runtime.in_process or self.types:
            return None
        # Evaluated again: an annotation may name a class that was defined after the function.
        if self.takes is not None:
            return self.takes
        read = read_signature if self.batch is None else read_batch_signature
        return read(self.function, KINDS).content


BLOCKING_SECONDS = 0.1
"""The seconds for which a sync function may block the event loop before a warning is logged."""


def _timed(invoke: Invoke, name: str) -> Invoke:
    """Return a function that logs a warning, once, when a call of a sync function takes long."""
    warned = False

    def timed(message: Message[Any]) -> object:
        nonlocal warned
        began = perf_counter()
        try:
            return invoke(message)
        finally:
            took = perf_counter() - began
            if took > BLOCKING_SECONDS and not warned:
                warned = True
                text = (
                    "handler %s blocked the event loop for %d ms, and nothing else ran meanwhile: have a thread call "
                    "it, run_in='thread', or make it `async def` and await there what it waits for; this is logged once"
                )
                logger.warning(text, name, took * 1000)

    return timed


def declare(function: Any, what: Sequence[object], prefix: str, options: Mapping[str, Any]) -> HandlerSpec:
    """Return the handler of ``@on(*what, **options)`` over ``function``. Raises `BadHandler`, `BadName`,
    `BadOption`.
    """
    given = [item for item in what if isinstance(item, str)]
    classes = [cls for item in what if not isinstance(item, str) for cls in _classes(item)]
    if not what:
        raise BadOption("pattern", (), "give a pattern such as 'chatroom:*', a type such as OrderPlaced, or both")
    patterns = [f"{prefix}:{pattern}" if prefix else pattern for pattern in given or [">"]]
    for pattern in patterns:
        check_pattern(pattern)
    if len(set(patterns)) < len(patterns):
        raise BadName(patterns, "give each pattern once")
    name = name_of(function)
    batch = check_batch(options["batch"], options["within"])
    signature = (read_signature if batch is None else read_batch_signature)(function, KINDS)
    concurrency = options["concurrency"]
    whole(concurrency, "concurrency", "it must be at least 1, the number of calls that may run at once")
    middleware = check_middleware(options["middleware"])
    run_in = check_place(options["run_in"], function, signature.kinds)
    is_async = calls_async(function) or bool(middleware) or run_in != "loop"
    if options["tx"] and not calls_async(function):
        raise BadHandler(name, "a transaction is awaited: make it `async def`")
    if concurrency > 1 and not is_async:
        fix = f"the event loop runs the calls of {name} one after the other: leave out concurrency= or run_in='loop'"
        raise BadOption("concurrency", concurrency, fix)
    group = _group_spec(options, signature.kinds, name)
    if group is not None and not given:
        raise BadOption(
            "group",
            options["group"],
            "say which pattern it takes from, @hub.on('orders:*', OrderPlaced, group=...): the group settles every "
            "message there, and dead-letters those that none of its handlers takes",
        )
    checked = check_options(
        options["overflow"], options["buffer"], options["buffer_bytes"], options["key"], True, options["block_timeout"]
    )
    return HandlerSpec(
        name,
        function,
        signature.kinds,
        is_async,
        tuple(patterns),
        tuple(classes),
        concurrency,
        checked,
        group,
        middleware,
        None if classes else signature.content,
        run_in,
        batch,
        _check_limit(options, name),
    )


LEASE_SECONDS = 30.0
"""The lease of a group's handler that gives none."""
MIN_LEASE_SECONDS = 0.1
_OF_A_GROUP: dict[str, object] = {
    "retry": None,
    "lease": None,
    "dead_letter": None,
    "start": None,
    "tx": False,
    "batch": None,
}
_OF_A_SUBSCRIBER: dict[str, object] = {
    "buffer": 1024,
    "buffer_bytes": None,
    "overflow": "drop_newest",
    "key": None,
    "block_timeout": 30.0,
}


def _group_spec(options: Mapping[str, Any], wants: Sequence[str], name: str) -> GroupSpec | None:
    """Return the checked group options of a handler, or None without ``group``. Raises `BadOption`, `BadHandler`,
    `BadName`.
    """
    group = options["group"]
    if group is None:
        for option, usual in _OF_A_GROUP.items():
            if options[option] != usual:
                raise BadOption(option, options[option], "only a handler with group= takes this option")
        if "context" in wants:
            raise BadHandler(name, "only a handler of a group has a Context; give @hub.on(..., group='name')")
        if "tx" in wants:
            raise BadHandler(
                name, "it has an argument for a transaction, so give tx=True: @hub.on(..., group='name', tx=True)"
            )
        return None
    for option, usual in _OF_A_SUBSCRIBER.items():
        if options[option] != usual:
            fix = "a handler with group= has no buffer: its messages wait in the log"
            if option == "key":
                fix = "a group uses the key that the publisher gave: publish(..., key=...)"
            raise BadOption(option, options[option], fix)
    if not isinstance(group, str):
        raise BadOption("group", group, "it must be a name, such as 'billing'")
    retry = Retry() if options["retry"] is None else options["retry"]
    if not isinstance(retry, Retry):
        raise BadOption("retry", retry, "it must be a telex.Retry, such as telex.Retry(attempts=5, first='1s')")
    lease = LEASE_SECONDS if options["lease"] is None else seconds(options["lease"], "lease")
    if lease < MIN_LEASE_SECONDS:
        fix = f"it must be at least {MIN_LEASE_SECONDS} s, since a consumer renews a lease after half of it"
        raise BadOption("lease", options["lease"], fix)
    dead = options["dead_letter"]
    dead_letter = None if dead is None else check_topic(dead, "dead_letter")
    start = check_start("earliest" if options["start"] is None else options["start"])
    tx = _check_tx(options["tx"], wants, name, options["batch"])
    return GroupSpec(check_topic(group, "group"), retry, lease, dead_letter, start, tx)


def _check_limit(options: Mapping[str, Any], name: str) -> LimitSpec | None:
    """Return the checked limit of a handler. Raises `BadOption`."""
    limit, group = options["limit"], options["group"]
    if limit is not None and group is None:
        fix = "only a handler with group= takes it; for a live handler use telex.middleware.rate_limit, in each process"
        raise BadOption("limit", limit, fix)
    if limit is not None and options["batch"] is not None:
        raise BadOption("limit", limit, "it counts calls for single messages: leave out limit= or batch=")
    return check_limit(limit, options["by"], f"group:{group} {name}")


def _check_tx(tx: bool, wants: Sequence[str], name: str, batch: object) -> bool:
    """Return the checked option ``tx``. Raises `BadOption`, `BadHandler`."""
    flag(tx, "tx")
    if tx and batch is not None:
        raise BadOption("tx", tx, "a transaction acknowledges single messages: leave out tx= or batch=")
    if tx is not ("tx" in wants):
        fix = (
            "add an argument for the transaction, tx: telex.Transaction"
            if tx
            else "it has an argument for a transaction: give tx=True"
        )
        raise BadHandler(name, fix)
    if tx and "context" in wants:
        raise BadHandler(
            name, "its transaction settles the message: raise telex.Nack or telex.Reject, and take no Context"
        )
    return tx


def _classes(item: object) -> Sequence[type[Any]]:
    """Return the classes of a type for dispatch. Raises `BadOption` for a type without instances."""
    return [_class(type(None) if part is None else part) for part in parts_of(item)]


def _class(item: object) -> type[Any]:
    if not isinstance(item, type) or typing.get_origin(item) is not None:
        fix = "give patterns as text and types as classes (list, not list[int]): dispatch is by class"
        if isinstance(item, typing.NewType):
            fix = f"at run time a NewType is its base: give the base, {item.__supertype__}, or a subclass of it"
        raise BadOption("type", item, fix)
    if item is Message:
        raise BadOption("type", item, "every message is a Message; give the type of its content, or a pattern")
    if item is Any:
        fix = "Any is no class to dispatch by: give object to take content of every class, or only a pattern"
        raise BadOption("type", item, fix)
    try:
        issubclass(int, item)
    except Exception as error:  # noqa: BLE001  # a metaclass may raise anything
        what = "a TypedDict is a dict at run time" if typing.is_typeddict(item) else text_of(error)
        fix = f"dispatch is by class, and isinstance fails for this type ({what}): give a class, or a pattern alone"
        raise BadOption("type", item, fix) from None
    return item
