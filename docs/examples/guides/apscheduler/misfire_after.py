import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.every("1h", misfire="once")  # "skip", the default, runs none of the missed ones, "all" each of them
async def look(firing: telex.Firing) -> None:
    print(f"{firing.scheduled:%H:%M} runs at {clock.now:%H:%M}")


async def main() -> None:
    async with hub:
        clock.advance(3.5 * 3600)  # the machine sleeps
        await asyncio.sleep(3600)


clock.run(main())
# -> 03:00 runs at 03:30
# -> 04:00 runs at 04:00
