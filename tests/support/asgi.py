"""One request to an ASGI app whose response does not end: its messages, until the client leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

App = Callable[..., Awaitable[Any]]


async def stream(
    app: App,
    path: str,
    events: int = 1,
    *,
    method: str = "GET",
    query: str = "",
    headers: Mapping[str, str] | None = None,
    state: Mapping[str, Any] | None = None,
) -> tuple[int, str]:
    """Return the status and the body of a request; of a body that does not end, at least ``events`` events."""
    enough, parts, status = asyncio.Event(), [], 0
    asked = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            return
        parts.append(message.get("body", b"").decode())
        if not message.get("more_body") or "".join(parts).count("data: ") >= events:
            enough.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": quote(query, safe="=&").encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": dict(state or {}),
        "app": app,
    }
    async with asyncio.timeout(20):
        await app(scope, receive, send)
    return status, "".join(parts)
