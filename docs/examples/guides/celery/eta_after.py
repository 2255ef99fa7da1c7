from datetime import timedelta

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@hub.command("remind")
async def remind(name: str) -> None:
    print(f"remind {name} on {clock.now:%d %b at %H:%M}")


async def main() -> None:
    async with hub:
        first = await hub.send("remind", "ann", delay="10m")
        last = await hub.send("remind", "bob", at=clock.now + timedelta(days=1))
        await first
        await last


clock.run(main())
# -> remind ann on 01 Jan at 00:10
# -> remind bob on 02 Jan at 00:00
