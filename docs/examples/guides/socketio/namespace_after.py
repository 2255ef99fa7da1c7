import asyncio

from page import Page

import telex
from telex.gateway import AccessRules, Gateway

hub = telex.Hub()
chat = Gateway(hub, rules=AccessRules(publish=("chat:>",), subscribe=("chat:>",)))  # mounted at /chat
admin = Gateway(hub, rules=AccessRules(call=("admin:>",)))  # mounted at /admin, with an authorizer


@hub.command("admin:close")
async def close(room: str, hub: telex.Hub) -> bool:
    return await hub.remove(f"chat:{room}")


async def main() -> None:
    async with hub, Page(chat, "/chat") as visitor, Page(admin, "/admin") as administrator:
        await visitor.ask(op="publish", topic="chat:tea", content="hello")
        print((await visitor.ask(op="call", name="admin:close", content="tea"))["code"])
        print((await administrator.ask(op="call", name="admin:close", content="tea"))["content"])


asyncio.run(main())
# -> unknown_call
# -> True
