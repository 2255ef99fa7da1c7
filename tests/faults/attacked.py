"""A gateway that is mounted in an app, for `attackers`: prints its address as JSON, and serves until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

import telex
from telex.chat.server import address_of, bind
from telex.gateway import AccessRules, Commands, Gateway, Limits, uvicorn_options

LIMITS = Limits(topics=100)


def main() -> None:
    hub = telex.Hub()
    hub.retain(">", messages=100, bytes=256 * 1024)
    rules = AccessRules(publish=("chatroom:*",), subscribe=("chatroom:>",), call=("double",))
    gateway = Gateway(hub, rules=rules, limits=LIMITS)

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with hub:
            gc.collect()
            gc.freeze()
            yield
            await gateway.aclose()

    app = Starlette(routes=[Mount("/commands", Commands(hub, rules=rules, limits=LIMITS))], lifespan=lifespan)
    app.mount("/ws", gateway)
    listener = bind("127.0.0.1", 0)
    print(json.dumps({"gateway": address_of(listener).gateway}), flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, **uvicorn_options(LIMITS)))
    asyncio.run(server.serve([listener]))


if __name__ == "__main__":
    main()
