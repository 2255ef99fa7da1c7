"""Methods of an application that are plain or async."""

import asyncio
from typing import Any

import telex
from telex.gateway import Authorizer, Gateway, Limits, Refused
from tests.support.websocket import WebSocketClient

WIDE = Limits(rate=1e6, burst=10**6)


async def test_hooks_may_be_async() -> None:
    class Async(Authorizer):
        async def publish(self, topic: str, content: object) -> object:
            await asyncio.sleep(0)
            if content == "bad":
                raise Refused("forbidden", "no")
            return ["checked", content]

        async def headers(self, topic: str, headers: Any) -> Any:
            return {**headers, "by": "ann"}

        async def sees(self, topic: str) -> bool:
            return topic != "hidden"

    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, authorizer=Async, limits=WIDE)) as client:
        hub.topic("hidden").publish_nowait(1)
        assert (await client.ask("subscribe", topic="hidden"))["code"] == "forbidden"
        assert (await client.ask("publish", topic="a", content="bad"))["code"] == "forbidden"
        await client.ask("publish", topic="a", content="good", headers={"x": "y"})
        assert (await client.ask("topics"))["topics"] == ["a"]
        await client.ask("subscribe", topic="a", since="earliest")
        (message,) = await client.messages(1)
        assert (message["content"], message["headers"]) == (["checked", "good"], {"x": "y", "by": "ann"})
