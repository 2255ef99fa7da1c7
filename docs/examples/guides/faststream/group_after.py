import asyncio

import telex

hub = telex.Hub()


@hub.on("orders", group="billing", concurrency=8)
async def bill(order: int) -> None:
    print("bill", order)


async def main() -> None:
    async with hub:
        await hub.topic("orders").publish(17)
        await hub.idle()


asyncio.run(main())
# -> bill 17
