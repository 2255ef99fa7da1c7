from faststream.nats import NatsBroker, TestNatsBroker

broker = NatsBroker()


@broker.subscriber("orders")
@broker.publisher("mails")
async def bill(order: int) -> str:
    return f"order {order}: thank you"


async def test_an_order_is_answered() -> None:
    async with TestNatsBroker(broker) as tested:
        await tested.publish(17, "orders")
        bill.mock.assert_called_once_with(17)
