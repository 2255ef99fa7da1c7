import asyncio

import telex

router = telex.Router("shop")


@router.on("orders")
async def bill(order: int) -> None:
    print("bill", order)


async def main() -> None:
    async with telex.Hub() as hub:
        hub.include_router(router)
        await hub.topic("shop:orders").publish(17)


asyncio.run(main())
# -> bill 17
