from faststream.nats import NatsBroker

broker = NatsBroker()


@broker.subscriber("orders")
@broker.publisher("bills")
async def bill(count: int) -> int:
    return count * 3


@broker.subscriber("bills")
async def show(cents: int) -> None:
    print("to pay:", cents)


async def main() -> None:
    await broker.publish(2, "orders")
