import asyncio

import telex

hub = telex.Hub()


@hub.command("pack", concurrency=1)
async def pack(order: int) -> None:
    print("packed", order)
    await asyncio.sleep(0)


async def main() -> None:
    async with hub:
        waiting = [await hub.send("pack", order, priority="low") for order in (1, 2)]
        waiting.append(await hub.send("pack", 3, priority="high"))
        for ticket in waiting:
            await ticket


asyncio.run(main())
# -> packed 1
# -> packed 3
# -> packed 2
