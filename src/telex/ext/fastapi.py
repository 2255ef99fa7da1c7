"""FastAPI: a lifespan that opens the hub, a dependency that gives it to routes, and a topic as server-sent events.

app = FastAPI(lifespan=lifespan(hub))

@app.get("/orders/events")
async def events(request: Request, hub: HubDependency) -> StreamingResponse:
    return event_stream(request, hub.topic("orders"))
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, TypeAlias, TypedDict

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.requests import HTTPConnection

from telex.durations import Duration
from telex.errors import BadOption, Misuse
from telex.ext import sse
from telex.hub import Hub
from telex.log.start import Start
from telex.message import Position
from telex.topics.topic import Topic


class LifespanState(TypedDict):
    """The state of the lifespan: ``request.state.telex`` is the open hub."""

    telex: Hub


def lifespan(hub: Hub | Callable[[], Hub]) -> Callable[[FastAPI], AbstractAsyncContextManager[LifespanState]]:
    """Return a lifespan for `fastapi.FastAPI` in which the hub is open; also for Starlette.

    ``hub`` is a hub, which can be opened once, or a function that makes one for each start of the app, as tests need
    it. Resources of the program belong into ``Hub(lifespan=)``. The app closes the hub when it stops. Raises
    `BadOption`.
    """
    if not isinstance(hub, Hub) and not callable(hub):
        raise BadOption("hub", hub, "it must be a telex.Hub, or a function that makes one")

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[LifespanState]:
        async with hub if isinstance(hub, Hub) else hub() as entered:
            yield {"telex": entered}

    return opened


def open_hub(connection: HTTPConnection) -> Hub:
    """Return the open hub of a request or WebSocket; the function of `HubDependency`. Raises `Misuse` when the app has
    no `lifespan` of this module.
    """
    hub: Hub | None = getattr(connection.state, "telex", None)
    if hub is None:
        raise Misuse(
            "give the route its hub",
            "the app was made without the lifespan of telex, or was not started by it: "
            "write FastAPI(lifespan=telex.ext.fastapi.lifespan(hub)), and enter the TestClient with `with`",
        )
    return hub


HubDependency: TypeAlias = Annotated[Hub, Depends(open_hub)]
"""The annotation of a route's argument that is passed the open hub."""


def event_stream(
    request: Request, topic: Topic[Any], *, start: Start = "new", heartbeat: Duration = 15.0
) -> StreamingResponse:
    """Return a response with the messages of a topic or pattern as server-sent events, until the client leaves.

    A browser that reconnects continues after the last message that it got. ``start`` is the first message for others;
    see `telex.ext.sse.events` for the events. Raises `BadOption`; `fastapi.HTTPException` with status 400 for a header
    ``Last-Event-ID`` that is not of such a stream.
    """
    hub: Hub | None = getattr(request.state, "telex", None)
    last_event_id = request.headers.get("last-event-id")
    try:
        since = Position.parse(last_event_id) if last_event_id else start
    except BadOption as error:
        raise HTTPException(400, f"Last-Event-ID: {error}") from None
    body = sse.events(topic, start=since, heartbeat=heartbeat, hub=hub)
    return StreamingResponse(body, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)
