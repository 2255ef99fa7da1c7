"""`create_app`: the chat room as an ASGI app."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

import telex
from telex.chat import page
from telex.chat.lobby import PRESENCE, ROOMS, RULES, Lobby
from telex.chat.servers import SERVERS
from telex.gateway import DEFAULT_LIMITS, Gateway, Limits

GRACE_SECONDS = 5.0
TOPIC_MESSAGES = 1000
TOPIC_BYTES = 16 * 1024 * 1024
ROOM_BYTES = 256 * 1024


def create_app(
    url: str | None = None,
    *,
    grace: float = GRACE_SECONDS,
    origins: Iterable[str] = (),
    hosts: Iterable[str] = (),
    local: bool | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Starlette:
    """Return the chat room as an ASGI app: a page at ``/``, the gateway at ``/ws``.

    ``url`` is the URL of the engine that keeps the rooms (default: the environment's TELEX_URL, else ``memory://``).
    Several apps may have the same file or database, and serve the same rooms.
    ``grace`` is the number of seconds for which a person without a connection stays in a room. ``origins``, ``hosts``,
    ``local`` and ``limits`` are those of the gateway. The lifespan of the app opens and closes the hub.
    """
    hub = telex.Hub(url)
    # The last rule that matches a topic applies; the first rule is for topics of programs.
    hub.retain(">", messages=TOPIC_MESSAGES, bytes=TOPIC_BYTES)
    hub.retain(f"{ROOMS}:*", messages=TOPIC_MESSAGES, age="30d", bytes=ROOM_BYTES)
    hub.retain(f"{PRESENCE}:*", messages=16)
    hub.retain(SERVERS, messages=TOPIC_MESSAGES, age="1m", bytes=TOPIC_BYTES)
    in_memory = (url or os.environ.get("TELEX_URL") or "memory:").startswith("memory:")
    lobby = Lobby(hub, grace, shared=not in_memory)
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
