"""`create_app`: the chat room as an ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

import telex
from telex.chat import page
from telex.chat.lobby import PRESENCE, ROOMS, RULES, Lobby
from telex.gateway import DEFAULT_LIMITS, Gateway, Limits

GRACE = 5.0
KEPT_MESSAGES = 1000
KEPT_BYTES = 16 * 1024 * 1024
ROOM_BYTES = 256 * 1024


def create_app(
    url: str | None = None,
    *,
    grace: float = GRACE,
    origins: Iterable[str] = (),
    hosts: Iterable[str] = (),
    local: bool | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Starlette:
    """The chat room as an app for any ASGI server: a page at ``/``, the gateway at ``/ws``.

    ``url`` names the engine that keeps the rooms (default: the environment's TELEX_URL, else ``memory://``).
    ``grace`` is how many seconds somebody who lost the connection still counts as there. ``origins``, ``hosts``,
    ``local`` and ``limits`` are the gateway's. The hub is opened and closed with the app's lifespan.
    """
    hub = telex.Hub(url)
    # Of two rules the later holds: what programs publish is bounded, rooms and presence by rules of their own.
    hub.retain(">", messages=KEPT_MESSAGES, bytes=KEPT_BYTES)
    hub.retain(f"{ROOMS}:*", messages=KEPT_MESSAGES, age="30d", bytes=ROOM_BYTES)
    hub.retain(f"{PRESENCE}:*", messages=16)
    lobby = Lobby(hub, grace)
    hosts = tuple(hosts)
    gateway = Gateway(
        hub, rules=RULES, authorizer=lobby.welcome, limits=limits, origins=origins, hosts=hosts, local=local
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub, lobby.open():
            yield
            await gateway.aclose()

    routes = [*page.routes(page.load(), hosts), WebSocketRoute("/ws", gateway)]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.hub, app.state.gateway = hub, gateway
    return app
