import asyncio

import telex

hub = telex.Hub()


@hub.on("logs:*")
async def show(message: telex.Message[str]) -> None:
    level = message.topic.split(":")[1]
    print(level, message.content)


async def main() -> None:
    async with hub:
        await hub.topic("logs:error").publish("the disk is full")


asyncio.run(main())
# -> error the disk is full
