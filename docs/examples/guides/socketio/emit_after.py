import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Gateway

hub = telex.Hub()
gateway = Gateway(hub, rules=AccessRules(subscribe=("news",)))


async def announce(text: str) -> None:
    await hub.topic("news").publish(text)


async def main() -> None:
    async with hub, Page(gateway) as page:
        await page.ask(op="subscribe", topic="news")
        await announce("we open at nine")
        print((await page.receive())["messages"][0]["content"])


asyncio.run(main())
# -> we open at nine
