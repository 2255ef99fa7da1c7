from typing import Any

import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, str]) -> None:
    if auth["token"] != "a-long-secret":
        raise socketio.exceptions.ConnectionRefusedError("log in first")
