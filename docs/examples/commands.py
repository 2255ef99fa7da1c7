import asyncio
import logging

import msgspec

import telex

logging.disable()  # errors of handlers are logged; this page shows only the output
hub = telex.Hub("memory://")


class Month(msgspec.Struct):
    year: int
    number: int


class NoSuchMonth(telex.CommandError):
    code = "no_such_month"


@hub.command("report:build")
async def build(month: Month, ctx: telex.CommandContext[Month]) -> str:
    if month.number > 12:
        raise NoSuchMonth("a year has 12 months", data={"number": month.number})
    ctx.progress(0.5, "half of the pages")
    return f"report of {month.year}-{month.number:02}"


async def main() -> None:
    async with hub, hub.follow("report:*") as outcomes:
        print(await hub.call("report:build", Month(2026, 11), timeout="5s"))

        ticket = await hub.send("report:build", {"year": 2026, "number": 12})
        async for step in ticket.progress():
            print(f"{step.fraction:.0%}", step.text)
        print(await ticket)

        for content in (Month(2026, 13), {"year": "last"}):
            try:
                await hub.call("report:build", content)
            except telex.CommandFailed as error:
                print(error.type, error.code, error.data)
            except telex.ContentError as error:
                print(error)
        try:
            await hub.call("report:print")
        except telex.NoHandler as error:
            print(str(error).partition(":")[0])

        for _ in range(3):
            outcome = await outcomes.receive(timeout=5)
            assert isinstance(outcome, telex.Outcome)
            print("heard:", outcome.result or outcome.error)


asyncio.run(main())
