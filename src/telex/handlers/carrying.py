"""`carrying`: a handler whose messages get the trace context and correlation id of the handled message, and that is not
called for a message that has expired.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from telex.handlers.call import Invoke, is_pending
from telex.message import EXPIRES, has_expired, headers_of
from telex.observe.headers import Carrier, carried, carried_in

if TYPE_CHECKING:
    from telex.message import Message


class Expired(Exception):
    """A handler is not called, since its message has expired."""


def carrying(invoke: Invoke, carrier: Carrier, clock: Callable[[], float]) -> Invoke:
    """Return a bound handler that sets `carried` for a message with such headers. It raises `Expired` instead of
    calling the handler for a message that has expired.
    """

    def call(message: Message[Any]) -> Any:
        headers = headers_of(message)
        if headers is None:
            return invoke(message)
        if EXPIRES in headers and has_expired(message, clock()):
            raise Expired
        carry = carried_in(headers)
        if carry is None:
            return invoke(message)
        carrier.activate()
        token = carried.set(carry)
        try:
            result = invoke(message)
        finally:
            carried.reset(token)
        return _finished(result, carry) if is_pending(result) else result

    return call


@contextmanager
def carried_of(message: Message[Any]) -> Iterator[None]:
    """Set `carried` to the headers of a message, for log records about it."""
    token = carried.set(carried_in(headers_of(message) or {}))
    try:
        yield
    finally:
        carried.reset(token)


async def _finished(result: Awaitable[Any], carry: Mapping[str, str]) -> Any:
    token = carried.set(carry)
    try:
        return await result
    finally:
        carried.reset(token)
