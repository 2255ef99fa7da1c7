import asyncio

import telex

hub = telex.Hub()


@hub.command("quote", concurrency=1)
async def quote(item: str) -> int:
    await asyncio.sleep(0.2)
    return {"cup": 7, "plate": 12}[item]


async def main() -> None:
    async with hub:
        first = await hub.send("quote", "cup", expires="1m")
        late = await hub.send("quote", "plate", expires="50ms")
        print(await first)
        try:
            await late
        except telex.CommandExpired as error:
            print(error.code)


asyncio.run(main())
# -> 7
# -> expired
