"""`OpenTelemetry`: spans of published and handled messages, by the semantic conventions for messaging."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from inspect import isawaitable
from math import inf, log1p
from random import random
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from telex.checks import number
from telex.errors import BadOption, Misuse
from telex.message import Message
from telex.observe.headers import CORRELATION_ID, NAMES, TRACEPARENT, Sending, carried, carried_in, is_sampled
from telex.observe.instrument import Invoke, Processing

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(f"tracing needs {_error.name}: pip install 'telex[otel]'", name=_error.name) from _error

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

T = TypeVar("T")
SYSTEM = "telex"
"""The value of ``messaging.system``."""


class OpenTelemetry:
    """A tracer for ``telex.Hub(observe=...)``: a span "send X" for each published message and sent command, and a span
    "process X" for each call of a handler or command.

    ``provider`` makes the spans (default: the global tracer provider). A message whose headers have a ``traceparent``,
    and a publisher in a span, continue their trace. ``sample`` is the share of the other messages that begin a trace,
    from 0 to 1. Give it here and not as a sampler of the SDK: a message that begins no trace costs nearly nothing.

    Raises `BadOption`; importing this class raises `ModuleNotFoundError` without the extra ``otel``.
    """

    sends: ClassVar[bool] = True
    """True: a message that is published or sent may begin a span."""

    def __init__(self, provider: TracerProvider | None = None, *, sample: float = 1.0) -> None:
        number(sample, "sample", "it must be a share from 0 to 1, such as 0.01 for one in a hundred", 0, 1)
        if provider is not None and not isinstance(provider, trace.TracerProvider):
            raise BadOption("provider", provider, "it must be a TracerProvider of OpenTelemetry")
        self._tracer = trace.get_tracer("telex", tracer_provider=provider)
        self._format = TraceContextTextMapPropagator()
        self._current = _context_variable().get
        self.skips: Callable[[], bool]
        """Returns true when a message without headers begins no trace and continues none, and counts the message."""
        self.skips, self._begins = _sampler(float(sample), self._current)

    def attach(self, hub: object) -> None:
        """Do nothing: several hubs may have one tracer."""

    def sending(self, topic: str, headers: Mapping[str, str] | None) -> Sending | None:
        """Return the span of a message that is about to be published; None for no span."""
        current, carry = self._current(None), carried.get()
        if headers is None and carry is None and not current:
            if not self._begins():
                return None
            carry = {}
        else:
            given = carried_in(headers) if headers else None
            carry = {**({} if given and TRACEPARENT in given else carry or {}), **(given or {})}
            if given is not None and TRACEPARENT in given:
                current = None
            if not (is_sampled(carry) if TRACEPARENT in carry and not current else current or self._begins()):
                return None
        attributes = _attributes("send", topic, carry.get(CORRELATION_ID))
        parent = None if current else self._extracted(carry)
        span = self._tracer.start_span(f"send {topic}", parent, trace.SpanKind.PRODUCER, attributes)
        return _SendSpan(span, self._injected(span, carry), headers)

    def processing(self, invoke: Invoke, of: Processing) -> Invoke:
        """Return a function that calls ``invoke`` in a span, if its message has a trace or begins one."""
        if of.batch is not None:
            return partial(self._processed_batch, invoke, of.batch, of)
        read, begins = of.headers, _never if of.internal else self._begins

        def traced(argument: Any) -> Any:
            headers = read(argument)
            carry = None if headers is None else carried_in(headers)
            if carry is not None and TRACEPARENT in carry:
                if not is_sampled(carry):
                    return invoke(argument)
            elif not begins():
                return invoke(argument)
            return self._processed(invoke, argument, of, carry or {})

        return traced

    @contextmanager
    def process(self, messages: Sequence[Message[Any]], name: str = "") -> Iterator[Span]:
        """Enter the span of a batch, such as those of ``subscription.batches()``. The span links to the trace of each
        message. ``name`` is that of the batch's topic or pattern (default: the topic of the first message).

        Raises `Misuse` without messages.
        """
        if not messages:
            raise Misuse("trace an empty batch", "give the messages of one batch: observe.process(batch)")
        span = self._span_of_batch(name or messages[0].topic, self._traces_of(messages), None, len(messages))
        with _Scope(span, self._injected(span, {})):
            yield span

    # -- spans

    def _processed(self, invoke: Invoke, argument: Any, of: Processing, carry: Mapping[str, str]) -> Any:
        message = of.message(argument)
        pattern = of.patterns[0] if len(of.patterns) == 1 else message.topic
        attributes = _attributes("process", message.topic, carry.get(CORRELATION_ID))
        attributes |= {"messaging.message.id": message.id, "telex.handler": of.name}
        if pattern != message.topic:
            attributes["messaging.destination.template"] = pattern
        if of.group is not None:
            attributes["messaging.consumer.group.name"] = of.group
        # Not the current context: in memory it is the publisher's, whose span the headers name too.
        span = self._tracer.start_span(
            f"process {pattern}", self._extracted(carry), trace.SpanKind.CONSUMER, attributes
        )
        return _Scope(span, self._injected(span, carry), of.is_command).call(invoke, argument)

    def _processed_batch(
        self, invoke: Invoke, messages_of: Callable[[Any], Sequence[Message[Any]]], of: Processing, argument: Any
    ) -> Any:
        """Call a handler of batches in a span with a link to the trace of each message, if one is recorded, or if none
        has a trace and the batch begins one.
        """
        messages = messages_of(argument)
        found = self._traces_of(messages)
        if not (any(each.trace_flags.sampled for each in found) if found else self._begins()):
            return invoke(argument)
        span = self._span_of_batch(" ".join(of.patterns), found, Context(), len(messages))
        span.set_attribute("telex.handler", of.name)
        if of.group is not None:
            span.set_attribute("messaging.consumer.group.name", of.group)
        return _Scope(span, self._injected(span, {})).call(invoke, argument)

    def _traces_of(self, messages: Sequence[Message[Any]]) -> list[trace.SpanContext]:
        return [context for context in map(self._context_of, messages) if context.is_valid]

    def _span_of_batch(self, name: str, found: Sequence[trace.SpanContext], parent: Context | None, count: int) -> Span:
        attributes = _attributes("process", name, None) | {"messaging.batch.message_count": count}
        links = [trace.Link(context) for context in found]
        return self._tracer.start_span(f"process {name}", parent, trace.SpanKind.CONSUMER, attributes, links)

    def _extracted(self, carry: Mapping[str, str]) -> Context:
        return self._format.extract(carry, Context()) if TRACEPARENT in carry else Context()

    def _context_of(self, message: Message[Any]) -> trace.SpanContext:
        return trace.get_current_span(self._extracted(carried_in(message.headers) or {})).get_span_context()

    def _injected(self, span: Span, carry: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that carry the context of a span, and the correlation id."""
        found: dict[str, str] = {}
        self._format.inject(found, trace.set_span_in_context(span, Context()))
        if CORRELATION_ID in carry:
            found[CORRELATION_ID] = carry[CORRELATION_ID]
        return found


