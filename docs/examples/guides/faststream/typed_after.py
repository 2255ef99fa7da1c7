import asyncio

from pydantic import BaseModel

import telex

hub = telex.Hub()


class Order(BaseModel):  # or a dataclass, or a msgspec.Struct
    number: int
    cents: int


@hub.on(Order)  # by type, on every topic; @hub.on("orders", Order) on one
async def bill(order: Order) -> None:
    print(order.number, order.cents)


async def main() -> None:
    async with hub:
        await hub.topic("orders").publish(Order(number=17, cents=700))


asyncio.run(main())
# -> 17 700
