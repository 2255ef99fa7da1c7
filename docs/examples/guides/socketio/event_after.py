import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Gateway

hub = telex.Hub()
gateway = Gateway(hub, rules=AccessRules(publish=("orders",)))


@hub.on("orders")  # with group="billing", at least once, in one of the processes
async def order(data: dict[str, int]) -> None:
    print("order", data["number"])


async def main() -> None:
    async with hub, Page(gateway) as page:
        await page.ask(op="publish", topic="orders", content={"number": 17})
        await hub.idle()


asyncio.run(main())
# -> order 17
