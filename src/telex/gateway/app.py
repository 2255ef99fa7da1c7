"""`Gateway`: an ASGI app with one WebSocket endpoint in front of a hub."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from telex.checks import function
from telex.gateway.auth import NOTHING, AccessRules, Authorizer, Peer, check_rules, handshake_check, peer_of
from telex.gateway.connection import Connection
from telex.gateway.errors import UNAVAILABLE, CloseCode, Refused
from telex.gateway.frame_cache import FrameCache
from telex.gateway.hooks import HookFailed, ask
from telex.gateway.limits import DEFAULT_LIMITS, Limits, check_limits
from telex.gateway.mounting import Endpoint, answer_at_mounts
from telex.gateway.sockets import SocketSweeper
from telex.gateway.topic_quota import TopicQuota
from telex.hub import runtime_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from telex.hub import Hub

log: logging.Logger = logging.getLogger("telex.gateway")


class GatewayStatistics(msgspec.Struct, frozen=True):
    """The statistics of a gateway."""

    connections: int
    accepted: int
    refused: int
    """Handshakes that were refused."""
    encoded: int
    """Batches of messages that were encoded."""
    shared: int
    """Batches that had been encoded for another client."""
    closed: Mapping[CloseCode, int]
    """Connections that the gateway closed, by code."""


class Gateway(Endpoint):
    """An ASGI app: programs and pages publish to and follow the topics of ``hub`` over one WebSocket each.

    ``rules`` are the topics that clients may use; without rules they may use none. ``authorizer(rules, peer)`` is
    called before the handshake is answered, and returns the `Authorizer` of that connection. It may be ``async``, and
    may raise `Refused`. The default authorizer applies the rules. ``origins`` are pages of other hosts that may
    connect, such as ``"https://chat.example.org"``. ``hosts`` are the host names of this server; IP addresses and
    ``localhost`` are always allowed. With ``local``, programs of this machine may connect without an Origin header. By
    default they may only without ``origins`` and ``hosts``, because a proxy on this machine looks like such a program.
    `telex.gateway.protocol` describes the frames.

    Mount it with ``WebSocketRoute("/ws", Gateway(hub, rules=...))`` or ``app.mount("/ws", Gateway(...))``. The gateway
    neither opens nor closes the hub: open the hub before the first connection, and call `aclose` before you close it.

    Raises `BadOption`.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        rules: AccessRules = NOTHING,
        authorizer: Callable[[AccessRules, Peer], Authorizer | Awaitable[Authorizer]] = Authorizer,
        limits: Limits = DEFAULT_LIMITS,
        origins: Iterable[str] = (),
        hosts: Iterable[str] = (),
        local: bool | None = None,
    ) -> None:
        known = runtime_of(hub).topics.formats.known
        answer_at_mounts()
        self.hub = hub
        """The hub of the gateway; the application opens and closes it."""
        self.rules: AccessRules = check_rules(rules)
        """The rules of the gateway."""
        self.limits: Limits = check_limits(limits)
        """The limits of the gateway."""
        self._frame_cache = FrameCache(limits.batch_bytes, limits.cache_bytes, known)
        self._quota = TopicQuota(hub, limits.topics)
        self._authorizer = function(authorizer, "authorizer", "it must be a function of the rules and the peer")
        self._check = handshake_check(origins, hosts, local)
        self._connections: set[Connection] = set()
        self._places = 0  # the clients that are served, or whose handshake is not answered yet
        self._sweeper = SocketSweeper(limits.close_timeout)
        self._none_left = asyncio.Event()
        self._closing = False
        self._accepted = 0
        self._refused = 0
        self._closed: Counter[CloseCode] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends."""
        if scope["type"] != "websocket":
            response = PlainTextResponse("connect to this address by WebSocket\n", 426, {"Upgrade": "websocket"})
            await response(scope, receive, send)
            return
        websocket = WebSocket(scope, receive, send)
        peer = peer_of(scope)
        problem = self._check(peer)
        if problem is not None:
            await self._refuse(websocket, peer, problem)
            return
        if self._closing or self._places >= self.limits.connections:
            code = CloseCode.RESTART if self._closing else CloseCode.FULL
            self._refused += 1
            await websocket.accept()
            await websocket.close(code, "come back later")
            return
        self._places += 1
        try:
            with self._sweeper.served(scope):
                await self._admit(websocket, peer)
        finally:
            self._places -= 1

    async def aclose(self) -> None:
        """Refuse new connections, close all connections with `CloseCode.RESTART`, and wait until they have ended."""
        self._closing = True
        for connection in self._connections:
            connection.end(CloseCode.RESTART, "the server stops")
        while self._connections:
            self._none_left.clear()
            await self._none_left.wait()

    def statistics(self) -> GatewayStatistics:
        """Return the statistics of the gateway."""
        return GatewayStatistics(
            connections=len(self._connections),
            accepted=self._accepted,
            refused=self._refused,
            encoded=self._frame_cache.encoded,
            shared=self._frame_cache.shared,
            closed=dict(self._closed),
        )

    async def _admit(self, websocket: WebSocket, peer: Peer) -> None:
        authorizer = await self._authorize(websocket, peer)
        if authorizer is None:
            return
        try:
            async with asyncio.timeout(self.limits.operation_timeout):
                await websocket.accept()
        except (WebSocketDisconnect, RuntimeError, OSError) as error:  # the client has gone, or TimeoutError
            log.warning("a handshake of %s was not completed: %r", peer.address, error)
            self._refused += 1
        else:
            await self._serve(websocket, authorizer)
        finally:
            await self._call_gone(authorizer)

    async def _authorize(self, websocket: WebSocket, peer: Peer) -> Authorizer | None:
        """Return the authorizer of a client, or None when the client was refused."""
        try:
            async with asyncio.timeout(self.limits.operation_timeout):
                authorizer: Authorizer = await ask(self._authorizer, self.rules, peer)
        except Refused as refused:
            await self._refuse(websocket, peer, refused.problem)
            return None
        except (TimeoutError, HookFailed, *UNAVAILABLE) as error:
            log.error("a handshake of %s failed", peer.address, exc_info=error.__cause__ or error)
            self._refused += 1
            with suppress(WebSocketDisconnect, RuntimeError, OSError):
                await websocket.accept()
                await websocket.close(CloseCode.FAULT, "the server failed")
            return None
        authorizer.hub = self.hub
        return authorizer

    async def _serve(self, websocket: WebSocket, authorizer: Authorizer) -> None:
        connection = Connection(websocket, authorizer, self.limits, self._frame_cache, self._quota)
        if self._closing:
            connection.end(CloseCode.RESTART, "the server stops")
        self._connections.add(connection)
        self._accepted += 1
        try:
            code = await connection.run()
            if code is not None:
                self._closed[code] += 1
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._none_left.set()

    async def _refuse(self, websocket: WebSocket, peer: Peer, problem: str) -> None:
        self._refused += 1
        log.warning("a connection from %s was refused: %s", peer.address, problem)
        if "websocket.http.response" in websocket.scope.get("extensions", {}):
            await websocket.send_denial_response(PlainTextResponse(f"{problem}\n", 403))
        else:
            await websocket.close(reason=problem[:100])

    async def _call_gone(self, authorizer: Authorizer) -> None:
        try:
            async with asyncio.timeout(self.limits.operation_timeout):
                await ask(authorizer.gone)
        except (Refused, TimeoutError, HookFailed, *UNAVAILABLE) as error:
            log.error("an authorizer's gone() failed", exc_info=error.__cause__ or error)
