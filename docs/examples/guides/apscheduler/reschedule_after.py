import asyncio

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.on("rooms")
async def look(room: str) -> None:
    print(f"look into the {room} at {clock.now:%H:%M}")


async def main() -> None:
    async with hub:
        await hub.schedules.add("look", "every 6h", topic="rooms", content="kitchen")
        await hub.schedules.change("look", "every 1h", content="cellar")
        await asyncio.sleep(3600 + 1)


clock.run(main())
# -> look into the cellar at 01:00
