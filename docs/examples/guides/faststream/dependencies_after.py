import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import telex

hub = telex.Hub()


async def begin() -> AsyncIterator[list[str]]:
    rows: list[str] = []
    yield rows
    print("commit", rows)


@hub.on("orders")
async def bill(order: str, rows: Annotated[list[str], telex.Depends(begin)]) -> None:
    rows.append(order)


async def main() -> None:
    async with hub:
        await hub.topic("orders").publish("tea")


asyncio.run(main())
# -> commit ['tea']
