import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        ticks = hub.topic("ticks")
        async with ticks.subscribe() as inbox:
            for number in range(5):
                ticks.publish_nowait(number)
            await hub.aclose()  # ends the subscription after its waiting messages
            async for batch in inbox.batches(limit=2):
                print([message.content for message in batch])


asyncio.run(main())
