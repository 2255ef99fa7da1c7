from typing import Any

import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    await sio.emit("joined", sid)


@sio.event
async def disconnect(sid: str, reason: str) -> None:
    await sio.emit("left", sid)
