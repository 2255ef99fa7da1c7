import asyncio

import telex


async def main() -> None:
    async with telex.Hub(timeout=5) as hub:
        room = hub.topic("chatroom:1")
        async with room.subscribe() as inbox:
            try:
                await inbox.receive(timeout=0.01)
            except telex.Timeout as error:  # a TimeoutError
                print(error)
            try:
                inbox.receive_nowait()
            except telex.WouldBlock:
                print("nothing is waiting")


asyncio.run(main())
