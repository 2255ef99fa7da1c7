import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.every("1h", jitter="2m")
async def fetch(firing: telex.Firing) -> None:
    late = clock() - firing.scheduled.timestamp()
    print(f"{firing.scheduled:%H:%M}, later by up to 2 minutes: {0 <= late <= 120}")


async def main() -> None:
    async with hub:
        await asyncio.sleep(2.5 * 3600)


clock.run(main())
# -> 01:00, later by up to 2 minutes: True
# -> 02:00, later by up to 2 minutes: True
