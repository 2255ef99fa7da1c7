from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import cookie_parser
from starlette.routing import Mount

import telex
from telex.dashboard import Dashboard
from telex.gateway import Peer

ADMINS = {"a-long-secret"}  # session cookies of administrators


def is_admin(peer: Peer) -> bool:
    return cookie_parser(peer.headers.get("cookie", "")).get("session") in ADMINS


def create_app(url: str | None = None) -> Starlette:
    hub = telex.Hub(url)
    dashboard = Dashboard(hub, auth=is_admin, hosts=["shop.example.org"])

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub:
            yield
            await dashboard.aclose()

    return Starlette(routes=[Mount("/dashboard", dashboard)], lifespan=lifespan)
