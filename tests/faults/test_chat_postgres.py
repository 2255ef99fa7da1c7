"""Two chat servers on one PostgreSQL database are one chat room: messages, people, recovery, end of a server."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from telex.cli.client import Client
from telex.gateway import Refused
from telex.gateway.protocol import Call, Messages, Publish, Published, Result, Subscribe, Subscribed
from tests.support.postgres import server, url_of
from tests.support.server import ChatServer

pytestmark = pytest.mark.slow
KEYS = {name: f"the secret of {name}'s browser" for name in ("Ann", "Bob", "Cleo")}
WITHIN = 30.0
"""Seconds for each step on a loaded machine."""
ROOM, PRESENCE = "chatroom:lobby", "presence:lobby"


class Visitor:
    """A visitor with one connection to a chat server."""

    def __init__(self, stack: ExitStack, chat: ChatServer, name: str) -> None:
        self.client = stack.enter_context(Client(chat.gateway, WITHIN))
        self.entered = self.enter(name, KEYS[name])
        self.positions: dict[str, str] = {}
        self.waiting: list[Messages] = []

    def enter(self, name: str, key: str) -> dict[str, Any]:
        content = {"room": "lobby", "name": name, "key": key}
        entered: dict[str, Any] = self.client.request(Call("enter", content), Result).content
        return entered

    def subscribe(self, topic: str, since: str | int) -> None:
        self.positions[topic] = self.client.request(Subscribe(topic, since), Subscribed).position

    def say(self, text: str) -> None:
        self.client.request(Publish(ROOM, {"text": text}), Published)

    def next(self, topic: str) -> list[Any]:
        """Return the contents of the next frame of a topic."""
        while (frame := next((each for each in self.waiting if each.topic == topic), None)) is None:
            came = self.client.next(WITHIN)
            assert isinstance(came, Messages), came
            self.waiting.append(came)
        self.waiting.remove(frame)
        self.positions[topic] = frame.position
        return [message["content"] for message in frame.messages]

    def texts(self, count: int) -> list[str]:
        """Return the texts of the next messages in the room."""
        found: list[str] = []
        while len(found) < count:
            found += [content["text"] for content in self.next(ROOM)]
        return found

    def sees(self, *names: str) -> list[dict[str, Any]]:
        """Wait until these people are in the room; return the notices until then."""
        notices: list[dict[str, Any]] = []
        while not notices or [person["name"] for person in notices[-1]["people"]] != list(names):
            notices += self.next(PRESENCE)
        return notices

    def sees_leaving(self, name: str) -> list[dict[str, Any]]:
        """Wait until this person has left; return the notices until then."""
        notices: list[dict[str, Any]] = []
        while not any(notice["event"] == "left" and notice["name"] == name for notice in notices):
            notices += self.next(PRESENCE)
        return notices


@pytest.fixture(scope="module")
def conninfo() -> Iterator[str]:
    with server() as conninfo:
        yield conninfo


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def chats(conninfo: str, stack: ExitStack, request: pytest.FixtureRequest) -> tuple[ChatServer, ChatServer]:
    options = ("--url", url_of(conninfo, request.node.name[:40]), "--grace", "1s")
    return stack.enter_context(ChatServer(*options)), stack.enter_context(ChatServer(*options))


def test_two_servers_are_one_room(chats: tuple[ChatServer, ChatServer], stack: ExitStack) -> None:
    ann, bob = Visitor(stack, chats[0], "Ann"), Visitor(stack, chats[1], "Bob")
    assert [person["name"] for person in bob.entered["people"]] == ["Ann", "Bob"]
    for visitor in (ann, bob):
        visitor.subscribe(ROOM, 200)
        visitor.subscribe(PRESENCE, 16)
        visitor.sees("Ann", "Bob")
    ann.say("from the first")
    assert bob.texts(1) == ["from the first"]
    bob.say("from the second")
    assert bob.texts(1) == ["from the second"]
    assert ann.texts(2) == ["from the first", "from the second"]
    # A name is taken on all servers.
    with pytest.raises(Refused, match="Bob is in this room already"):
        ann.enter("Bob", "the secret of another browser")


def test_a_visitor_gets_what_it_missed_once_from_the_other_server(
    chats: tuple[ChatServer, ChatServer], stack: ExitStack
) -> None:
    bob = Visitor(stack, chats[1], "Bob")
    bob.subscribe(PRESENCE, bob.entered["position"])
    with ExitStack() as first:
        ann = Visitor(first, chats[0], "Ann")
        ann.subscribe(ROOM, 200)
        bob.say("one")
        assert ann.texts(1) == ["one"]
    bob.say("two")
    bob.say("three")
    again = Visitor(stack, chats[1], "Ann")
    again.subscribe(ROOM, ann.positions[ROOM])
    bob.say("four")
    assert again.texts(3) == ["two", "three", "four"]
    # Ann has not left meanwhile: her grace on the first server has ended when Cleo's has.
    with ExitStack() as short:
        Visitor(short, chats[0], "Cleo")
    notices = bob.sees_leaving("Cleo")
    assert [notice["name"] for notice in notices if notice["event"] == "left"] == ["Cleo"]
    assert [person["name"] for person in notices[-1]["people"]] == ["Ann", "Bob"]


def test_the_visitors_of_a_killed_server_leave(chats: tuple[ChatServer, ChatServer], stack: ExitStack) -> None:
    bob = Visitor(stack, chats[1], "Bob")
    bob.subscribe(PRESENCE, bob.entered["position"])
    Visitor(stack, chats[0], "Ann")
    bob.sees("Ann", "Bob")
    chats[0].kill()
    assert [person["name"] for person in bob.sees_leaving("Ann")[-1]["people"]] == ["Bob"]
    bob.enter("Bob", KEYS["Bob"])
    cleo = Visitor(stack, chats[1], "Cleo")
    assert [person["name"] for person in cleo.entered["people"]] == ["Bob", "Cleo"]
