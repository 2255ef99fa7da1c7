import asyncio

import telex

hub = telex.Hub()


@hub.on("sales", group="stock", batch=3, within="1s")
async def load(sales: list[int]) -> None:
    print("load", sales)


async def main() -> None:
    async with hub:
        for sale in (1, 2, 3):
            await hub.topic("sales").publish(sale)
        await hub.idle()


asyncio.run(main())
# -> load [1, 2, 3]
