import asyncio

import telex

hub = telex.Hub()


@hub.on("orders")
async def bill(count: int, hub: telex.Hub) -> None:
    await hub.topic("bills").publish(count * 3)


@hub.on("bills")
async def show(cents: int) -> None:
    print("to pay:", cents)


async def main() -> None:
    async with hub:
        await hub.topic("orders").publish(2)


asyncio.run(main())
# -> to pay: 6
