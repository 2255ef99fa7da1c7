import asyncio

from page import Page

import telex
from telex.gateway import Authorizer, Gateway


class Visitor(Authorizer):
    async def gone(self) -> None:
        await self.hub.topic("left").publish(self.peer.address)


hub = telex.Hub()
gateway = Gateway(hub, authorizer=Visitor)


async def main() -> None:
    async with hub, hub.topic("left").subscribe() as left:
        async with Page(gateway):
            print("joined")
        print("left:", (await left.receive(timeout=5)).content)


asyncio.run(main())
# -> joined
# -> left: 127.0.0.1
