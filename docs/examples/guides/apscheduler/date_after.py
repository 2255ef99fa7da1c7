import asyncio
from datetime import timedelta

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.at(clock.now + timedelta(minutes=90))  # or hub.after("90m")
async def remind() -> None:
    print(f"remind at {clock.now:%H:%M}")


async def main() -> None:
    async with hub:
        await asyncio.sleep(86400)


clock.run(main())
# -> remind at 01:30
