import asyncio

import msgspec

import telex


class Chat(msgspec.Struct):
    author: str
    text: str


async def main() -> None:
    async with telex.Hub() as hub:
        room = hub.topic("chatroom:1", Chat)
        async with room.subscribe() as inbox:
            await room.publish(Chat("ada", "hello"))
            message = await inbox.receive(timeout=1)
            print(f"{message.content.author}: {message.content.text}")


asyncio.run(main())
