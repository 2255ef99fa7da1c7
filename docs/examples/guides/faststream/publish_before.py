from faststream import FastStream
from faststream.nats import NatsBroker

broker = NatsBroker("nats://localhost:4222")
app = FastStream(broker)


@broker.subscriber("chatroom.1")
async def show(text: str) -> None:
    print("heard:", text)


async def main() -> None:
    await broker.publish("hello", "chatroom.1")
