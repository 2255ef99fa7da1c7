import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        hub.retain("chatroom:*", messages=2, age="24h")
        room = hub.topic("chatroom:1")
        for text in ("one", "two", "three"):
            await room.publish(text)
        print([message.content async for message in room.history()])

        async with room.subscribe(start=telex.Position(0, (await room.position()).epoch)) as inbox:
            print(await inbox.receive())  # what was asked for is gone, and that is told
            print((await inbox.receive()).content)


asyncio.run(main())
