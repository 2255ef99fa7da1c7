import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Gateway

hub = telex.Hub()
gateway = Gateway(hub, rules=AccessRules(publish=("drawn",), subscribe=("drawn",)))


async def main() -> None:
    async with hub, Page(gateway) as ann, Page(gateway) as bob:
        for page in (ann, bob):
            await page.ask(op="subscribe", topic="drawn")
        mine = "0190b0c4-7a10-7000-8000-000000000001"  # the page of ann chooses the id of its message
        await ann.ask(op="publish", topic="drawn", content=[1, 2], id=mine)
        for name, page in (("ann", ann), ("bob", bob)):
            [message] = (await page.receive())["messages"]
            if name == "bob" or message["id"] != mine:  # and leaves out what it knows
                print(name, "draws", message["content"])


asyncio.run(main())
# -> bob draws [1, 2]
