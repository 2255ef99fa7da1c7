"""Tracing, metrics, health and structured logs.

`OpenTelemetry` makes spans (extra ``otel``), `Prometheus` counts (extra ``prometheus``): ``telex.Hub(observe=[...])``.
`Monitor` answers ``/metrics``, ``/healthz`` and ``/readyz``. `JsonFormatter` writes log records as JSON. `carry`
gives the trace context of a request to the messages of a hub.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from telex.observe.instrument import Instrument
from telex.observe.logs import JsonFormatter

if TYPE_CHECKING:
    from telex.observe.inbound import carry
    from telex.observe.monitor import Monitor
    from telex.observe.opentelemetry import OpenTelemetry
    from telex.observe.prometheus import Prometheus
    from telex.observe.server import MonitorServer

__all__ = ["Instrument", "JsonFormatter", "Monitor", "MonitorServer", "OpenTelemetry", "Prometheus", "carry"]


def __getattr__(name: str) -> Any:
    # The packages of two of them are extras, and others import `telex.hub`, which imports this package.
    modules = {"OpenTelemetry": "opentelemetry", "Prometheus": "prometheus"}
    modules |= {"Monitor": "monitor", "MonitorServer": "server", "carry": "inbound"}
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"telex.observe.{modules[name]}"), name)
