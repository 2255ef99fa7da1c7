from litestar import Litestar, Request, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.response import Stream

import telex
from telex.ext.litestar import TelexPlugin, event_stream


@post("/orders")
async def order(data: JSONBody[dict[str, int]], hub: NamedDependency[telex.Hub]) -> int:
    message = await hub.topic("orders").publish(data)
    return message.seq


@get("/orders/events")
async def events(request: Request, hub: NamedDependency[telex.Hub]) -> Stream:  # type: ignore[type-arg]
    return event_stream(request, hub.topic("orders"))


def create_app(url: str | None = None) -> Litestar:
    return Litestar([order, events], plugins=[TelexPlugin(telex.Hub(url))])
