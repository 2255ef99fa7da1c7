"""Litestar: a plugin that opens the hub and passes it to handlers, and a topic as server-sent events.

app = Litestar([events], plugins=[TelexPlugin(hub)])

@get("/orders/events")
async def events(request: Request, hub: NamedDependency[Hub]) -> Stream:
    return event_stream(request, hub.topic("orders"))
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import ClientException
from litestar.plugins import InitPlugin
from litestar.response import Stream

from telex.durations import Duration
from telex.errors import BadOption
from telex.ext import sse
from telex.hub import Hub
from telex.log.start import Start
from telex.message import Position
from telex.topics.topic import Topic


class TelexPlugin(InitPlugin):
    """A plugin of Litestar: the hub is open while the app runs, and handlers get it as the dependency ``name``.

    ``hub`` is a hub, which can be opened once, or a function that makes one for each start of the app, as tests need
    it. Raises `BadOption`.
    """

    def __init__(self, hub: Hub | Callable[[], Hub], name: str = "hub") -> None:
        if not isinstance(hub, Hub) and not callable(hub):
            raise BadOption("hub", hub, "it must be a telex.Hub, or a function that makes one")
        if not (isinstance(name, str) and name.isidentifier()):
            raise BadOption("name", name, "it must be the name of an argument of handlers, such as 'hub'")
        self._hub = hub
        self._name = name

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the lifespan and the dependency to the app."""
        app_config.lifespan.append(self._opened)
        app_config.dependencies[self._name] = Provide(_open_hub, sync_to_thread=False)
        return app_config

    @asynccontextmanager
    async def _opened(self, app: Litestar) -> AsyncIterator[None]:
        async with self._hub if isinstance(self._hub, Hub) else self._hub() as hub:
            app.state.telex = hub
            yield


def _open_hub(state: State) -> Hub:
    hub: Hub = state.telex
    return hub


def event_stream(
    request: Request[Any, Any, Any], topic: Topic[Any], *, start: Start = "new", heartbeat: Duration = 15.0
) -> Stream:
    """Return a response with the messages of a topic or pattern as server-sent events, until the client leaves.

    A browser that reconnects continues after the last message that it got. ``start`` is the first message for others;
    see `telex.ext.sse.events` for the events. Raises `BadOption`; `litestar.exceptions.ClientException` (status 400)
    for a header ``Last-Event-ID`` that is not of such a stream.
    """
    hub: Hub | None = request.app.state.get("telex")
    last_event_id = request.headers.get("last-event-id")
    try:
        since = Position.parse(last_event_id) if last_event_id else start
    except BadOption as error:
        raise ClientException(f"Last-Event-ID: {error}") from None
    body = sse.events(topic, start=since, heartbeat=heartbeat, hub=hub)
    return Stream(body, media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)
