from typing import Any

import socketio

sio = socketio.AsyncServer(async_mode="asgi")
said: list[str] = []


@sio.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, int]) -> None:
    for text in said[auth["seen"] :]:
        await sio.emit("said", text, to=sid)


@sio.event
async def say(sid: str, text: str) -> None:
    said.append(text)
    await sio.emit("said", text)
