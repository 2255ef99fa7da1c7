from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage

broker = NatsBroker()
stock: list[str] = []


@broker.subscriber("parcels", queue="shipping", stream=JStream("parcels"), ack_policy=AckPolicy.MANUAL)
async def ship(item: str, message: NatsMessage) -> None:
    if item in stock:
        print("shipped", item)
        await message.ack()
    else:
        stock.append(item)  # it is delivered meanwhile
        await message.nack(delay=60)


async def main() -> None:
    await broker.publish("cup", "parcels", stream="parcels")
