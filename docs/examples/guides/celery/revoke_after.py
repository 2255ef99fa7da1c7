import asyncio

import telex

hub = telex.Hub()
begun = asyncio.Event()


@hub.command("export")
async def export(table: str) -> None:
    begun.set()
    await asyncio.sleep(3600)


async def stop(id: str) -> bool:
    return await (await hub.ticket(id)).cancel()


async def main() -> None:
    async with hub:
        ticket = await hub.send("export", "orders")
        await begun.wait()
        print("cancelled:", await stop(ticket.id))
        print((await ticket.outcome(timeout=10)).error is not None)


asyncio.run(main())
# -> cancelled: True
# -> True
