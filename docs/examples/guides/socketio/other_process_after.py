import asyncio
import tempfile

from page import Page

import telex
import telex.blocking
from telex.gateway import AccessRules, Gateway

url = f"sqlite:///{tempfile.mkdtemp()}/shop.db"  # PostgreSQL for many machines


def deliver(order: int) -> None:
    with telex.blocking.Hub(url) as hub:  # a process keeps it open
        hub.topic("kitchen").publish(order)


async def main() -> None:
    async with telex.Hub(url) as hub:
        gateway = Gateway(hub, rules=AccessRules(subscribe=("kitchen",)))
        async with Page(gateway) as page:
            await page.ask(op="subscribe", topic="kitchen")
            await asyncio.to_thread(deliver, 17)
            print("delivered:", (await page.receive())["messages"][0]["content"])


asyncio.run(main())
# -> delivered: 17
