import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.cron("0 9 * * mon-fri", tz="Europe/Paris")
async def bill(firing: telex.Firing) -> None:
    print(f"bill all at {firing.scheduled:%H:%M} UTC")


@hub.every("6h")
async def look() -> None:
    print("look")


async def main() -> None:
    async with hub:
        await asyncio.sleep(13 * 3600)


clock.run(main())
# -> look
# -> bill all at 08:00 UTC
# -> look
