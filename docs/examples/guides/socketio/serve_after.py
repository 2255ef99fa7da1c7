import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from page import Page
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

import telex
from telex.gateway import AccessRules, Gateway

hub = telex.Hub()
gateway = Gateway(hub, rules=AccessRules(publish=("said",), subscribe=("said",)))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with hub:
        yield
        await gateway.aclose()


app = Starlette(routes=[WebSocketRoute("/ws", gateway)], lifespan=lifespan)  # uvicorn chat:app


async def main() -> None:
    async with lifespan(app), Page(gateway) as ann, Page(gateway) as bob:
        await bob.ask(op="subscribe", topic="said")
        await ann.ask(op="publish", topic="said", content="hello")
        print((await bob.receive())["messages"][0]["content"])


if __name__ == "__main__":
    asyncio.run(main())
# -> hello
