"""Litestar's handlers get the open hub, and a topic in one line."""

import pytest
from litestar import Litestar, Request, get, post
from litestar.di import NamedDependency
from litestar.response import Stream

import telex
from telex.ext.litestar import TelexPlugin, event_stream
from tests.support.asgi import stream


@post("/orders")
async def order(hub: NamedDependency[telex.Hub]) -> int:
    return (await hub.topic("orders").publish({"id": 1})).seq


@get("/events")
async def events(request: Request, hub: NamedDependency[telex.Hub]) -> Stream:  # type: ignore[type-arg]  # as users write it
    return event_stream(request, hub.topic("orders"), start="earliest")


async def test_the_hub_is_open_while_the_app_runs_and_handlers_get_it() -> None:
    hub = telex.Hub()
    app = Litestar([order], plugins=[TelexPlugin(hub)], logging_config=None)
    async with app.lifespan():
        assert await stream(app, "/orders", method="POST") == (201, "1")
    assert hub.closed


async def test_an_event_stream_continues_where_the_client_was() -> None:
    hub = telex.Hub()
    app = Litestar([events], plugins=[TelexPlugin(lambda: hub)], logging_config=None)
    async with app.lifespan():
        for number in range(3):
            await hub.topic("orders").publish(number)
        status, body = await stream(app, "/events", 3)
        assert (status, body.count("data: ")) == (200, 3)
        last = body.split("id: ")[2].partition("\n")[0]
        status, body = await stream(app, "/events", 1, headers={"last-event-id": last})
        assert (status, body.count("data: ")) == (200, 1)
        status, body = await stream(app, "/events", 1, headers={"last-event-id": "rubbish"})
        assert status == 400
        assert "epoch:seq" in body


def test_something_that_is_no_hub_is_refused_where_it_is_given() -> None:
    with pytest.raises(telex.BadOption, match=r"a telex\.Hub, or a function that makes one"):
        TelexPlugin("sqlite:///shop.db")  # type: ignore[arg-type]  # the mistake
