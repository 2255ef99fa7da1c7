import asyncio
from dataclasses import dataclass

import telex
from telex.testing.clock import VirtualClock

clock = VirtualClock()
hub = telex.Hub("memory://", clock=clock)


@dataclass
class Wanted:
    team: str
    pages: int


@hub.command("report")
async def report(wanted: Wanted) -> None:
    print("report for", wanted.team, "of", wanted.pages, "pages")


async def main() -> None:
    async with hub:
        await hub.schedules.add("weekly", "0 9 * * mon", command="report", content=Wanted("sales", 3))
        await asyncio.sleep(7 * 86400)


clock.run(main())
# -> report for sales of 3 pages
