from faststream.nats import JStream, NatsBroker, PullSub

broker = NatsBroker()
stream = JStream("sales")


@broker.subscriber("sales", durable="stock", stream=stream, pull_sub=PullSub(batch_size=3, timeout=1.0, batch=True))
async def load(sales: list[int]) -> None:
    print("load", sales)


async def main() -> None:
    await broker.publish(1, "sales", stream="sales")
