import asyncio
import logging

import telex

logging.disable()  # errors of handlers are logged; this page shows only the output
hub = telex.Hub("memory://")
stock: list[str] = []


@hub.command("parcel:pack", keep="1d")
async def pack(item: str) -> str:
    if item not in stock:
        raise telex.CommandError(f"there is no {item}", code="sold_out")
    return f"packed: {item}"


async def main() -> None:
    async with hub:
        later = await hub.send("parcel:pack", "cup", delay="10m", expires="1h", priority="low")
        plate = await hub.send("parcel:pack", "plate")
        await plate.outcome(timeout=5)

        for job in await hub.commands(name="parcel:pack"):
            print(job.command, job.state, job.error and job.error.message)

        ticket = await hub.ticket(later.id)  # here, or in another process
        print("cancelled:", await ticket.cancel())

        stock.append("plate")
        for job in await hub.commands(state="failed"):
            print(await (await hub.retry(job.id)).result(timeout=5))


asyncio.run(main())
