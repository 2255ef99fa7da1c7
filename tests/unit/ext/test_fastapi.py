"""FastAPI's routes get the open hub, and a topic in one line."""

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

import telex
from telex.ext.fastapi import HubDependency, event_stream, lifespan
from tests.support.asgi import stream


def application(hub: telex.Hub) -> FastAPI:
    app = FastAPI(lifespan=lifespan(hub))

    @app.post("/orders")
    async def order(hub: HubDependency) -> int:
        return (await hub.topic("orders").publish({"id": 1})).seq

    @app.get("/events")
    async def events(request: Request, hub: HubDependency) -> StreamingResponse:
        return event_stream(request, hub.topic("orders"), start="earliest")

    return app


async def test_the_hub_is_open_while_the_app_runs_and_routes_get_it() -> None:
    hub = telex.Hub()
    app = application(hub)
    async with lifespan(hub)(app) as state:
        assert await stream(app, "/orders", method="POST", state=state) == (200, "1")
    assert hub.closed


async def test_a_function_makes_a_hub_for_each_start() -> None:
    made = lifespan(telex.Hub)
    app = FastAPI(lifespan=made)

    @app.get("/")
    async def url(hub: HubDependency) -> str:
        return hub.url

    for _ in range(2):
        async with made(app) as state:
            assert await stream(app, "/", state=state) == (200, '"memory://"')


async def test_an_event_stream_continues_where_the_client_was() -> None:
    hub = telex.Hub()
    app = application(hub)
    async with lifespan(hub)(app) as state:
        for number in range(3):
            await hub.topic("orders").publish(number)
        status, body = await stream(app, "/events", 3, state=state)
        assert (status, body.count("data: ")) == (200, 3)
        last = body.split("id: ")[2].partition("\n")[0]
        status, body = await stream(app, "/events", 1, headers={"last-event-id": last}, state=state)
        assert (status, body.count("data: ")) == (200, 1)
        status, body = await stream(app, "/events", 1, headers={"last-event-id": "rubbish"}, state=state)
        assert status == 400
        assert "epoch:seq" in body
        assert hub.statistics().subscribers == 0


async def test_a_route_of_an_app_without_the_lifespan_is_told_so() -> None:
    app = FastAPI()

    @app.get("/")
    async def root(hub: HubDependency) -> None: ...

    with pytest.raises(telex.Misuse, match=r"FastAPI\(lifespan="):
        await stream(app, "/")


def test_something_that_is_no_hub_is_refused_where_it_is_given() -> None:
    with pytest.raises(telex.BadOption, match=r"a telex\.Hub, or a function that makes one"):
        lifespan("sqlite:///shop.db")  # type: ignore[arg-type]  # the mistake
