import asyncio

import telex

hub = telex.Hub()


@hub.command("mail")
def mail(address: str) -> None:
    print("mail to", address)


async def main() -> None:
    async with hub:
        if await hub.schedules.get("ann") is None:
            await hub.schedules.add("ann", "every 1d", command="mail", content="ann@example.org")
        print("deleted:", await hub.schedules.delete("ann"))
        print("deleted:", await hub.schedules.delete("ann"))


asyncio.run(main())
# -> deleted: True
# -> deleted: False
