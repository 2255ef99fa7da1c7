import asyncio

import telex


async def main() -> None:
    async with telex.Hub() as hub:
        ticks = hub.topic("ticks")
        async with (
            ticks.subscribe(buffer=3) as first,
            ticks.subscribe(buffer=3, overflow="drop_oldest") as last,
            ticks.subscribe(overflow="latest") as newest,
            ticks.subscribe(buffer=3, overflow="catch_up") as everything,
        ):
            for number in range(6):
                await ticks.publish(number)
            for name, inbox in {"drop_newest": first, "drop_oldest": last, "latest": newest}.items():
                taken = [message.content for message in await inbox.receive_many()]
                print(f"{name}: {taken}, lost {inbox.lost}")
            taken = []
            while everything.waiting:
                taken += [message.content for message in await everything.receive_many()]
            print(f"catch_up: {taken}, lost {everything.lost}")


asyncio.run(main())
