"""The rooms of the chat as pages and programs see them, without sockets."""

import asyncio

import pytest

import telex
from telex.chat.lobby import MAX_ROOMS, Enter, Lobby
from telex.chat.presence import PresenceChange
from telex.chat.words import Said
from telex.errors import EngineFailed
from telex.gateway import Refused
from telex.testing.clock import VirtualClock
from tests.support.loops import until
from tests.support.websocket import PAGE, WebSocketClient
from tests.unit.chat.visitors import ANN, BOB, chat, enter


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
async def test_content_that_is_no_chat_message_is_refused(content: object) -> None:
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
async def test_entering_needs_a_room_a_name_and_a_long_key(content: object) -> None:
    async with chat() as app, WebSocketClient(app, PAGE) as page:
        assert (await page.ask("call", name="enter", content=content))["code"] == "bad_content"
        short = {"room": "a", "name": "b", "key": "short"}
        assert (await page.ask("call", name="enter", content=short))["code"] == "bad_option"


async def test_people_are_told_who_comes_and_who_leaves() -> None:
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


async def test_a_person_that_has_left_a_room_reads_no_more_of_it() -> None:
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


KEY = "the secret of ann's browser"


async def test_somebody_whose_entering_failed_is_not_in_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0

    async def fail(topic: object, content: object) -> None:
        raise EngineFailed("publishing", "the disk is full")

    async with telex.Hub() as hub:
        lobby = Lobby(hub, 60.0, clock=lambda: now)
        monkeypatch.setattr(telex.Topic, "publish", fail)
        with pytest.raises(EngineFailed):
            await lobby.enter(Enter("lobby", "Ann", KEY))
        monkeypatch.undo()
        assert lobby.presence.due() is not None, "it goes on its own, as somebody whose connection was lost"
        assert lobby.presence.expire(lobby.presence.due() or 0.0) == [("lobby", "Ann")]
        assert lobby.presence.people("lobby") == []
        entered = await lobby.enter(Enter("lobby", "Ann", "the secret of another ann"))
        assert [person.connections for person in entered.people] == [1]


async def test_rooms_are_bounded() -> None:
    async with telex.Hub() as hub:
        lobby = Lobby(hub, 60.0, clock=lambda: 0.0)
        for number in range(MAX_ROOMS - 1):
            hub.topic(f"chatroom:r{number}", Said).publish_nowait(Said("Bob", "hello"))
        assert (await lobby.enter(Enter("the last", "Ann", KEY))).room == "the-last"
        hub.topic("chatroom:the-last", Said).publish_nowait(Said("Ann", "hello"))
        with pytest.raises(Refused, match="rooms already"):
            await lobby.enter(Enter("one too many", "Ann", KEY))
        # A room that was refused leaves nothing.
        assert "presence:one-too-many" not in await hub.topics("presence:*")
        assert (await lobby.enter(Enter("r5", "Ann", KEY))).room == "r5"


def test_nobody_is_looked_for_when_nobody_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looks = VirtualClock(), list[float]()

    async def main() -> None:
        async with telex.Hub(clock=clock) as hub:
            lobby = Lobby(hub, 60.0, clock=clock)
            expire = lobby.presence.expire

            def counted(now: float) -> list[tuple[str, str]]:
                looks.append(now)
                return expire(now)

            monkeypatch.setattr(lobby.presence, "expire", counted)
            async with lobby.open():
                await lobby.enter(Enter("lobby", "Ann", KEY))
                lobby.lose("lobby", "Ann")
                await asyncio.sleep(3600)
                assert lobby.presence.people("lobby") == []

    begun = clock()
    clock.run(main())
    assert looks == [begun + 60.0]


async def test_people_who_leave_at_once_are_told_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = telex.Topic.publish

    async def slowly(topic: telex.Topic[object], content: object) -> object:
        await asyncio.sleep(0)
        return await publish(topic, content)

    async with (
        chat() as app,
        WebSocketClient(app, PAGE) as ann,
        WebSocketClient(app, PAGE) as bob,
        WebSocketClient(app, PAGE) as cleo,
    ):
        presence = (await enter(ann, "Ann", ANN))["presence"]
        await enter(bob, "Bob", BOB)
        await enter(cleo, "Cleo", "the secret of cleo's browser")
        monkeypatch.setattr(telex.Topic, "publish", slowly)
        await asyncio.gather(ann.ask("call", name="leave"), bob.ask("call", name="leave"))
        changes = [message.content async for message in app.state.hub.topic(presence).history()]
        assert sorted(change.name for change in changes if change.event == "left") == ["Ann", "Bob"]
