from faststream import Path
from faststream.nats import NatsBroker

broker = NatsBroker()


@broker.subscriber("logs.{level}")
async def show(text: str, level: str = Path()) -> None:
    print(level, text)


async def main() -> None:
    await broker.publish("the disk is full", "logs.error")
