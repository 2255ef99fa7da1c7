import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Gateway

hub = telex.Hub()
hub.retain("said", messages=1000)
gateway = Gateway(hub, rules=AccessRules(subscribe=("said",)))


async def main() -> None:
    async with hub:
        async with Page(gateway) as page:
            await page.ask(op="subscribe", topic="said")
            await hub.topic("said").publish("hello")
            position = (await page.receive())["position"]
        await hub.topic("said").publish("are you there?")  # while the page is away
        async with Page(gateway) as page:
            await page.ask(op="subscribe", topic="said", since=position)
            print([message["content"] for message in (await page.receive())["messages"]])


asyncio.run(main())
# -> ['are you there?']
