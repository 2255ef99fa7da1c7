import asyncio
import logging
import tempfile

import telex

logging.disable()  # errors of handlers are logged; this page shows only the output
hub = telex.Hub(f"sqlite:///{tempfile.mkdtemp()}/shop.db")


@hub.on("orders:*", group="billing", concurrency=8, retry=telex.Retry(attempts=2, first="10ms"))
async def bill(order: dict[str, int], context: telex.Context[dict[str, int]]) -> None:
    if order["price"] < 0:
        raise ValueError("a price below zero")
    print(f"order {context.message.seq}: {order['price']}")


async def main() -> None:
    async with hub, hub.topic("dead:billing").subscribe() as dead:
        await hub.topic("orders:new").publish({"price": 12}, key="ann")
        await hub.topic("orders:new").publish({"price": -5}, key="bob")
        letter = await dead.receive(timeout=10)
        print(letter.content, letter.headers["telex-attempts"], letter.headers["telex-reason"])


asyncio.run(main())
