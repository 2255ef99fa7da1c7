"""The dashboard in an app: `python examples/board.py [URL]`. A client reads what the page gets, and pauses one."""

import asyncio
import json
import socket
import sys
from contextlib import aclosing

from uvicorn import Config, Server
from websockets.asyncio.client import connect

import telex
from telex.dashboard import Dashboard


async def main(url: str | None) -> None:
    """Serve the dashboard, and look at its figures; a program mounts it: `app.mount("/dashboard", Dashboard(hub))`."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with telex.Hub(url) as hub, aclosing(Dashboard(hub)) as board:
        await hub.topic("orders").publish(3)
        await hub.schedules.add("monday", "0 9 * * mon", topic="orders", content=4)
        server = Server(Config(board, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve([listener]))
        async with connect("ws://{}:{}/ws".format(*listener.getsockname())) as page:
            await page.send('{"op": "subscribe", "topic": "state", "since": 1}')
            states = (json.loads(text)["messages"][-1]["content"] async for text in page if '"messages"' in text)
            state = await anext(states)
            print("topics:", [topic["topic"] for topic in state["topics"]])
            print("schedules:", {plan["schedule"]: plan["paused"] for plan in state["schedules"]})
            await page.send('{"op": "call", "name": "pause_schedule", "content": {"schedule": "monday"}}')
            print("schedules:", {plan["schedule"]: plan["paused"] for plan in (await anext(states))["schedules"]})
        server.should_exit = True
        await serving


asyncio.run(main(sys.argv[1] if sys.argv[1:] else None))
