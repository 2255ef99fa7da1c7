from faststream.nats import NatsBroker, NatsRouter

router = NatsRouter(prefix="shop.")


@router.subscriber("orders")
async def bill(order: int) -> None:
    print("bill", order)


broker = NatsBroker()
broker.include_router(router)


async def main() -> None:
    await broker.publish(17, "shop.orders")
