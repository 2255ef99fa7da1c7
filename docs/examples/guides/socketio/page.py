"""The WebSocket of a page, connected to a gateway without a browser and a server, for these programs and for tests."""

import asyncio
import json
from typing import Any, Self

from telex.gateway import Gateway


class Page:
    def __init__(self, gateway: Gateway, path: str = "/ws", cookie: str = "") -> None:
        headers = {"host": "localhost", "origin": "http://localhost", "cookie": cookie}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope: dict[str, Any] = {"type": "websocket", "path": path, "headers": raw, "client": ("127.0.0.1", 1)}
        scope["extensions"] = {"websocket.http.response": {}}  # a refusal has an HTTP status
        self._sent: asyncio.Queue[Any] = asyncio.Queue()
        self._received: asyncio.Queue[Any] = asyncio.Queue()
        self._run = gateway(scope, self._sent.get, self._received.put)

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self._run)
        await self._sent.put({"type": "websocket.connect"})
        answer = await self._received.get()
        if answer["type"] != "websocket.accept":
            await self._task
            raise ConnectionRefusedError(answer["status"])
        await self.receive()  # hello
        return self

    async def ask(self, **frame: Any) -> dict[str, Any]:
        """Send a frame, and return the next frame that comes."""
        await self._sent.put({"type": "websocket.receive", "text": json.dumps(frame)})
        return await self.receive()

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads((await self._received.get())["text"])
        return frame

    async def __aexit__(self, *error: object) -> None:
        await self._sent.put({"type": "websocket.disconnect", "code": 1001})
        await self._task
