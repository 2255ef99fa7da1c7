from typing import Any

import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    await sio.save_session(sid, {"user": "ann"})


@sio.event
async def say(sid: str, text: str) -> None:
    session = await sio.get_session(sid)
    await sio.emit("said", {"user": session["user"], "text": text})
