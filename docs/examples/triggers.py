import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()  # for tests, where waiting takes no time; the default is the machine's clock
hub = telex.Hub("memory://", clock=clock)


@hub.every("6h")
async def look(firing: telex.Firing) -> None:
    print(f"look {firing.number} at {firing.scheduled:%H:%M}")


hub.cron("0 9 * * mon-fri", tz="Europe/Paris", topic="mornings")
hub.after("90m", topic="reminder")


async def main() -> None:
    async with hub, hub.topic("mornings").subscribe() as mornings:
        async with hub.topic("reminder").subscribe() as reminder:
            async for message in reminder:  # it fires once, then the iteration ends
                print("reminded at", f"{message.content.scheduled:%H:%M}")
        await asyncio.sleep(86400)
        print("mornings:", [message.id for message in await mornings.receive_many()])


clock.run(main())
