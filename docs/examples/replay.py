import asyncio
from datetime import timedelta

import telex


def text(item: telex.Message[str] | telex.Lost) -> str:
    # The log may no longer have the start: then the first item received is a Lost.
    return f"{item.count} are gone" if isinstance(item, telex.Lost) else item.content


async def main() -> None:
    async with telex.Hub() as hub:
        room = hub.topic("chatroom:1", str)
        for word in ("one", "two", "three"):
            await room.publish(word)

        print("all:", [message.content async for message in room.history()])

        async with room.subscribe(start=1) as inbox:  # one message back
            print("the last:", text(await inbox.receive()))

        async with room.subscribe(start=timedelta(minutes=5)) as inbox:  # the last five minutes
            print("the first of them:", text(await inbox.receive()))
            seen = inbox.position

        # A subscriber that resumes misses no message, and gets none twice.
        await room.publish("four")
        async with room.subscribe(start=seen) as inbox:
            print("since then:", [text(item) for item in await inbox.receive_many()])


asyncio.run(main())
