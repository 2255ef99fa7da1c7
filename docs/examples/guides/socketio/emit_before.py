import socketio

sio = socketio.AsyncServer(async_mode="asgi")


async def announce(text: str) -> None:
    await sio.emit("news", text)
