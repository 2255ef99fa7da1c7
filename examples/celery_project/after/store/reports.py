"""Reports, which people wait for and look at."""

import asyncio
from dataclasses import dataclass

import telex
from telex.middleware import timeout

router = telex.Router()
REGIONS = {"north": 120, "south": 80, "west": 45}


@dataclass
class Wanted:
    month: int
    pages: int = 4


@router.command("build_report", keep="1d", middleware=[timeout("60s")])
def build_report(wanted: Wanted, ctx: telex.CommandContext[Wanted]) -> str:
    """Build a report, and show how far it is."""
    for page in range(1, wanted.pages + 1):
        ctx.progress(page / wanted.pages, f"page {page} of {wanted.pages}")
    return f"report of month {wanted.month}: {wanted.pages} pages"


@router.command("count_region")
def count_region(region: str) -> int:
    return REGIONS[region]


@router.command("sum_regions")
async def sum_regions(month: int, hub: telex.Hub) -> int:
    tickets = [await hub.send("count_region", region, type=int) for region in REGIONS]
    return sum(await asyncio.gather(*(ticket.result() for ticket in tickets)))


async def look_up(hub: telex.Hub, id: str) -> tuple[str, object]:
    """The state of a report by its id, for a web page."""
    infos = {info.id: info for info in await hub.commands(name="build_report", limit=1000)}
    ticket = await hub.ticket(id)
    return infos[id].state, await ticket if ticket.done else None


async def stop(hub: telex.Hub, id: str) -> None:
    await (await hub.ticket(id)).cancel()
