"""The headers that go from a handled message into every message that its handler publishes.

They are ``traceparent`` and ``tracestate`` (W3C Trace Context) and ``correlation-id``. `carried` has them while a
handler runs whose message has them. A hub looks there only after its `Carrier` was activated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol

TRACEPARENT, TRACESTATE, CORRELATION_ID = "traceparent", "tracestate", "correlation-id"
NAMES = frozenset({TRACEPARENT, TRACESTATE, CORRELATION_ID})
MAX_STATE_LENGTH = 512
"""The largest length of a ``tracestate``; a longer one is left out, as W3C Trace Context allows."""
MAX_CORRELATION_LENGTH = 255
_VALID = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")

carried: ContextVar[Mapping[str, str] | None] = ContextVar("carried", default=None)
"""The headers of the running handler's message that its messages get, or None."""


class Sending(Protocol):
    """The span of one message that is being published. A context manager: leaving it ends the span."""

    headers: Mapping[str, str]
    """The headers of the message, with the context of the span."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def sent(self, id: str) -> None:
        """Note the id of the message."""


class Sends(Protocol):
    """The part of an `telex.observe.instrument.Instrument` that makes spans of published messages."""

    def sending(self, topic: str, headers: Mapping[str, str] | None) -> Sending | None:
        """Return the span of a message that is about to be published; None for no span."""

    def skips(self) -> bool:
        """Return true when `sending` would certainly return None for a message without headers, and count the
        message.
        """


class Carrier:
    """The switch of one hub: its messages get the headers of `carried` once it is `active`, which it stays.

    ``changed`` is called when it becomes active. ``instrument`` makes spans of published messages, or is None.
    ``expires`` is true after a topic in memory got a message that expires.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.active: bool = False
        self.expires: bool = False
        self.instrument: Sends | None = None
        self._changed = changed

    def activate(self) -> None:
        """Look for carried headers from now on."""
        if not self.active:
            self.active = True
            self._changed()


def carried_in(headers: Mapping[str, str]) -> dict[str, str] | None:
    """Return the headers that go on, under their names in lower case, or None. A ``traceparent`` that breaks its format
    is left out, and the ``tracestate`` with it.
    """
    found: dict[str, str] | None = None
    for name, value in headers.items():
        name = name.lower()
        if name in NAMES:
            found = {} if found is None else found
            found[name] = value
    if found is None:
        return None
    if TRACEPARENT not in found or not is_traceparent(found[TRACEPARENT]):
        found.pop(TRACEPARENT, None)
        found.pop(TRACESTATE, None)
    if len(found.get(TRACESTATE, "")) > MAX_STATE_LENGTH:
        del found[TRACESTATE]
    correlation = found.get(CORRELATION_ID)
    if correlation is not None and not (0 < len(correlation) <= MAX_CORRELATION_LENGTH and correlation.isprintable()):
        del found[CORRELATION_ID]
    return found or None


def is_traceparent(value: str) -> bool:
    """Return true for a valid ``traceparent``, of version 00 or of a later version."""
    return _VALID.fullmatch(value) is not None and (len(value) == 55 or not value.startswith("00"))


def is_sampled(carry: Mapping[str, str]) -> bool:
    """Return true when the trace of valid carried headers is recorded: the lowest bit of the flags is set."""
    return bool(int(carry[TRACEPARENT][53:55], 16) & 1)


def carries_nothing() -> bool:
    """Return true when no headers are carried now."""
    return carried.get() is None


def with_carried(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return the headers of a message with the carried ones. A header that the publisher gave stays."""
    return merged(headers, carried.get())


def merged(headers: Mapping[str, str] | None, more: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return ``headers`` with those of ``more`` that they lack. A given ``traceparent`` keeps out ``tracestate``."""
    if more is None or not isinstance(headers or {}, Mapping):
        return headers  # the check of headers raises the error
    given = {name.lower() for name in headers or () if isinstance(name, str)}
    if TRACEPARENT in given:
        given.add(TRACESTATE)
    return {**(headers or {}), **{name: value for name, value in more.items() if name not in given}}
