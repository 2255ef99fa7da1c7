import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Gateway

hub = telex.Hub()
gateway = Gateway(hub, rules=AccessRules(publish=("room:*",), subscribe=("room:*",)))


async def main() -> None:
    async with hub, Page(gateway) as ann, Page(gateway) as bob:
        await bob.ask(op="subscribe", topic="room:tea")  # join; "unsubscribe" leaves
        await ann.ask(op="publish", topic="room:cake", content="nobody is here")
        await ann.ask(op="publish", topic="room:tea", content="hello")
        frame = await bob.receive()
        print(frame["topic"], frame["messages"][0]["content"])


asyncio.run(main())
# -> room:tea hello
