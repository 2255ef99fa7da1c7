from faststream.nats import NatsBroker

broker = NatsBroker()


@broker.subscriber("orders", queue="billing", max_workers=8)
async def bill(order: int) -> None:
    print("bill", order)


async def main() -> None:
    await broker.publish(17, "orders")
