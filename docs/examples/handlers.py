import asyncio
from dataclasses import dataclass

import telex

hub = telex.Hub()
done = asyncio.Event()


@dataclass
class OrderPlaced:
    number: int


@hub.on("chatroom:*")  # by topic; the whole message
async def show(message: telex.Message[str]) -> None:
    print(f"{message.topic}: {message.content}")


@hub.on(OrderPlaced, run_in="loop")  # by type, on any topic; only the content
def placed(order: OrderPlaced) -> None:
    print(f"order {order.number}")
    done.set()


async def main() -> None:
    async with hub:
        await hub.topic("chatroom:1").publish("hello")
        await hub.topic("orders:new").publish(OrderPlaced(17))
        await done.wait()


asyncio.run(main())
