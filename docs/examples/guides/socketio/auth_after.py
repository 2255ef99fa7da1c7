import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Authorizer, Gateway, Peer, Refused


class User(Authorizer):
    def __init__(self, rules: AccessRules, peer: Peer) -> None:
        super().__init__(rules, peer)
        if peer.headers.get("cookie") != "token=a-long-secret":
            raise Refused("forbidden", "log in first")  # HTTP 403, before the WebSocket is open


hub = telex.Hub()
gateway = Gateway(hub, authorizer=User)


async def main() -> None:
    async with hub, Page(gateway, cookie="token=a-long-secret"):
        print("connected")
        try:
            async with Page(gateway):
                pass
        except ConnectionRefusedError as error:
            print("refused:", error)


asyncio.run(main())
# -> connected
# -> refused: 403