class _Scope:
    """A span that is current while code runs. `step` makes it current for synchronous code, `finished` for a coroutine;
    `end` ends it. ``is_command``: the result of `call` is an outcome, whose error is that of the span.
    """

    def __init__(self, span: Span, carry: Mapping[str, str], is_command: bool = False) -> None:
        self.span = span
        self.carry = carry
        self._is_command = is_command
        self._ended = False

    @contextmanager
    def step(self) -> Iterator[None]:
        """Make the span current. An exception ends it."""
        token = contexts.attach(trace.set_span_in_context(self.span))
        carrying = carried.set(self.carry)
        try:
            yield
        except BaseException as error:
            self.end(error)
            raise
        finally:
            carried.reset(carrying)
            contexts.detach(token)

    def call(self, invoke: Invoke, argument: Any) -> Any:
        """Call a function in the span, and return its result, or an awaitable for it, which ends the span."""
        with self.step():
            result = invoke(argument)
            if not isawaitable(result):
                self.end()
                return result
        return self.finished(result)

    async def finished(self, result: Any) -> Any:
        """Await the result of a call in the span, and end the span."""
        with self.step():
            value = await result
        if self._is_command and value is not None and value.error is not None:
            self._failed(value.error.type, value.error.message)
            event = {"exception.type": value.error.type, "exception.message": value.error.message}
            self.span.add_event("exception", event)
        self.end()
        return value

    def end(self, error: BaseException | None = None) -> None:
        """End the span, once."""
        if self._ended:
            return
        self._ended = True
        if error is not None:
            self._failed(type(error).__qualname__, str(error))
            if isinstance(error, Exception):
                self.span.record_exception(error)
        self.span.end()

    def _failed(self, kind: str, text: str) -> None:
        self.span.set_attribute("error.type", kind)
        self.span.set_status(trace.Status(trace.StatusCode.ERROR, text))

    def __enter__(self) -> None:
        self._entered = self.step()
        self._entered.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.__exit__(kind, error, trace)
        self.end(error)


class _SendSpan(_Scope):
    """The span of a message that is being published, see `telex.observe.headers.Sending`."""

    def __init__(self, span: Span, carry: dict[str, str], headers: Mapping[str, str] | None) -> None:
        super().__init__(span, carry)
        # The trace headers that the publisher gave name the parent of this span.
        kept = {name: value for name, value in (headers or {}).items() if name.lower() not in NAMES}
        self.headers: Mapping[str, str] = kept | carry

    def sent(self, id: str) -> None:
        """Note the id of the message."""
        self.span.set_attribute("messaging.message.id", id)


def _sampler(sample: float, current: Callable[[None], object]) -> tuple[Callable[[], bool], Callable[[], bool]]:
    """Return `OpenTelemetry.skips` and a function that returns true when a message begins a trace. They share one
    count, and are no methods: calling them costs half as much, and they are called for every message.
    """

    def gap() -> float:
        """Return the number of messages to skip: each message is chosen with the probability ``sample``."""
        if sample in (0.0, 1.0):
            return 0.0 if sample else inf
        return log1p(-random()) // log1p(-sample)

    left, carry = gap(), carried.get

    def skips() -> bool:
        nonlocal left
        if left > 0.0 and not current(None) and carry() is None:  # floats only, which is faster
            left -= 1.0
            return True
        return False

    def begins() -> bool:
        nonlocal left
        if left > 0.0:
            left -= 1.0
            return False
        left = gap()
        return True

    return skips, begins


def _never() -> bool:
    return False


def _attributes(operation: str, destination: str, correlation: str | None) -> dict[str, Any]:
    attributes = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": destination,
    }
    if correlation is not None:
        attributes["messaging.message.conversation_id"] = correlation
    return attributes


def _context_variable() -> ContextVar[Context | None]:
    """Return the variable that holds the current context of OpenTelemetry: reading it costs a fifth of
    ``get_current()``, and a hub reads it for every message.
    """
    probe = contexts.set_value("telex", "probe")
    token = contexts.attach(probe)
    try:
        return next(variable for variable, value in copy_context().items() if value is probe)
    finally:
        contexts.detach(token)
