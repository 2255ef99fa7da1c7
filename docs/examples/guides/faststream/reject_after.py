import asyncio

import telex

hub = telex.Hub()


@hub.on("orders", group="billing")
async def bill(cents: int) -> None:
    if cents < 0:
        raise telex.Reject("an amount below zero")
    print("bill", cents)


@hub.on("dead:billing")
async def look(letter: telex.Message[int]) -> None:
    print(letter.content, letter.headers["telex-reason"])


async def main() -> None:
    async with hub:
        await hub.topic("orders").publish(-5)
        await hub.idle()
        [dead] = await hub.groups.dead("billing")
        print("kept:", dead.message.content)


asyncio.run(main())
# -> -5 an amount below zero
# -> kept: -5
