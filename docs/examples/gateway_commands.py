from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.routing import Mount

import telex
from telex.gateway import AccessRules, Commands

hub = telex.Hub()


class Order(msgspec.Struct):
    number: int
    cents: int


@hub.command("charge", once=True, keep="24h")
async def charge(order: Order) -> dict[str, int]:
    if order.cents > 100_000:
        raise telex.CommandError("the card was declined", code="declined", data={"limit": 100_000})
    return {"charged": order.cents}


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with hub:
        yield


app = Starlette(routes=[Mount("/commands", Commands(hub, rules=AccessRules(call=("charge",))))], lifespan=lifespan)
