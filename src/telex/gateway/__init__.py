"""The gateway: topics and commands of a hub for browsers and for other programs, over ASGI.

`Gateway` is the ASGI app for WebSocket, `Commands` the one for HTTP. `AccessRules` say which topics and commands are
open, `Authorizer` lets an application decide for each connection, and `Limits` bound the use of memory, time and
sockets. `uvicorn_options` set the bounds that an ASGI app cannot set itself. `protocol` describes the frames; a client
can import it without a web framework.

Layout: ``protocol``, ``limits`` and ``auth`` are pure. ``frame_cache`` encodes a batch once for all clients, ``outbox``
queues the frames of one client, ``connection`` serves it, ``app`` is ASGI. ``calls`` and ``commands`` are commands by
WebSocket and by HTTP. ``sockets`` and ``server`` are below ASGI.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from telex.gateway.auth import AccessRules, Authorizer, Peer, check_host, is_loopback
from telex.gateway.errors import CloseCode, Refused
from telex.gateway.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from telex.gateway.app import Gateway, GatewayStatistics
    from telex.gateway.commands import Commands
    from telex.gateway.monitoring import Monitoring
    from telex.gateway.server import uvicorn_options

__all__ = [
    "DEFAULT_LIMITS",
    "AccessRules",
    "Authorizer",
    "CloseCode",
    "Commands",
    "Gateway",
    "GatewayStatistics",
    "Limits",
    "Monitoring",
    "Peer",
    "Refused",
    "check_host",
    "is_loopback",
    "uvicorn_options",
]


def __getattr__(name: str) -> Any:
    # Importing `app` imports Starlette, and importing `server` imports Uvicorn; the command line does without both.
    modules = {"Gateway": "app", "GatewayStatistics": "app", "Commands": "commands", "uvicorn_options": "server"}
    modules["Monitoring"] = "monitoring"
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"telex.gateway.{modules[name]}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the gateway needs {error.name}: pip install 'telex[gateway]'", name=error.name
        ) from error
    return getattr(module, name)
