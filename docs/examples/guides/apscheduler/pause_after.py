import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.on("looks")
async def look() -> None:
    print(f"look at {clock.now:%H:%M}")


async def main() -> None:
    async with hub:
        await hub.schedules.add("look", "every 1h", topic="looks", misfire="skip")
        await hub.schedules.pause("look")  # in all processes
        await asyncio.sleep(2.5 * 3600)
        await hub.schedules.resume("look")
        await asyncio.sleep(3600)


clock.run(main())
# -> look at 03:00
