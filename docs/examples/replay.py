import asyncio
from datetime import timedelta

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        room = hub.topic("chatroom:1")
        for text in ("one", "two", "three"):
            await room.publish(text)

        print("all:", [message.content async for message in room.history()])

        async with room.subscribe(start=1) as inbox:  # one message back
            print("the last:", (await inbox.receive()).content)

        async with room.subscribe(start=timedelta(minutes=5)) as inbox:  # the last five minutes
            print("the first of them:", (await inbox.receive()).content)
            seen = inbox.position

        # Away, and back again: nothing is missed, nothing comes twice.
        await room.publish("four")
        async with room.subscribe(start=seen) as inbox:
            print("since then:", [message.content for message in await inbox.receive_many()])


asyncio.run(main())
