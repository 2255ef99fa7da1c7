import socketio

manager = socketio.RedisManager("redis://localhost", write_only=True)


def deliver(order: int) -> None:
    manager.emit("delivered", order, room="kitchen")
