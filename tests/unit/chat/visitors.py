"""A chat room without sockets, and its visitors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette

from telex.chat import create_app
from telex.chat.page import load
from tests.support.websocket import WebSocketClient

ANN = "the secret of ann's browser"


BOB = "the secret of bob's browser"
load()  # reads files, which no test may do on the event loop


@asynccontextmanager
async def chat(grace: float = 60.0) -> AsyncIterator[Starlette]:
    app = create_app("memory://", grace=grace)
    async with app.router.lifespan_context(app):
        yield app


async def enter(client: WebSocketClient, name: str, key: str, room: str = "lobby") -> dict[str, Any]:
    answer = await client.ask("call", name="enter", content={"room": room, "name": name, "key": key})
    assert answer["op"] == "result", answer
    entered: dict[str, Any] = answer["content"]
    return entered
