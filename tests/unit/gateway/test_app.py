"""`Gateway`: whom it lets in, how many, and how it ends."""

import asyncio

import pytest

import telex
from telex.gateway import AccessRules, Authorizer, CloseCode, Gateway, Limits, Peer, Refused
from tests.support.websocket import PROGRAM, WebSocketClient


async def nobody(rules: AccessRules, peer: Peer) -> Authorizer:
    raise Refused("forbidden", "log in first")


class Nobody(Authorizer):
    def __init__(self, rules: AccessRules, peer: Peer) -> None:
        raise Refused("forbidden", "log in first")


@pytest.mark.parametrize("authorizer", [nobody, Nobody])
@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_an_application_refuses_at_the_handshake(
    authorizer: type[Authorizer], extensions: dict[str, object]
) -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, authorizer=authorizer)
        async with WebSocketClient(gateway, extensions=extensions) as client:
            assert not client.accepted
            # A server answers a close before the accept with 403, too.
            assert (client.status, client.body) == ((403, b"log in first\n") if extensions else (None, b""))
        assert gateway.statistics().refused == 1
        assert gateway.statistics().connections == 0


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), telex.BadName("secret", "secret")])
async def test_an_authorizer_that_cannot_be_made_is_a_fault_of_the_server(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(rules: AccessRules, peer: Peer) -> Authorizer:
        raise error

    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, authorizer=broken)) as client:
        assert await client.closed() == CloseCode.FAULT
    assert "a handshake of 127.0.0.1 failed" in caplog.text
    assert "secret" in caplog.text


async def test_an_authorizer_that_is_not_made_in_time_holds_a_place_until_then() -> None:
    made = asyncio.Event()

    async def slow(rules: AccessRules, peer: Peer) -> Authorizer:
        made.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with telex.Hub() as hub:
        gateway = Gateway(hub, authorizer=slow, limits=Limits(operation_timeout=0.05, connections=1))
        first = WebSocketClient(gateway)
        entering = asyncio.ensure_future(first.__aenter__())
        await made.wait()
        async with WebSocketClient(gateway) as second:
            assert await second.closed() == CloseCode.FULL
        await entering
        assert await first.closed() == CloseCode.FAULT
        await first.__aexit__(None, None, None)


async def test_an_authorizer_is_told_that_it_is_over_once() -> None:
    gone: list[str] = []

    class Noted(Authorizer):
        async def gone(self) -> None:
            await asyncio.sleep(0)
            gone.append(self.peer.path)
            raise ZeroDivisionError

    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, authorizer=Noted)) as client:
        await client.receive()
    assert gone == ["/ws"]


async def test_an_authorizer_is_told_when_the_handshake_cannot_be_answered() -> None:
    gone = asyncio.Event()

    class Noted(Authorizer):
        def gone(self) -> None:
            gone.set()

    async def send(message: object) -> None:
        raise OSError("the client has gone")

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async with telex.Hub() as hub:
        gateway = Gateway(hub, authorizer=Noted)
        await gateway(WebSocketClient(gateway).scope, receive, send)
        assert gone.is_set()
        assert gateway.statistics().refused == 1


OPEN = AccessRules(publish=(">",), subscribe=(">",))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9"])
async def test_another_page_is_not_let_in(origin: str) -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with WebSocketClient(gateway, {**PROGRAM, "origin": origin}) as client:
            assert not client.accepted
        assert gateway.statistics().refused == 1


async def test_a_client_of_another_machine_needs_an_origin() -> None:
    async with telex.Hub() as hub, WebSocketClient(Gateway(hub, rules=OPEN), address="192.168.1.7") as client:
        assert not client.accepted


async def test_a_full_gateway_says_come_back() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN, limits=Limits(connections=1))
        async with WebSocketClient(gateway), WebSocketClient(gateway) as second:
            assert await second.closed() == CloseCode.FULL
        async with WebSocketClient(gateway) as third:
            assert (await third.receive())["op"] == "hello"


async def test_closing_says_come_back_to_all_and_leaves_nothing() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with WebSocketClient(gateway) as first, WebSocketClient(gateway) as second:
            await first.ask("subscribe", topic="a", since="earliest")
            await gateway.aclose()
            assert await first.closed() == CloseCode.RESTART
            assert await second.closed() == CloseCode.RESTART
            assert hub.statistics().subscribers == 0
            async with WebSocketClient(gateway) as late:
                assert await late.closed() == CloseCode.RESTART


async def test_an_http_request_is_told_to_upgrade() -> None:
    import httpx

    async with telex.Hub() as hub:
        transport = httpx.ASGITransport(app=Gateway(hub))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/")
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
