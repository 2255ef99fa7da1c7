import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event
async def draw(sid: str, line: list[int]) -> None:
    await sio.emit("drawn", line, skip_sid=sid)
