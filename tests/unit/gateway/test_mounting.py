"""A gateway answers at the path at which it is mounted."""

import pytest
from starlette.applications import Starlette

import telex
from telex.gateway import AccessRules, Gateway
from tests.support.websocket import WebSocketClient

OPEN = AccessRules(publish=(">",), subscribe=(">",))


@pytest.mark.parametrize("path", ["/ws", "/ws/", "/ws/deep"])
async def test_a_gateway_that_is_mounted_answers_at_the_path_of_the_mount(path: str) -> None:
    async with telex.Hub() as hub:
        app = Starlette()
        app.mount("/ws", Gateway(hub, rules=OPEN))
        async with WebSocketClient(app, path=path) as client:
            assert (await client.receive())["op"] == "hello"
        for elsewhere in ("/wsx", "/", "/w"):
            async with WebSocketClient(app, path=elsewhere) as client:
                assert not client.accepted


async def test_another_app_that_is_mounted_answers_where_it_did() -> None:
    async with telex.Hub() as hub:
        Gateway(hub)
        app = Starlette()
        app.mount("/sub", Starlette())
        async with WebSocketClient(app, path="/sub") as client:
            assert not client.accepted
