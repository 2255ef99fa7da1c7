import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        room = hub.topic("chatroom:12345")
        async with room.subscribe() as inbox:
            await room.publish({"text": "hello"})
            message = await inbox.receive(timeout=1)
            print(message.topic, message.seq, message.content)


asyncio.run(main())
