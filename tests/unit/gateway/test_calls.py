"""The frame ``call``: commands, and calls that an authorizer answers."""

import asyncio

import msgspec

import telex
from telex.gateway import AccessRules, Authorizer, Gateway, Limits
from tests.support.websocket import WebSocketClient

WIDE = Limits(rate=1e6, burst=10**6)


class Order(msgspec.Struct):
    number: int


def shop(hub: telex.Hub) -> None:
    @hub.command("shop:charge", once=True)
    async def charge(order: Order) -> dict[str, int]:
        return {"charged": order.number}

    @hub.command("shop:decline")
    async def decline() -> None:
        raise telex.CommandError("no money", code="declined", data={"limit": 1})

    @hub.command("shop:break")
    async def break_() -> None:
        raise RuntimeError("postgres://admin:secret@db")

    @hub.command("shop:odd")
    async def odd() -> object:
        return object()

    @hub.command("private")
    async def private() -> None: ...


CALLS: dict[str, tuple[dict[str, object], str]] = {
    "no such": ({"name": "nobody"}, "unknown_call"),
    "no rule": ({"name": "private"}, "unknown_call"),
    "not served": ({"name": "shop:nothing"}, "unknown_call"),
    "no key": ({"name": "shop:charge", "content": {"number": 1}}, "bad_option"),
    "a bad key": ({"name": "shop:charge", "content": {"number": 1}, "key": ""}, "bad_option"),
    "content": ({"name": "shop:charge", "content": {"number": "x"}, "key": "b"}, "bad_content"),
    "other content": ({"name": "shop:charge", "content": {"number": 8}, "key": "a"}, "key_conflict"),
    "fails": ({"name": "shop:decline"}, "command_failed"),
    "breaks": ({"name": "shop:break"}, "command_failed"),
    "no JSON": ({"name": "shop:odd"}, "failed"),
}


async def test_the_rules_for_calls_are_the_rules_for_commands() -> None:
    hub = telex.Hub()
    shop(hub)
    rules = AccessRules(call=("shop:*", "nobody"))
    async with hub, WebSocketClient(Gateway(hub, rules=rules, limits=WIDE)) as client:
        for _ in range(2):
            answer = await client.ask("call", name="shop:charge", content={"number": 7}, key="a")
            assert answer["content"] == {"charged": 7}
        for what, (fields, code) in CALLS.items():
            answer = await client.ask("call", **fields)
            assert (answer["op"], answer["code"]) == ("error", code), (what, answer)
            assert "secret" not in str(answer)
            if what == "fails":
                assert answer["problem"] == "no money"
                assert (answer["data"]["code"], answer["data"]["data"]) == ("declined", {"limit": 1})


async def test_an_authorizer_answers_calls_and_leaves_the_rest_to_the_commands() -> None:
    class Clerk(Authorizer):
        async def call(self, name: str, content: object, *, key: str | None = None) -> object:
            if name == "hello":
                return {"hub": self.hub is hub}
            return {"by command": await super().call(name, content, key=key)}

    hub = telex.Hub()
    shop(hub)
    async with hub, WebSocketClient(Gateway(hub, rules=AccessRules(call=("shop:*",)), authorizer=Clerk)) as client:
        assert (await client.ask("call", name="hello"))["content"] == {"hub": True}
        answer = await client.ask("call", name="shop:charge", content={"number": 7}, key="k")
        assert answer["content"] == {"by command": {"charged": 7}}


async def test_a_result_without_a_json_form_fails_alone() -> None:
    class Odd(Authorizer):
        async def call(self, name: str, content: object, *, key: str | None = None) -> object:
            return object()

    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, authorizer=Odd)) as client:
        assert (await client.ask("call", name="x"))["code"] == "failed"
        assert (await client.ask("ping"))["op"] == "pong"


async def test_a_call_has_the_time_of_a_command() -> None:
    class Slow(Authorizer):
        async def call(self, name: str, content: object, *, key: str | None = None) -> object:
            await asyncio.Event().wait()
            raise AssertionError

    limits = Limits(command_timeout=0.02)
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, authorizer=Slow, limits=limits)) as client:
        assert (await client.ask("call", name="x"))["code"] == "timeout"
