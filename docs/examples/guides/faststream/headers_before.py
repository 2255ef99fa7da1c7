from faststream import Header
from faststream.nats import NatsBroker, NatsMessage

broker = NatsBroker()


@broker.subscriber("orders")
async def bill(order: int, message: NatsMessage, user: str = Header()) -> None:
    print(order, user, message.correlation_id)


async def main() -> None:
    await broker.publish(17, "orders", headers={"user": "ann"}, correlation_id="request-1")
