"""The chat room as a page and as a program see it, without sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

import telex
from telex.chat import create_app
from telex.chat.page import load
from telex.chat.presence import PresenceChange
from tests.support.loops import until
from tests.support.websocket import PAGE, WebSocketClient

ANN = "the secret of ann's browser"
BOB = "the secret of bob's browser"
load()  # reads files, which no test may do on the event loop


@asynccontextmanager
async def chat(grace: float = 60.0) -> AsyncIterator[Starlette]:
    app = create_app("memory://", grace=grace)
    async with app.router.lifespan_context(app):
        yield app


async def enter(client: WebSocketClient, name: str, key: str, room: str = "lobby") -> dict[str, Any]:
    answer = await client.ask("call", name="enter", content={"room": room, "name": name, "key": key})
    assert answer["op"] == "result", answer
    entered: dict[str, Any] = answer["content"]
    return entered


async def test_two_talk_and_a_third_sees_what_was_said() -> None:
    async with chat() as app, WebSocketClient(app, PAGE) as ann, WebSocketClient(app, PAGE) as bob:
        room = (await enter(ann, " Ann ", ANN, "#Lobby"))["topic"]
        assert room == "chatroom:lobby"
        await enter(bob, "Bob", BOB)
        await ann.ask("subscribe", topic=room, since=200)
        await bob.ask("publish", topic=room, content={"text": "hello", "name": "Ann"}, id="one")
        (message,) = await ann.messages(1)
        # The name is the server's word, whatever the page says.
        assert message["content"] == {"name": "Bob", "text": "hello"}
        assert message["id"] == "one"
        async with WebSocketClient(app, PAGE) as third:
            await enter(third, "Cleo", "the secret of cleo's browser")
            await third.ask("subscribe", topic=room, since=200)
            assert [m["content"]["text"] for m in await third.messages(1)] == ["hello"]


async def test_a_page_does_nothing_before_it_has_entered() -> None:
    async with chat() as app, WebSocketClient(app, PAGE) as page:
        for op, fields in (
            ("publish", {"topic": "chatroom:lobby", "content": {"name": "Ann", "text": "x"}}),
            ("publish", {"topic": "presence:lobby", "content": {}}),
            ("publish", {"topic": "orders", "content": 1}),
            ("subscribe", {"topic": "chatroom:lobby"}),
            ("subscribe", {"topic": "chatroom:*"}),
            ("subscribe", {"topic": ">"}),
        ):
            assert (await page.ask(op, **fields))["code"] == "forbidden", (op, fields)
        await enter(page, "Ann", ANN)
        for topic in ("chatroom:garden", "orders", "presence:lobby"):
            answer = await page.ask("publish", topic=topic, content={"text": "x"})
            assert answer["code"] == "forbidden", topic
        assert (await page.ask("subscribe", topic="chatroom:garden"))["code"] == "forbidden"
        assert (await page.ask("topics"))["topics"] == ["chatroom:lobby", "presence:lobby"]


@pytest.mark.parametrize(
    "content", [None, "x", [], {}, {"name": "x"}, {"text": ""}, {"text": 1}, {"text": "x" * 2001}, {"text": "\u202e"}]
)
async def test_what_cannot_be_said(content: object) -> None:
    async with chat() as app, WebSocketClient(app, PAGE) as page:
        await enter(page, "Ann", ANN)
        answer = await page.ask("publish", topic="chatroom:lobby", content=content)
        assert answer["code"] == "bad_content"


async def test_a_name_that_is_there_is_taken() -> None:
    async with chat() as app, WebSocketClient(app, PAGE) as ann, WebSocketClient(app, PAGE) as other:
        await enter(ann, "Ann", ANN)
        wish = {"room": "lobby", "name": "ANN", "key": BOB}
        assert (await other.ask("call", name="enter", content=wish))["code"] == "name_taken"
        async with WebSocketClient(app) as program:
            said = {"name": "ann", "text": "not me"}
            assert (await program.ask("publish", topic="chatroom:lobby", content=said))["code"] == "name_taken"


@pytest.mark.parametrize("content", [None, {}, {"room": "a", "name": "b"}, {"room": 1, "name": "a", "key": ANN}])
async def test_who_cannot_enter(content: object) -> None:
    async with chat() as app, WebSocketClient(app, PAGE) as page:
        assert (await page.ask("call", name="enter", content=content))["code"] == "bad_content"
        short = {"room": "a", "name": "b", "key": "short"}
        assert (await page.ask("call", name="enter", content=short))["code"] == "bad_option"


async def test_who_is_there() -> None:
    async with chat(grace=0.01) as app, WebSocketClient(app, PAGE) as ann:
        entered = await enter(ann, "Ann", ANN)
        assert entered["people"] == [{"name": "Ann", "connections": 1}]
        await ann.ask("subscribe", topic=entered["presence"], since=entered["position"])
        async with WebSocketClient(app, PAGE) as bob:
            await enter(bob, "Bob", BOB)
            (came,) = await ann.messages(1)
            assert came["content"]["event"] == "joined"
            assert [person["name"] for person in came["content"]["people"]] == ["Ann", "Bob"]
        # The connection breaks off; after the grace that is told.
        (left,) = await ann.messages(1)
        assert left["content"] == {"event": "left", "name": "Bob", "people": [{"name": "Ann", "connections": 1}]}


async def test_saying_good_bye_needs_no_grace() -> None:
    async with chat(grace=3600) as app, WebSocketClient(app, PAGE) as ann, WebSocketClient(app, PAGE) as bob:
        entered = await enter(ann, "Ann", ANN)
        await enter(bob, "Bob", BOB)
        await ann.ask("subscribe", topic=entered["presence"])
        assert (await bob.ask("call", name="leave"))["op"] == "result"
        assert (await bob.ask("call", name="leave"))["op"] == "result"
        (left,) = await ann.messages(1)
        assert (left["content"]["event"], left["content"]["name"]) == ("left", "Bob")
        # Entering another room leaves this one.
        await enter(bob, "Bob", BOB)
        await enter(bob, "Bob", BOB, "garden")
        events = [m["content"]["event"] for m in await ann.messages(2)]
        assert events == ["joined", "left"]


async def test_who_has_left_a_room_reads_on_in_none() -> None:
    async with chat() as app, WebSocketClient(app, PAGE) as ann, WebSocketClient(app, PAGE) as bob:
        left = await enter(ann, "Ann", ANN)
        await enter(bob, "Bob", BOB)
        for leaving in ("leave", "another room"):
            for topic in (left["topic"], left["presence"]):
                await ann.ask("subscribe", topic=topic)
            if leaving == "leave":
                ref = ann.send("call", name="leave")
            else:
                ref = ann.send("call", name="enter", content={"room": "garden", "name": "Ann", "key": ANN})
            frames = [await ann.receive() for _ in range(3)]
            while frames[-1].get("ref") != ref:
                frames.append(await ann.receive())
            ended = {frame["topic"] for frame in frames if frame["op"] == "ended"}
            assert ended == {left["topic"], left["presence"]}
            await bob.ask("publish", topic=left["topic"], content={"text": "without Ann"})
            assert (await ann.ask("ping"))["op"] == "pong"
            await enter(ann, "Ann", ANN)


async def test_a_room_is_let_go_when_nobody_is_in_it_and_nothing_was_said() -> None:
    async with chat(grace=0.01) as app, WebSocketClient(app, PAGE) as ann, WebSocketClient(app, PAGE) as bob:
        hub: telex.Hub = app.state.hub
        await enter(ann, "Ann", ANN, "quiet")
        await enter(bob, "Bob", BOB, "quiet")
        await enter(ann, "Ann", ANN, "loud")  # Bob is still in the quiet one
        assert set(await hub.topics()) == {"chatroom:quiet", "presence:quiet", "chatroom:loud", "presence:loud"}
        await ann.ask("publish", topic="chatroom:loud", content={"text": "x"})
        await enter(bob, "Bob", BOB, "other")
        await ann.ask("call", name="leave")
        assert set(await hub.topics()) == {"chatroom:loud", "presence:loud", "chatroom:other", "presence:other"}
        async with WebSocketClient(app, PAGE) as lost:
            await enter(lost, "Lost", "the secret of who is lost", "gone")

        async def is_gone() -> bool:
            return "chatroom:gone" not in await hub.topics()

        await until(is_gone, 10)


@pytest.mark.slow
async def test_a_disk_that_is_full_for_a_while_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused = asyncio.Event()

    async def full(topic: object, content: PresenceChange) -> None:
        if content.event == "left":
            refused.set()
        raise telex.EngineFailed("publishing", "the disk is full")

    async with chat(grace=0.01) as app, WebSocketClient(app, PAGE) as ann:
        entered = await enter(ann, "Ann", ANN)
        await ann.ask("subscribe", topic=entered["presence"])
        bob = await WebSocketClient(app, PAGE).__aenter__()
        await enter(bob, "Bob", BOB)
        await ann.messages(1)
        with monkeypatch.context() as patch:
            patch.setattr(telex.Topic, "publish", full)
            await bob.__aexit__(None, None, None)
            wish = {"room": "lobby", "name": "Cleo", "key": BOB}
            async with WebSocketClient(app, PAGE) as cleo:
                assert (await cleo.ask("call", name="enter", content=wish))["code"] == "unavailable"
            async with asyncio.timeout(10):
                await refused.wait()
        assert "trying again" in caplog.text
        assert {m["content"]["name"] for m in await ann.messages(2)} == {"Bob", "Cleo"}
        assert (await ann.ask("publish", topic=entered["topic"], content={"text": "on it goes"}))["op"] == "published"


async def test_a_page_publishes_no_headers() -> None:
    async with chat() as app, WebSocketClient(app, PAGE) as page:
        await enter(page, "Ann", ANN)
        fields = {"topic": "chatroom:lobby", "content": {"text": "x"}}
        assert (await page.ask("publish", headers={"h": "x"}, **fields))["code"] == "bad_content"
        assert (await page.ask("publish", headers={}, **fields))["op"] == "published"


async def test_programs_state_their_own_name() -> None:
    async with chat() as app, WebSocketClient(app) as program, WebSocketClient(app) as reader:
        await reader.ask("subscribe", topic="chatroom:*")
        await program.ask("publish", topic="chatroom:lobby", content={"name": "Clock", "text": "noon"})
        await program.ask("publish", topic="chatroom:lobby", content="bare text")
        said = [m["content"] for m in await reader.messages(2)]
        assert said == [{"name": "Clock", "text": "noon"}, {"name": "telex pub", "text": "bare text"}]
        assert (await program.ask("publish", topic="chatroom:Lobby", content="x"))["code"] == "bad_name"
        assert (await program.ask("publish", topic="presence:lobby", content="x"))["code"] == "forbidden"
        assert (await program.ask("publish", topic="orders", content={"a": 1}))["seq"] == 1


async def test_the_page_and_its_parts() -> None:
    async with chat() as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            page = await client.get("/")
            assert page.status_code == 200
            policy = page.headers["content-security-policy"]
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert page.headers["x-content-type-options"] == "nosniff"
            for name in load():
                part = await client.get(f"/static/{name}")
                assert part.status_code == 200, name
                assert part.headers["content-security-policy"] == policy
                again = await client.get(f"/static/{name}", headers={"If-None-Match": part.headers["etag"]})
                assert again.status_code == 304
            for missing in ("/static/no.js", "/static/../app.py", "/static/%2e%2e%2fapp.py", "/other"):
                assert (await client.get(missing)).status_code == 404
        async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
            refused = await client.get("/")
            assert refused.status_code == 421
            assert "--allow-host" in refused.text


def test_the_page_runs_nothing_inline_and_nothing_from_elsewhere() -> None:
    for name, asset in load().items():
        text = asset.body.decode()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", 'onclick="'):
            assert word not in text, f"{word} in {name}"
        assert "//cdn" not in text
        assert "@import" not in text
