"""A topic as server-sent events: `python examples/event_stream.py [URL]`. The client continues after its last event."""

import asyncio
import socket
import sys

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

import telex
from telex.ext.fastapi import HubDependency, event_stream, lifespan

app = FastAPI(lifespan=lifespan(telex.Hub(sys.argv[1] if sys.argv[1:] else None)))


@app.get("/news")
async def news(request: Request, hub: HubDependency) -> Response:
    """Stream the news; the last three for a client that comes for the first time."""
    for text in () if "last-event-id" in request.headers else ("rain", "sun", "snow"):
        await hub.topic("news").publish(text)
    return event_stream(request, hub.topic("news"), start=3)


async def main() -> None:
    """Read two events, leave, and read the third one."""
    server, listener = uvicorn.Server(uvicorn.Config(app, log_level="warning")), socket.create_server(("127.0.0.1", 0))
    serving, headers = asyncio.create_task(server.serve([listener])), dict[str, str]()
    async with httpx.AsyncClient(base_url="http://{}:{}".format(*listener.getsockname())) as client:
        for last in ("sun", "snow"):
            async with client.stream("GET", "/news", headers=headers) as response:
                async for line in response.aiter_lines():
                    if line.startswith("id: "):
                        headers["Last-Event-ID"] = line.removeprefix("id: ")
                    if line.startswith("data: "):
                        print(line.removeprefix("data: "))
                    if last in line:
                        break
    server.should_exit = True
    await serving


asyncio.run(main())
