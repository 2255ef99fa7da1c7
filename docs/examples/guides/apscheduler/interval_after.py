import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.every("6h")
async def look() -> None:
    print(f"look at {clock.now:%H:%M}")


async def main() -> None:
    async with hub:
        await asyncio.sleep(12 * 3600 + 1)


clock.run(main())
# -> look at 06:00
# -> look at 12:00
