import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Authorizer, Gateway, Peer


class User(Authorizer):
    def __init__(self, rules: AccessRules, peer: Peer) -> None:
        super().__init__(rules, peer)
        self.name = peer.headers["cookie"].removeprefix("user=")  # a program checks a session here

    def sees(self, topic: str) -> bool:
        return topic == f"user:{self.name}"


hub = telex.Hub()
gateway = Gateway(hub, authorizer=User)


async def main() -> None:
    async with hub, Page(gateway, cookie="user=ann") as ann:
        print((await ann.ask(op="subscribe", topic="user:bob"))["code"])
        await ann.ask(op="subscribe", topic="user:ann")
        await hub.topic("user:ann").publish(700)  # to each page that ann has open
        print((await ann.receive())["messages"][0]["content"])


asyncio.run(main())
# -> forbidden
# -> 700
