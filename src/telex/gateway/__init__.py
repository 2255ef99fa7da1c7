"""The gateway: topics of a hub for browsers and for programs elsewhere, over ASGI.

`Gateway` is the app, `Commands` the one for HTTP, `AccessRules` say which topics and commands are open through them,
`Limits` bound what a client may ask for, `Authorizer` is where an application decides for itself, and `uvicorn_options`
make Uvicorn hold the bounds that an app cannot. `protocol` describes
and reads the frames; it and what else a client needs can be imported without a web framework.

Layout: ``protocol`` (text in, decisions out), ``limits`` and ``auth`` (pure), ``feed`` (batches encoded once for all),
``outbox`` (what waits for one client), ``connection`` (the shell around them), ``app`` (ASGI), ``calls`` (commands
for a client), ``commands`` (HTTP); ``sockets`` and ``server`` bound what ASGI does not show.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from telex.gateway.auth import AccessRules, Authorizer, Peer, check_host, is_loopback
from telex.gateway.errors import CloseCode, Refused
from telex.gateway.limits import DEFAULT_LIMITS, Limits

Rules = AccessRules
"""The earlier name of `AccessRules`, for programs that use it; it goes with the first release."""
Visitor = Authorizer
"""The earlier name of `Authorizer`, likewise."""

if TYPE_CHECKING:
    from telex.gateway.app import Gateway, GatewayStatistics
    from telex.gateway.commands import Commands
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
    "Peer",
    "Refused",
    "check_host",
    "is_loopback",
    "uvicorn_options",
]


def __getattr__(name: str) -> Any:
    # Importing the app imports Starlette, and the server Uvicorn, which the command line does without.
    modules = {"Gateway": "app", "GatewayStatistics": "app", "Commands": "commands", "uvicorn_options": "server"}
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"telex.gateway.{modules[name]}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the gateway needs {error.name}: pip install 'telex[gateway]'", name=error.name
        ) from error
    return getattr(module, name)
