"""No header of a request, however odd and however often it comes, makes a server fail."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute

import telex
from telex.chat.page import load, routes
from telex.gateway import AccessRules, Commands, Gateway

NAMES = [
    *(b"host", b"origin", b"idempotency-key", b"prefer", b"last-event-id", b"cookie", b"content-type"),
    *(b"content-length", b"if-none-match", b"forwarded", b"x-forwarded-for", b"authorization", b"traceparent"),
    *(b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol", b"sec-websocket-extensions"),
]
ODD = [
    *(b"", b"127.0.0.1", b"127.0.0.1:8000", b"http://127.0.0.1:8000", b"[::1", b"http://[::1", b"//", b"http://x:y"),
    *(b"127.0.0.1:99999999", b"\xff\xfe", b"\xc3\xa9", b"http://\xe2\x84\x80", b"@", b"a@b:c", b"%", b"null", b","),
    *(b'"', b'"\\"', b"wait=99999999999", b"wait=\xb2", b"wait=-1, respond-async", b"wait", b"=;=;", b"a=b; a"),
    *(b"1" * 5000, b"-1", b"1e9", b"application/json;;=", b"W/", b"::", b"\t", b"http://127.0.0.1:8000\xa0"),
]
HEADERS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(ODD) | st.binary(max_size=20).filter(lambda b: b"\n" not in b)),
    max_size=8,
)
load()


def site(hub: telex.Hub) -> Starlette:
    rules = AccessRules(publish=(">",), subscribe=(">",), call=("c",))
    parts = [Mount("/commands", Commands(hub, rules=rules)), WebSocketRoute("/ws", Gateway(hub, rules=rules))]
    return Starlette(routes=[*routes(load(), ["den.example"]), *parts])


async def answer(app: Any, scope: dict[str, Any], *events: dict[str, Any]) -> dict[str, Any]:
    """The first thing that an app says. What it raises, the caller gets."""
    said: list[dict[str, Any]] = []
    waiting = [*events]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    defaults = {"root_path": "", "query_string": b"", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000)}
    await app({**defaults, **scope}, receive, send)
    return said[0]


@pytest.mark.slow
@given(HEADERS)
@settings(max_examples=60)
async def test_no_header_makes_a_server_fail(headers: list[tuple[bytes, bytes]]) -> None:
    hub = telex.Hub()
    hub.command("c", run_in="loop")(lambda: None)
    async with hub:
        app = site(hub)
        # With a host that is let in, too, so that what comes after it is reached.
        for given_headers in (headers, [(b"host", b"127.0.0.1:8000"), *headers]):
            for path, method in (
                ("/commands/c", "POST"),
                ("/commands/c/outcomes/x", "GET"),
                ("/", "GET"),
                ("/x", "GET"),
            ):
                scope = {"type": "http", "path": path, "method": method, "scheme": "http", "headers": given_headers}
                said = await answer(app, scope, {"type": "http.request", "body": b"null"})
                assert said["status"] < 500, said
            scope = {"type": "websocket", "path": "/ws", "scheme": "ws", "headers": given_headers, "subprotocols": []}
            hang_up = {"type": "websocket.disconnect", "code": 1000}
            said = await answer(app, scope, {"type": "websocket.connect"}, hang_up, hang_up)
            assert said["type"] in ("websocket.accept", "websocket.close")
            assert said.get("code") != 1011
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", [b"host", b"origin"])
@pytest.mark.parametrize("value", ODD)
async def test_a_malformed_host_or_origin_is_let_in_nowhere(name: bytes, value: bytes) -> None:
    if value in (b"127.0.0.1", b"127.0.0.1:8000", b"http://127.0.0.1:8000", b"127.0.0.1:99999999"):
        return
    if name == b"origin" and value == b"http://127.0.0.1:8000\xa0":
        return
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=AccessRules(publish=(">",)))
        headers = {b"host": b"127.0.0.1:8000", name: value}
        scope = {"type": "websocket", "path": "/", "scheme": "ws", "headers": [*headers.items()], "subprotocols": []}
        said = await answer(gateway, scope, {"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1})
        assert said["type"] == "websocket.close", value
