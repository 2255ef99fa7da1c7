from typing import Any

import socketio

sio = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(sio)  # uvicorn chat:app


@sio.event
async def say(sid: str, text: str) -> None:
    await sio.emit("said", text)


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    print("connected")
