import socketio

sio = socketio.AsyncServer(async_mode="asgi")


async def tick() -> None:
    while True:
        await sio.sleep(10)
        await sio.emit("tick", {})


def start() -> None:
    sio.start_background_task(tick)
