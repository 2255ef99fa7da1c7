"""The socket and the server of the chat room."""

import socket
from contextlib import closing
from typing import Any

import pytest
import uvicorn

from telex.chat import server
from telex.gateway import Limits


def test_the_server_believes_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"])

    async def serve_one(serving: uvicorn.Server, listener: socket.socket) -> None:
        serving.config.load()
        headers = [(b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-proto", b"https")]
        scope: Any = {"type": "http", "client": ("127.0.0.1", 1), "headers": headers, "scheme": "http"}
        none: Any = None
        await serving.config.loaded_app(scope, none, none)

    monkeypatch.setattr(server, "run_server", serve_one)
    with closing(server.bind("127.0.0.1", 0)) as listener:
        server.serve(app, listener, Limits(), lambda: None)
    assert seen == [("127.0.0.1", 1)]


def test_a_listener_cuts_off_who_confirms_nothing() -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return  # not every system can do it
    with closing(server.bind("127.0.0.1", 0)) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == server.UNACKNOWLEDGED_MS
