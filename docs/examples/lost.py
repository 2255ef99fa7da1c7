import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        ticks = hub.topic("ticks", int)
        async with ticks.subscribe(buffer=2, report_lost=True) as inbox:
            for number in range(1, 6):
                await ticks.publish(number)
            await hub.aclose()  # ends the subscription after its waiting messages
            async for item in inbox:
                if isinstance(item, telex.Lost):
                    print(f"{item.count} lost, {item.first} to {item.last}: {item.reason}")
                else:
                    print(item.content)


asyncio.run(main())
