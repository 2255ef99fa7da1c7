import asyncio

import telex
from telex.middleware import Next


def logged(next: Next) -> Next:
    async def step(message: telex.Message[int]) -> object:
        print("begins")
        try:
            return await next(message)
        finally:
            print("ends")

    return step


hub = telex.Hub(middleware=[logged])


@hub.on("orders")
async def bill(order: int) -> None:
    print("bill", order)


async def main() -> None:
    async with hub:
        await hub.topic("orders").publish(17)


asyncio.run(main())
# -> begins
# -> bill 17
# -> ends
