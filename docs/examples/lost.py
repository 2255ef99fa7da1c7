import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        ticks = hub.topic("ticks")
        async with ticks.subscribe(buffer=2, overflow="drop_newest", report_lost=True) as inbox:
            for number in range(1, 6):
                await ticks.publish(number)
            print((await inbox.receive()).content, (await inbox.receive()).content)
            await ticks.publish(6)
            hole = await inbox.receive()
            assert isinstance(hole, telex.Lost)
            print(f"{hole.count} lost, {hole.first} to {hole.last}: {hole.reason}")
            print((await inbox.receive()).content)


asyncio.run(main())
