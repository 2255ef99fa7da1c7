import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Authorizer, Gateway, Peer


class User(Authorizer):  # one object for each connection: its attributes are the session
    def __init__(self, rules: AccessRules, peer: Peer) -> None:
        super().__init__(rules, peer)
        self.name = peer.headers["cookie"].removeprefix("user=")  # a program checks a session here

    def publish(self, topic: str, content: object) -> object:
        return {"user": self.name, "text": super().publish(topic, content)}


hub = telex.Hub()
gateway = Gateway(hub, rules=AccessRules(publish=("said",), subscribe=("said",)), authorizer=User)


async def main() -> None:
    async with hub, Page(gateway, cookie="user=ann") as ann, Page(gateway, cookie="user=bob") as bob:
        await bob.ask(op="subscribe", topic="said")
        await ann.ask(op="publish", topic="said", content="hello")
        print((await bob.receive())["messages"][0]["content"])


asyncio.run(main())
# -> {'user': 'ann', 'text': 'hello'}
