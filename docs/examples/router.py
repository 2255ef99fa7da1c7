import asyncio

import telex

chat = telex.Router(prefix="chatroom")


@chat.on("*")
async def show(message: telex.Message[str]) -> None:
    print(f"{message.topic}: {message.content}")


async def main() -> None:
    async with telex.Hub() as hub:
        hub.include_router(chat)
        await hub.topic("chatroom:1").publish("hello")


asyncio.run(main())
