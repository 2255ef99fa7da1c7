import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.cron("30 9 * * mon-fri", tz="Europe/Paris")
async def open_shop(firing: telex.Firing) -> None:
    print(f"the shop is open on {firing.scheduled:%a %H:%M} UTC")


async def main() -> None:
    async with hub:
        await asyncio.sleep(5 * 86400)  # from Thursday to Tuesday


clock.run(main())
# -> the shop is open on Thu 08:30 UTC
# -> the shop is open on Fri 08:30 UTC
# -> the shop is open on Mon 08:30 UTC
