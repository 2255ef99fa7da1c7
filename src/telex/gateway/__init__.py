"""The gateway: topics of a hub for browsers and for programs elsewhere, over ASGI.

`Gateway` is the app, `Commands` the one for HTTP, `Rules` say which topics and commands are open through them,
`Limits` bound what a client may ask for, `Visitor` is where an application decides for itself. `protocol` describes
and reads the frames; it and what else a client needs can be imported without a web framework.

Layout: ``protocol`` (text in, decisions out), ``limits`` and ``auth`` (pure), ``feed`` (batches encoded once for all),
``outbox`` (what waits for one client), ``connection`` (the shell around them), ``app`` (ASGI); ``commands`` (HTTP).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telex.gateway.auth import Peer, Rules, Visitor, check_host, is_loopback
from telex.gateway.errors import CloseCode, Refused
from telex.gateway.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from telex.gateway.app import Gateway, GatewayStatistics
    from telex.gateway.commands import Commands

__all__ = [
    "DEFAULT_LIMITS",
    "CloseCode",
    "Commands",
    "Gateway",
    "GatewayStatistics",
    "Limits",
    "Peer",
    "Refused",
    "Rules",
    "Visitor",
    "check_host",
    "is_loopback",
]


def __getattr__(name: str) -> Any:
    # Importing the app imports Starlette, which the command line does without.
    if name in {"Gateway", "GatewayStatistics"}:
        try:
            from telex.gateway import app
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"the gateway needs {error.name}: pip install 'telex[gateway]'", name=error.name
            ) from error
        return getattr(app, name)
    if name == "Commands":
        from telex.gateway.commands import Commands

        return Commands
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
