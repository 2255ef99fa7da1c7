import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.on("say", namespace="/chat")
async def say(sid: str, text: str) -> None:
    await sio.emit("said", text, namespace="/chat")


@sio.on("close", namespace="/admin")
async def close(sid: str, room: str) -> None:
    await sio.close_room(room, namespace="/chat")
