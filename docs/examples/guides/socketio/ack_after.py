import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Gateway

hub = telex.Hub()
gateway = Gateway(hub, rules=AccessRules(call=("price",)))


@hub.command("price")
async def price(item: str) -> int:
    return {"cup": 7, "plate": 12}[item]


async def main() -> None:
    async with hub, Page(gateway) as page:
        answer = await page.ask(op="call", name="price", content="cup", ref=1)
        print(answer["op"], answer["ref"], answer["content"])


asyncio.run(main())
# -> result 1 7
