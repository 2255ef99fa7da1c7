"""`carry`: gives the trace context of a request to the messages of a hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from telex.hub import Hub, runtime_of
from telex.observe.headers import carried, carried_in


@contextmanager
def carry(hub: Hub, headers: Mapping[str, str] | None) -> Iterator[None]:
    """Give ``traceparent``, ``tracestate`` and ``correlation-id`` of ``headers``, those of an HTTP request for example,
    to everything that is published and sent by ``hub`` inside. Names may be in any case; invalid values are left out.
    """
    carrier = runtime_of(hub).topics.carrier
    found = carried_in(headers) if headers else None
    if found is None:
        yield
        return
    carrier.activate()
    token = carried.set(found)
    try:
        yield
    finally:
        carried.reset(token)
