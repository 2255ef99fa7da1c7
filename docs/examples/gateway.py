from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

import telex
from telex.gateway import AccessRules, Gateway, uvicorn_options

hub = telex.Hub()
gateway = Gateway(hub, rules=AccessRules(publish=("chatroom:*",), subscribe=("chatroom:*", "news:>")))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with hub:
        yield
        await gateway.aclose()


app = Starlette(routes=[WebSocketRoute("/ws", gateway)], lifespan=lifespan)


def serve() -> None:
    uvicorn.run(app, **uvicorn_options(gateway.limits))
