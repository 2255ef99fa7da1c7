import asyncio

import telex

hub = telex.Hub()


@hub.command("report", keep="1d")
def report(month: int) -> str:
    return f"report of month {month}"


async def start(month: int) -> str:
    return (await hub.send("report", month)).id


async def look(id: str) -> None:
    ticket = await hub.ticket(id)  # in any process on the same engine
    result = await ticket.result(timeout=10)
    [info] = await hub.commands(id=id)
    print(info.state, result)


async def main() -> None:
    async with hub:
        await look(await start(11))


asyncio.run(main())
# -> done report of month 11
