import asyncio

import telex

hub = telex.Hub()


@hub.on("chatroom:1")
async def show(text: str) -> None:
    print("heard:", text)


async def main() -> None:
    async with hub:
        await hub.topic("chatroom:1").publish("hello")


asyncio.run(main())
# -> heard: hello
