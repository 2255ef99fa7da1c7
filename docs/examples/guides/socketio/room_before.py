import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event
async def join(sid: str, room: str) -> None:
    await sio.enter_room(sid, room)


@sio.event
async def say(sid: str, data: dict[str, str]) -> None:
    await sio.emit("said", data["text"], room=data["room"])
