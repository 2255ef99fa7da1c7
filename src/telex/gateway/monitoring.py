"""`Monitoring`: an ASGI app for ``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TYPE_CHECKING

from telex.checks import texts
from telex.errors import BadOption, Misuse
from telex.gateway.auth import Peer, peer_of
from telex.observe.monitor import Monitor, MonitorAnswer

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from telex.hub import Hub
    from telex.observe.prometheus import Prometheus


class Monitoring:
    """An ASGI app: the health of ``hub`` and its ``metrics``. Mount it last: ``Mount("/", Monitoring(hub, metrics))``.

    ``/healthz`` says that the process lives, ``/readyz`` that the hub reaches its engine and its handlers run: both are
    open to all, and tell no reasons. ``/metrics``, and the reasons of ``/readyz``, are for programs of this machine,
    and for clients whose address is in a network of ``allow``, such as ``["10.0.0.0/8"]``. Behind a proxy the client is
    the proxy: do not allow its address where the proxy is open to others.

    Raises `BadOption` for a network that is none.
    """

    def __init__(self, hub: Hub, metrics: Prometheus | None = None, *, allow: Iterable[str] = ()) -> None:
        self._monitor = Monitor(hub, metrics)
        networks = texts([allow] if isinstance(allow, str) else allow, "allow", "10.0.0.0/8")
        try:
            self._networks = [ipaddress.ip_network(network) for network in networks]
        except ValueError as error:
            raise BadOption("allow", allow, f"{error}: give networks, such as ['10.0.0.0/8']") from None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise Misuse(f"serve {scope['type']!r} here", "this app serves HTTP; give it no lifespan and no WebSocket")
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] in ("GET", "HEAD"):
            answer = await self._monitor.answer(path, trusted=self._trusts(peer_of(scope)))
        else:
            answer = MonitorAnswer(405, "text/plain; charset=utf-8", b"use GET\n")
        headers = [
            (b"content-type", answer.type.encode()),
            (b"content-length", b"%d" % len(answer.body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    def _trusts(self, peer: Peer) -> bool:
        if peer.on_this_machine:
            return True
        try:
            address = ipaddress.ip_address(peer.address)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
