import asyncio

import telex

hub = telex.Hub()


@hub.cron("0 3 * * *")
def clean() -> None:
    print("clean")


async def main() -> None:
    async with hub:
        await hub.trigger("clean").fire()
        await hub.idle()


asyncio.run(main())
# -> clean
