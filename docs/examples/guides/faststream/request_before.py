from faststream.nats import NatsBroker

broker = NatsBroker()


@broker.subscriber("price")
async def price(item: str) -> int:
    return {"cup": 7, "plate": 12}[item]


async def main() -> None:
    reply = await broker.request("cup", "price", timeout=5)
    print(await reply.decode())
