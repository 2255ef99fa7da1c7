"""The dashboard in an app: `python examples/board.py [URL]`. A client reads what the page gets, and pauses a group."""

import asyncio
import json
import logging
import socket
import sys

import uvicorn
from websockets.asyncio.client import connect

import telex
from telex.dashboard import Dashboard

hub = telex.Hub(sys.argv[1] if sys.argv[1:] else None)


@hub.on("orders", group="billing", retry=telex.Retry(attempts=1))
async def bill(number: int) -> None:
    """Refuse negative orders."""
    if number < 0:
        raise ValueError("declined")


async def main() -> None:
    """Serve the dashboard, and look at its figures; a program mounts it: `app.mount("/dashboard", Dashboard(hub))`."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with hub:
        for number in (1, 2, -3):
            await hub.topic("orders").publish(number)
        await hub.idle()
        board = Dashboard(hub)
        server = uvicorn.Server(uvicorn.Config(board, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve([listener]))
        async with connect("ws://{}:{}/ws".format(*listener.getsockname())) as page:
            await page.send('{"op": "subscribe", "topic": "state", "since": 1}')
            frames = (frame async for text in page if (frame := json.loads(text))["op"] == "messages")
            state = (await anext(frames))["messages"][-1]["content"]
            print("{group}: lag {lag}, dead {dead}".format(**state["groups"][0]))
            print("dead letter of {topic}: {content}, {reason}".format(**state["dead"][0]))
            await page.send('{"op": "call", "name": "pause", "content": {"group": "billing", "pattern": "orders"}}')
            print("paused:", (await anext(frames))["messages"][-1]["content"]["groups"][0]["paused"])
        await board.aclose()
        server.should_exit = True
        await serving


logging.disable()  # the refused order is expected
asyncio.run(main())
