import asyncio

import telex

hub = telex.Hub()


@hub.on("orders")
async def bill(message: telex.Message[int]) -> None:
    print(message.content, message.headers["user"], message.headers["correlation-id"])


async def main() -> None:
    async with hub:
        headers = {"user": "ann", "correlation-id": "request-1"}
        await hub.topic("orders").publish(17, headers=headers)


asyncio.run(main())
# -> 17 ann request-1
