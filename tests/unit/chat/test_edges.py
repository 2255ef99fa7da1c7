"""Edges of the chat room, one each; `tests/mutants/hand.py` names the bug that each finds."""

import asyncio
import socket
from contextlib import closing
from typing import Any

import pytest
import uvicorn

import telex
from telex.chat import server
from telex.chat.lobby import MAX_ROOMS, Enter, Lobby
from telex.chat.words import Said
from telex.errors import EngineFailed
from telex.gateway import Limits, Refused
from telex.testing.clock import VirtualClock
from tests.unit.chat.test_room import chat

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


async def test_a_room_keeps_its_last_1000_messages() -> None:
    async with chat() as app:
        room: telex.Topic[Said] = app.state.hub.topic("chatroom:lobby", Said)
        for number in range(1005):
            room.publish_nowait(Said("Ann", str(number)))
        assert [message.content.text async for message in room.history()] == [str(n) for n in range(5, 1005)]


def test_the_server_believes_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"])

    async def serve_one(serving: uvicorn.Server, listener: socket.socket) -> None:
        serving.config.load()
        headers = [(b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-proto", b"https")]
        scope: Any = {"type": "http", "client": ("127.0.0.1", 1), "headers": headers, "scheme": "http"}
        none: Any = None
        await serving.config.loaded_app(scope, none, none)

    monkeypatch.setattr(server, "run_server", serve_one)
    with closing(server.bind("127.0.0.1", 0)) as listener:
        server.serve(app, listener, Limits(), lambda: None)
    assert seen == [("127.0.0.1", 1)]


def test_a_listener_cuts_off_who_confirms_nothing() -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return  # not every system can do it
    with closing(server.bind("127.0.0.1", 0)) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == server.UNACKNOWLEDGED_MS


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
