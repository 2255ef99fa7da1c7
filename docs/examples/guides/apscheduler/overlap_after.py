import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)
hub.every("10m", topic="sweeps")


@hub.on("sweeps", overflow="latest")  # one call at a time; of the firings meanwhile, the newest waits
async def sweep(firing: telex.Firing) -> None:
    print("sweep", firing.number)
    await asyncio.sleep(25 * 60)


async def main() -> None:
    async with hub:
        await asyncio.sleep(3600 + 1)


clock.run(main())
# -> sweep 1
# -> sweep 3
# -> sweep 6
