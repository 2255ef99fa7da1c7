"""The handshake: whom an application lets in, where the gateway answers, and what a peer shows."""

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import telex
from telex.gateway import AccessRules, Authorizer, CloseCode, Gateway, Limits, Peer, Refused
from tests.support.websocket import PROGRAM, WebSocketClient

OPEN = AccessRules(publish=(">",), subscribe=(">",))


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


async def test_a_peer_shows_its_path_and_query_string() -> None:
    peers: list[Peer] = []

    def note(rules: AccessRules, peer: Peer) -> Authorizer:
        peers.append(peer)
        return Authorizer(rules, peer)

    async with telex.Hub() as hub:
        app = Starlette(routes=[Mount("/rooms", Gateway(hub, authorizer=note))])
        async with WebSocketClient(app, path="/rooms/7", query=b"token=a%20b&x=1"):
            pass
    assert (peers[0].path, peers[0].query_string) == ("/rooms/7", "token=a%20b&x=1")


@pytest.mark.parametrize("path", ["/ws", "/ws/", "/ws/deep"])
async def test_a_gateway_that_is_mounted_answers_at_the_path_of_the_mount(path: str) -> None:
    async with telex.Hub() as hub:
        app = Starlette()
        app.mount("/ws", Gateway(hub, rules=OPEN))
        async with WebSocketClient(app, path=path) as client:
            assert (await client.receive())["op"] == "hello"
        for elsewhere in ("/wsx", "/", "/w"):
            async with WebSocketClient(app, path=elsewhere) as client:
                assert not client.accepted


async def test_another_app_that_is_mounted_answers_where_it_did() -> None:
    async with telex.Hub() as hub:
        Gateway(hub)
        app = Starlette()
        app.mount("/sub", Starlette())
        async with WebSocketClient(app, path="/sub") as client:
            assert not client.accepted


async def test_headers_decide_with_the_first_of_two() -> None:
    async with telex.Hub() as hub:
        gateway = Gateway(hub, rules=OPEN)
        async with WebSocketClient(gateway, PROGRAM, more=[(b"Origin", b"https://evil.example")]) as client:
            assert not client.accepted
