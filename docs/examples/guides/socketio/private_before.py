import socketio

sio = socketio.AsyncServer(async_mode="asgi")


async def pay(sid: str, cents: int) -> None:
    await sio.emit("bill", cents, to=sid)
