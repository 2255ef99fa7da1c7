import asyncio
from datetime import timedelta

import telex

hub = telex.Hub("memory://")


@hub.on("orders", group="billing")
async def bill(number: int) -> None:
    print("bills order", number)


async def main() -> None:
    async with hub:
        for number in (1, 2):
            await hub.topic("orders").publish(number)
        await hub.idle()
        await hub.groups.seek("billing", 1)  # the last message again
        await hub.idle()
        await hub.groups.seek("billing", timedelta(hours=1))  # the messages of the last hour
        await hub.idle()
        await hub.groups.seek("billing", "new", "orders")  # only later messages of this topic


asyncio.run(main())
