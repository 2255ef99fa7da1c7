import asyncio

import telex

hub = telex.Hub()


@hub.command("price")
async def price(item: str) -> int:
    return {"cup": 7, "plate": 12}[item]


async def main() -> None:
    async with hub:
        print(await hub.call("price", "cup", timeout=5))


asyncio.run(main())
# -> 7
