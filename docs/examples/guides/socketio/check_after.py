import asyncio
from dataclasses import dataclass

from page import Page

import telex
from telex.gateway import AccessRules, Gateway

hub = telex.Hub()
gateway = Gateway(hub, rules=AccessRules(call=("order",)))


@dataclass
class Order:
    number: int


@hub.command("order")
async def order(order: Order) -> str:
    return f"order {order.number} is accepted"


async def main() -> None:
    async with hub, Page(gateway) as page:
        print((await page.ask(op="call", name="order", content={"number": 17}))["content"])
        print((await page.ask(op="call", name="order", content={"number": "17"}))["code"])


asyncio.run(main())
# -> order 17 is accepted
# -> bad_content
