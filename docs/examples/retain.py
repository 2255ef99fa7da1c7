import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        hub.retain("chatroom:*", messages=2, age="24h")
        room = hub.topic("chatroom:1")
        beginning = await room.position()
        for word in ("one", "two", "three"):
            await room.publish(word)
        print([message.content async for message in room.history()])

        async with room.subscribe(start=beginning) as inbox:
            for _ in range(3):
                item = await inbox.receive()
                print(item if isinstance(item, telex.Lost) else item.content)


asyncio.run(main())
