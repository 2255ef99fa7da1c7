"""`Gateway`: an ASGI app with one WebSocket endpoint in front of a hub."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from telex.gateway.auth import NOTHING, Peer, Rules, Visitor, check_handshake
from telex.gateway.connection import Connection
from telex.gateway.errors import CloseCode
from telex.gateway.feed import Feed
from telex.gateway.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from telex.hub import Hub

log: logging.Logger = logging.getLogger("telex.gateway")


class GatewayStatistics(msgspec.Struct, frozen=True):
    """A gateway at one moment, and what it has done so far."""

    connections: int
    accepted: int
    refused: int
    """Handshakes that were not let in."""
    encoded: int
    """Batches of messages that were encoded."""
    shared: int
    """Batches that were sent as they had been encoded for another client."""
    closed: Mapping[CloseCode, int]
    """Connections that the gateway ended, by code."""


class Gateway:
    """An ASGI app: programs and pages publish to and follow the topics of ``hub`` over one WebSocket each.

    ``rules`` say which topics; without them, none. ``visitor`` makes the object that decides for one connection,
    called as ``visitor(rules, peer)``; the default asks the rules. ``origins`` are pages of other hosts that may
    connect, such as ``"https://chat.example.org"``; ``hosts`` the names under which this server may be addressed,
    beside IP addresses and ``localhost``. The protocol is described in `telex.gateway.protocol`.

    Mount it with ``WebSocketRoute("/ws", Gateway(hub, rules=...))``. The hub is its owner's: open it before the first
    connection, and call `aclose` before closing it.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        rules: Rules = NOTHING,
        visitor: Callable[[Rules, Peer], Visitor] = Visitor,
        limits: Limits = DEFAULT_LIMITS,
        origins: Iterable[str] = (),
        hosts: Iterable[str] = (),
    ) -> None:
        self.hub = hub
        self.rules = rules
        self.limits = limits
        self.feed: Feed = Feed(limits.batch_bytes, limits.cache_bytes)
        self._visitor = visitor
        self._origins = frozenset(origins)
        self._hosts = frozenset(hosts)
        self._connections: set[Connection] = set()
        self._none_left = asyncio.Event()
        self._closing = False
        self._accepted = 0
        self._refused = 0
        self._closed: Counter[CloseCode] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, for as long as it lasts."""
        if scope["type"] != "websocket":
            response = PlainTextResponse("this address speaks WebSocket\n", 426, {"Upgrade": "websocket"})
            await response(scope, receive, send)
            return
        websocket = WebSocket(scope, receive, send)
        peer = _peer(websocket)
        problem = check_handshake(peer, self._origins, self._hosts)
        if problem is not None:
            self._refused += 1
            log.warning("a connection from %s was refused: %s", peer.address, problem)
            await websocket.close(reason=problem)
            return
        await websocket.accept()
        if self._closing or len(self._connections) >= self.limits.connections:
            code = CloseCode.RESTART if self._closing else CloseCode.FULL
            self._refused += 1
            await websocket.close(code, "come back later")
            return
        await self._serve(websocket, peer)

    async def aclose(self) -> None:
        """Let nobody in any more, close every connection with the code for "restart", and wait until all have ended."""
        self._closing = True
        for connection in self._connections:
            connection.end(CloseCode.RESTART, "the server stops")
        while self._connections:
            self._none_left.clear()
            await self._none_left.wait()

    def statistics(self) -> GatewayStatistics:
        """The gateway at this moment."""
        return GatewayStatistics(
            connections=len(self._connections),
            accepted=self._accepted,
            refused=self._refused,
            encoded=self.feed.encoded,
            shared=self.feed.shared,
            closed=dict(self._closed),
        )

    def note_closed(self, code: CloseCode) -> None:
        """A connection was ended with ``code``."""
        self._closed[code] += 1

    async def _serve(self, websocket: WebSocket, peer: Peer) -> None:
        connection = Connection(self, websocket, self._visitor(self.rules, peer))
        self._connections.add(connection)
        self._accepted += 1
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._none_left.set()


def _peer(websocket: WebSocket) -> Peer:
    headers: dict[str, Any] = {}
    for name, value in websocket.headers.items():
        # Of a header that came twice the first counts, so that a second Origin cannot stand in for the browser's.
        headers.setdefault(name, value)
    address = websocket.client.host if websocket.client else ""
    return Peer(address, headers, websocket.url.scheme)
