import asyncio

import telex

hub = telex.Hub()


@hub.command("load")
def load(rows: int, ctx: telex.CommandContext[int]) -> int:
    ctx.progress(0.5, f"{rows // 2} of {rows} rows")
    return rows


async def main() -> None:
    async with hub:
        ticket = await hub.send("load", 1000)
        async for step in ticket.progress():
            print(step.fraction, step.text)
        print(await ticket)


asyncio.run(main())
# -> 0.5 500 of 1000 rows
# -> 1000
