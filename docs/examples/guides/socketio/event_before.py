import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.on("order")
async def order(sid: str, data: dict[str, int]) -> None:
    print("order", data["number"])
