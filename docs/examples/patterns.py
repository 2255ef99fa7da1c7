import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub, hub.topic("chatroom:*").subscribe() as every_room:
        # The pattern also matches rooms that are created later.
        await hub.topic("chatroom:1").publish("hello, one")
        await hub.topic("chatroom:2").publish("hello, two")
        await hub.topic("orders:1").publish("not a room")
        for message in await every_room.receive_many():
            print(message.topic, message.content)
        print(await hub.topics("chatroom:*"))


asyncio.run(main())
