"""A WebSocket client of an ASGI app, in memory: no sockets, and a client that takes nothing takes exactly nothing."""

import asyncio
import json
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from starlette.types import ASGIApp, Message

PAGE = {"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}
PROGRAM = {"host": "127.0.0.1:8000"}
WITHIN = 10.0
"""Seconds that anything a test waits for may take."""


class WebSocketClient:
    """One connection. ``async with`` makes it; leaving hangs up and waits until the app has let go of it."""

    def __init__(
        self,
        app: ASGIApp,
        headers: dict[str, str] = PROGRAM,
        address: str = "127.0.0.1",
        *,
        path: str = "/ws",
        query: bytes = b"",
        more: Iterable[tuple[bytes, bytes]] = (),
        extensions: dict[str, object] | None = None,
    ) -> None:
        self.taking = asyncio.Event()
        self.taking.set()
        self.code: int | None = None
        self.accepted = False
        self.status: int | None = None
        self.body = b""
        self._app = app
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._ref = 0
        self.scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "scheme": "ws",
            "headers": [*((name.encode(), value.encode()) for name, value in headers.items()), *more],
            "client": (address, 50000),
            "server": ("127.0.0.1", 8000),
            "subprotocols": [],
            "extensions": extensions or {},
            "app": app,
        }

    async def __aenter__(self) -> Self:
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.finished = asyncio.ensure_future(self._app(self.scope, self._to_app.get, self._sent))
        first = await self._next()
        self.accepted = first["type"] == "websocket.accept"
        if first["type"] == "websocket.http.response.start":
            self.status = first["status"]
            self.body = (await self._next())["body"]
        elif not self.accepted:
            self.code = first.get("code")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.taking.set()
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(WITHIN):
            await self.finished

    async def _sent(self, message: Message) -> None:
        await self.taking.wait()
        self._from_app.put_nowait(message)

    async def _next(self) -> Message:
        async with asyncio.timeout(WITHIN):
            return await self._from_app.get()

    def send_text(self, text: str) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    def send_bytes(self, data: bytes) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "bytes": data})

    def send(self, op: str, **fields: object) -> int:
        self._ref += 1
        self.send_text(json.dumps({"op": op, "ref": self._ref, **fields}))
        return self._ref

    async def receive(self) -> dict[str, Any]:
        """The next frame. Fails when the connection was closed instead; `code` says how."""
        message = await self._next()
        if message["type"] == "websocket.close":
            self.code = message["code"]
            raise AssertionError(f"closed with {self.code}: {message.get('reason')}")
        frame: dict[str, Any] = json.loads(message["text"])
        return frame

    async def closed(self) -> int:
        """The code that the app closes with; frames before it are passed over."""
        while self.code is None:
            message = await self._next()
            if message["type"] == "websocket.close":
                self.code = message["code"]
        return self.code

    async def ask(self, op: str, **fields: object) -> dict[str, Any]:
        """Send a request; its answer. What comes before it must be nothing but the greeting."""
        ref = self.send(op, **fields)
        while True:
            frame = await self.receive()
            if frame.get("ref") == ref:
                return frame
            assert frame["op"] == "hello", frame

    async def messages(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` messages, which have to come without a hole."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            frame = await self.receive()
            assert frame["op"] == "messages", frame
            found += frame["messages"]
            self.position: str = frame["position"]
        assert len(found) == count
        return found
