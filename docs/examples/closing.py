import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        room = hub.topic("chatroom:1")

        async def listen() -> None:
            async with room.subscribe(start="earliest") as inbox:
                async for message in inbox:
                    print(message.content)
            print("the hub was closed")

        listening = asyncio.create_task(listen())
        await room.publish("hello")
        await asyncio.sleep(0)
    await listening
    try:
        await room.publish("too late")
    except telex.Closed as error:
        print(error)


asyncio.run(main())
