import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event
async def price(sid: str, item: str) -> int:
    return {"cup": 7, "plate": 12}[item]  # the acknowledgement, to the callback of the client
