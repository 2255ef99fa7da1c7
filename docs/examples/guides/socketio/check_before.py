import socketio

sio = socketio.AsyncServer(async_mode="asgi")


@sio.event
async def order(sid: str, data: object) -> str:
    if not isinstance(data, dict) or not isinstance(data.get("number"), int):
        return "refused"
    return "accepted"
