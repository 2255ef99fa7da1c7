"""Commands by id, on every engine: `python examples/parcels.py [URL]`."""

import asyncio
import sys

import telex

hub = telex.Hub(sys.argv[1] if len(sys.argv) > 1 else "memory://")
shelf: list[str] = []


@hub.command("parcel:pack", concurrency=1, keep="1d")
async def pack(item: str) -> str:
    """Pack one item."""
    if item not in shelf:
        raise telex.CommandError(f"there is no {item}", code="sold_out")
    return f"packed: {item}"


async def main() -> None:
    """Send three commands, and manage them by their ids."""
    async with hub:
        shelf.append("cup")
        done = await hub.send("parcel:pack", "cup", priority="high")
        later = await hub.send("parcel:pack", "cup", delay="1h", expires="2h")
        failed = await hub.send("parcel:pack", "plate")
        for ticket in (done, failed):
            await ticket.outcome(timeout=20)
        for job in await hub.commands(name="parcel:pack"):
            print(job.state, job.priority, "" if job.error is None else job.error.message)
        print(await (await hub.ticket(done.id)).result(timeout=20))
        print("cancelled:", await (await hub.ticket(later.id)).cancel())
        shelf.append("plate")
        print(await (await hub.retry(failed.id)).result(timeout=20))


if __name__ == "__main__":
    asyncio.run(main())
