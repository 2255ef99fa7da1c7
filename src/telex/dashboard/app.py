"""`Dashboard`: the ASGI app of the dashboard."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketClose

from telex.chat import page
from telex.checks import function, texts
from telex.commands.outcome import Outcome
from telex.dashboard.actions import Actions
from telex.dashboard.snapshot import Snapshots
from telex.gateway import AccessRules, Authorizer, Gateway, Peer
from telex.gateway.auth import peer_of
from telex.hub import Hub, runtime_of
from telex.process.supervision import keep_doing
from telex.process.tasks import start_task

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

REFRESH_SECONDS = 2.0
"""The time between two snapshots while somebody watches."""
STATE = "state"
"""The topic of the snapshots, in the dashboard's own hub."""
FORBIDDEN = "this dashboard is open to its own machine only; give Dashboard(auth=...) to let others in\n"
NO_LOGIN = "log in first, or open the whole address, with the password, that telex dashboard has printed\n"
Auth = Callable[[Peer], bool | Awaitable[bool]]
"""A function that returns true for a client that may see and change everything that the dashboard shows."""


class Dashboard:
    """An ASGI app: the dashboard of ``hub``. Mount it with ``app.mount("/dashboard", Dashboard(hub))``.

    Its clients see contents of dead letters, commands and schedules, and retry, drop, cancel, pause, resume and delete.
    ``auth(peer)`` returns true for a client that may; it may be ``async``. Without ``auth`` only this machine may,
    without a proxy. ``hosts`` are the host names of this server, beside IP addresses and ``localhost``. The app does
    not open the hub: open the hub before the first request, and call `aclose` before you close it. Raises `BadOption`.
    """

    def __init__(self, hub: Hub, *, auth: Auth | None = None, hosts: Iterable[str] = ()) -> None:
        hosts = texts(hosts, "hosts", "admin.example.org")
        if auth is not None:
            function(auth, "auth", "it must be a function of the peer that returns true for a client that may")
        self.hub: Hub = hub
        """The hub whose engine is shown; the application opens and closes it."""
        self._auth = auth
        self._view = Hub("memory://")
        self._view.retain(STATE, messages=1)
        self.snapshots: Snapshots = Snapshots(hub, runtime_of(hub).address)
        """The reader of the engine's state."""
        self._actions = Actions(hub, self.snapshots)
        self._watched = asyncio.Event()
        self._watchers = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._opening = asyncio.Lock()
        gateway = Gateway(
            self._view, rules=AccessRules(subscribe=(STATE,)), authorizer=self._watcher, hosts=hosts, local=True
        )
        self._gateway = gateway
        assets = {**page.load("telex.dashboard"), "wire.js": page.load("telex.chat")["wire.js"]}
        self._app = Starlette(routes=[*page.routes(assets, hosts), WebSocketRoute("/ws", gateway)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or one connection of the page until it ends."""
        if scope["type"] not in ("http", "websocket"):
            return
        if not await self._may(peer_of(scope)):
            text = FORBIDDEN if self._auth is None else NO_LOGIN
            # A closed handshake is answered with 403, too; an answer of our own needs an extension of ASGI.
            refusal = PlainTextResponse(text, 403) if scope["type"] == "http" else WebSocketClose()
            await refusal(scope, receive, send)
            return
        await self._open()
        await self._app(scope, receive, send)

    async def aclose(self) -> None:
        """Close the connections, and stop reading the engine. It may be called twice."""
        await self._gateway.aclose()
        async with self._opening:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._view.aclose()

    async def _may(self, peer: Peer) -> bool:
        if self._auth is None:
            return peer.on_this_machine
        allowed = self._auth(peer)
        return bool(await allowed if inspect.isawaitable(allowed) else allowed)

    async def _open(self) -> None:
        async with self._opening:
            if not self._tasks and not self._view.closed:
                await self._view.__aenter__()
                for work, name in ((self._refresh, "refreshing"), (self._count, "counting outcomes")):
                    lasting = keep_doing(f"{name} of the dashboard", work)
                    self._tasks.append(start_task(lasting, name=f"telex dashboard {name}"))

    def _watcher(self, rules: AccessRules, peer: Peer) -> Authorizer:
        self._watchers += 1
        self._watched.set()
        return _Watcher(rules, peer, self.act, self._leave)

    def _leave(self) -> None:
        self._watchers -= 1
        if not self._watchers:
            self._watched.clear()

    # -- reading

    async def _refresh(self) -> None:
        while True:
            await self._watched.wait()
            await self._view.topic(STATE).publish(await self.snapshots.take())
            await asyncio.sleep(REFRESH_SECONDS)

    async def _count(self) -> None:
        async with self.hub.follow(">") as outcomes:
            async for item in outcomes:
                if isinstance(item, Outcome):
                    (self.snapshots.ok if item.ok else self.snapshots.failed)[item.command] += 1

    # -- changing

    async def act(self, name: str, content: Any) -> object:
        """Carry out an action of the page. Raises `Refused`."""
        await self._actions.act(name, content)
        await self._view.topic(STATE).publish(await self.snapshots.take())
        return None


class _Watcher(Authorizer):
    """One page."""

    def __init__(
        self,
        rules: AccessRules,
        peer: Peer,
        act: Callable[[str, Any], Awaitable[object]],
        leave: Callable[[], None],
    ) -> None:
        super().__init__(rules, peer)
        self._act = act
        self._leave = leave

    async def call(self, name: str, content: object, *, key: str | None = None) -> object:
        """Carry out an action."""
        return await self._act(name, content)

    def gone(self) -> None:
        """Stop reading when nobody watches."""
        self._leave()
