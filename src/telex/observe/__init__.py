"""Tracing, metrics, health and structured logs.

`OpenTelemetry` makes spans (extra ``otel``), `Prometheus` counts (extra ``prometheus``): ``telex.Hub(observe=[...])``.
`JsonFormatter` writes log records as JSON. `carry` gives the trace context of a request to the messages of a hub.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from telex.observe.instrument import Instrument

if TYPE_CHECKING:
    from telex.observe.opentelemetry import OpenTelemetry

__all__ = ["Instrument", "OpenTelemetry"]


def __getattr__(name: str) -> Any:
    # Their packages are extras.
    modules = {"OpenTelemetry": "opentelemetry"}
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"telex.observe.{modules[name]}"), name)
