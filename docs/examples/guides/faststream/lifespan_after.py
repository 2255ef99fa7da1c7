import asyncio
from collections.abc import AsyncIterator

import telex

prices: dict[str, int] = {}


async def lifespan(hub: telex.Hub) -> AsyncIterator[None]:
    prices["cup"] = 7
    yield
    print("the prices are closed")


hub = telex.Hub(lifespan=lifespan)


@hub.on("orders")
async def bill(item: str) -> None:
    print("bill", prices[item])


async def main() -> None:
    async with hub:
        await hub.topic("orders").publish("cup")


asyncio.run(main())
# -> bill 7
# -> the prices are closed
