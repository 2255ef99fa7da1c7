import asyncio

import telex

hub = telex.Hub(close_timeout=5)


@hub.on("orders:new", overflow="block")  # publishers wait, so this handler misses no order
async def price(order: dict[str, int], hub: telex.Hub) -> None:
    await hub.topic("orders:priced").publish({**order, "price": order["count"] * 3})


@hub.on("orders:priced", overflow="block")
async def bill(message: telex.Message[dict[str, int]]) -> None:
    print(message.topic, message.content)


async def main() -> None:
    async with hub:
        await hub.topic("orders:new").publish({"count": 2})
    # The hub has closed after its handlers finished all messages, also those that they published.


asyncio.run(main())
