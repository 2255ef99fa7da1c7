import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Gateway
from telex.testing.clock import VirtualClock

clock = VirtualClock()  # ten seconds take no time here
hub = telex.Hub("memory://", clock=clock)
gateway = Gateway(hub, rules=AccessRules(subscribe=("tick",)))
hub.every("10s", topic="tick")  # once, however many processes serve pages


async def main() -> None:
    async with hub, Page(gateway) as page:
        await page.ask(op="subscribe", topic="tick")
        await asyncio.sleep(11)
        print("tick", (await page.receive())["messages"][0]["content"]["number"])


clock.run(main())
# -> tick 1
