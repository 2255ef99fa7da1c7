"""Two chat servers on one PostgreSQL database are one chat room: messages, people, recovery, end of a server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from telex.cli.client import Client
from telex.gateway import Refused
from telex.gateway.protocol import Call, Messages, Publish, Published, Result, Subscribe, Subscribed
from tests.support.postgres import server, url_of
from tests.support.server import ChatServer

pytestmark = pytest.mark.slow
KEYS = {name: f"the secret of {name}'s browser" for name in ("Ann", "Bob", "Cleo", "Dora")}
WITHIN = 30.0
"""Seconds for each step on a loaded machine."""


class Visitor:
    """A visitor with one connection to a chat server."""

    def __init__(self, stack: ExitStack, chat: ChatServer, room: str, name: str) -> None:
        connection = stack.enter_context(ExitStack())
        self.client = connection.enter_context(Client(chat.gateway, WITHIN))
        self.leave = connection.close
        self.room, self.presence = f"chatroom:{room}", f"presence:{room}"
        entered = self.enter(name, KEYS[name])
        self.entered = [person["name"] for person in entered["people"]]
        self.position: str = entered["position"]
        self.positions: dict[str, str] = {}
        self.waiting: list[Messages] = []

    def enter(self, name: str, key: str) -> dict[str, Any]:
        content = {"room": self.room.partition(":")[2], "name": name, "key": key}
        entered: dict[str, Any] = self.client.request(Call("enter", content), Result).content
        return entered

    def subscribe(self, topic: str, since: str | int) -> None:
        self.positions[topic] = self.client.request(Subscribe(topic, since), Subscribed).position

    def say(self, text: str) -> None:
        self.client.request(Publish(self.room, {"text": text}), Published)

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
            found += [content["text"] for content in self.next(self.room)]
        return found

    def sees(self, *names: str) -> list[dict[str, Any]]:
        """Wait until these people are in the room; return the notices until then."""
        notices: list[dict[str, Any]] = []
        while not notices or [person["name"] for person in notices[-1]["people"]] != list(names):
            notices += self.next(self.presence)
        return notices

    def sees_leaving(self, name: str) -> list[dict[str, Any]]:
        """Wait until this person has left; return the notices until then."""
        notices: list[dict[str, Any]] = []
        while not any(notice["event"] == "left" and notice["name"] == name for notice in notices):
            notices += self.next(self.presence)
        return notices


@pytest.fixture(scope="module")
def chats() -> Iterator[tuple[ChatServer, ChatServer]]:
    """Two servers for all tests of this file. Each test has a room of its own."""
    with server() as conninfo, ExitStack() as stack:
        options = ("--url", url_of(conninfo, "chat"), "--grace", "1s")
        yield stack.enter_context(ChatServer(*options)), stack.enter_context(ChatServer(*options))


Enter = Callable[[ChatServer, str], Visitor]


@pytest.fixture
def enter(request: pytest.FixtureRequest) -> Iterator[Enter]:
    """Let a visitor into the room of the test; its connection closes with the test."""
    room = request.node.name[5:35]
    with ExitStack() as stack:
        yield lambda chat, name: Visitor(stack, chat, room, name)


def test_two_servers_are_one_room(chats: tuple[ChatServer, ChatServer], enter: Enter) -> None:
    ann, bob = enter(chats[0], "Ann"), enter(chats[1], "Bob")
    assert bob.entered == ["Ann", "Bob"]
    for visitor in (ann, bob):
        visitor.subscribe(visitor.room, 200)
        visitor.subscribe(visitor.presence, 16)
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
    chats: tuple[ChatServer, ChatServer], enter: Enter
) -> None:
    bob = enter(chats[1], "Bob")
    bob.subscribe(bob.presence, bob.position)
    ann = enter(chats[0], "Ann")
    ann.subscribe(ann.room, 200)
    bob.say("one")
    assert ann.texts(1) == ["one"]
    ann.leave()
    bob.say("two")
    bob.say("three")
    again = enter(chats[1], "Ann")
    again.subscribe(again.room, ann.positions[ann.room])
    bob.say("four")
    assert again.texts(3) == ["two", "three", "four"]
    # Ann has not left meanwhile: her grace on the first server has ended when Cleo's has.
    enter(chats[0], "Cleo").leave()
    notices = bob.sees_leaving("Cleo")
    assert [notice["name"] for notice in notices if notice["event"] == "left"] == ["Cleo"]
    assert [person["name"] for person in notices[-1]["people"]] == ["Ann", "Bob"]


def test_a_visitor_of_a_killed_server_recovers_at_the_other_one(
    chats: tuple[ChatServer, ChatServer], enter: Enter
) -> None:
    """The last test of the file, since the first server does not come back."""
    bob, ann = enter(chats[1], "Bob"), enter(chats[0], "Ann")
    bob.subscribe(bob.presence, bob.position)
    enter(chats[0], "Cleo")
    bob.sees("Ann", "Bob", "Cleo")
    for visitor in (ann, bob):
        visitor.subscribe(visitor.room, 200)
    said: list[str] = []

    def say(visitor: Visitor) -> None:
        said.append(f"message {len(said)}")
        visitor.say(said[-1])

    for number in range(12):
        say(bob if number % 3 else ann)
    received = ann.texts(5)
    chats[0].kill()
    for _ in range(6):
        say(bob)
    again = enter(chats[1], "Ann")
    again.subscribe(again.room, ann.positions[ann.room])
    say(again)
    assert received + again.texts(len(said) - len(received)) == said, "nothing is lost, and nothing comes twice"
    assert bob.texts(len(said)) == said
    # Who does not come back leaves.
    assert [person["name"] for person in bob.sees_leaving("Cleo")[-1]["people"]] == ["Ann", "Bob"]
    bob.enter("Bob", KEYS["Bob"])
    assert enter(chats[1], "Dora").entered == ["Ann", "Bob", "Dora"]
