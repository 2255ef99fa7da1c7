import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        jobs = hub.topic("jobs")
        async with jobs.subscribe(buffer=1, overflow="block", block_timeout=5) as inbox:
            await jobs.publish("first")
            try:
                jobs.publish_nowait("second")
            except telex.WouldBlock:
                print("the buffer is full: publish_nowait does not wait")
            publishing = asyncio.create_task(jobs.publish("second"))  # publish does
            print((await inbox.receive()).content)
            await publishing
            print((await inbox.receive()).content)


asyncio.run(main())
