import asyncio
import logging

import telex

logging.disable()  # the dead letter is logged; this page shows only the output
hub = telex.Hub("memory://")


@hub.on("sales", group="warehouse", batch=3, within="50ms")
async def load(sales: list[int], context: telex.BatchContext[int]) -> None:
    for sale, message in zip(sales, context.messages, strict=True):
        if sale < 0:
            await context.reject(message, "a price below zero")
    print("loaded", [sale for sale in sales if sale >= 0])


async def main() -> None:
    async with hub:
        for price in (5, -1, 8, 7):
            await hub.topic("sales").publish(price)
        await hub.idle()


asyncio.run(main())
