"""The rooms of the chat: `Lobby` has all people in all rooms, and a `Guest` is one connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import msgspec

import telex
from telex.chat.presence import Person, Presence, PresenceChange
from telex.chat.servers import SERVERS, Servers
from telex.chat.words import Said, clean_name, clean_room, clean_text
from telex.gateway import AccessRules, Authorizer, Peer, Refused

ROOMS = "chatroom"
PRESENCE = "presence"
MAX_ROOMS = 1000
REFRESH_SECONDS = 1.0
"""The shortest time between two listings of the rooms, while there are too many."""
RETRY_SECONDS = 1.0
"""The time until a notice that could not be published is published again."""
logger: logging.Logger = logging.getLogger("telex.chat")
RULES = AccessRules(publish=(">",), subscribe=(">",))
"""The permissions of programs on this machine. `Guest` gives pages fewer permissions."""


class Enter(msgspec.Struct, frozen=True):
    """The request of a page to enter a room. ``key`` is a secret of the browser, which reserves the name for it."""

    room: str
    name: str
    key: str


class Entered(msgspec.Struct, frozen=True):
    """The answer to `Enter`: the normalized names, the topics of the room and of its presence, and the people in the
    room at a position of the presence topic."""

    room: str
    name: str
    topic: str
    presence: str
    position: str
    people: list[Person]


class Lobby:
    """The people in all rooms of a hub. ``async with lobby.open():`` publishes the notices of people who left.

    With ``shared``, other servers may serve the same rooms on the same engine.
    """

    def __init__(
        self, hub: telex.Hub, grace: float, clock: Callable[[], float] | None = None, *, shared: bool = False
    ) -> None:
        self.hub = hub
        self.presence: Presence = Presence(grace)
        self._clock = clock
        self.retry_seconds: float = RETRY_SECONDS
        self._left = asyncio.Event()
        self._left_people: list[tuple[str, str]] = []  # room and name of people who left, until the notice is published
        self._publishing = asyncio.Lock()  # one notice of a person who left is published at a time
        self._servers = Servers(hub, self.presence, self.now, self._changed, self._gone) if shared else None
        self._opening = asyncio.Lock()  # one room is created or removed at a time
        self._rooms: set[str] = set()  # topics of the last listing, and those created since
        self._refreshed = -inf

    def now(self) -> float:
        """Return the time by which grace periods are measured."""
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()

    def welcome(self, rules: AccessRules, peer: Peer) -> Guest:
        """Return the guest of a new connection."""
        return Guest(rules, peer, self)

    async def enter(self, request: Enter) -> Entered:
        """Add a person to a room. Raises `Refused` when the name is taken, or there are too many rooms."""
        room, name = clean_room(request.room), clean_name(request.name)
        if not 16 <= len(request.key) <= 128:
            raise Refused("bad_option", "a key is 16 to 128 characters that nobody can guess")
        topic = f"{ROOMS}:{room}"
        async with self._opening:
            await self._count(topic)
            self.hub.topic(topic, Said)
            new = self.presence.enter(room, name, request.key)
        try:
            if self._servers is not None:
                await self._servers.tell(room)
            if new:
                await self._publish_change(room, "joined", name)
            presence = self._presence_topic(room)
            position = await presence.position()
        except BaseException:
            self.lose(room, name)
            raise
        return Entered(room, name, topic, presence.id, str(position), self.presence.people(room))

    async def leave(self, room: str, name: str) -> None:
        """Remove a connection of a person who leaves the room."""
        if self.presence.leave(room, name, self.now(), at_once=True):
            self._left_people.append((room, name))
            self._left.set()  # `_watch` tries again when this fails
            await self._publish_left()

    def lose(self, room: str, name: str) -> None:
        """Remove a lost connection of a person. The person stays for the grace period."""
        self.presence.leave(room, name, self.now())
        self._left.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Publish notices of people who left, inside of the block."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._watch())]
            if self._servers is not None:
                await self._servers.catch_up()
                tasks.append(group.create_task(self._servers.run()))
            yield
            for task in tasks:
                task.cancel()

    async def _changed(self, room: str) -> None:
        await self._publish_change(room, "changed", "")

    def _gone(self, people: Sequence[tuple[str, str]]) -> None:
        if people:
            self._left_people += people
            self._left.set()

    async def _watch(self) -> None:
        failed = False
        while True:
            self._left.clear()
            due = self.presence.due()
            wait = None if due is None else max(0.0, due - self.now())
            if failed or self._left_people:
                wait = self.retry_seconds
            try:
                async with asyncio.timeout(wait):
                    await self._left.wait()
            except TimeoutError:
                self._left_people += self.presence.expire(self.now())
                failed = not await self._try_to_publish_left()

    async def _try_to_publish_left(self) -> bool:
        """Publish the notices; return false on failure. A full disk delays the notices and ends nothing."""
        try:
            await self._publish_left()
        except Exception:  # the other rooms continue
            logger.exception("the notices of people who left were not published; trying again")
            return False
        return True

    async def _publish_left(self) -> None:
        async with self._publishing:
            while self._left_people:
                room, name = self._left_people[0]
                if self._servers is not None:
                    await self._servers.tell(room)
                if self._servers is None or not self.presence.has(room, name):
                    await self._publish_change(room, "left", name)
                del self._left_people[0]
                await self._remove_if_unused(room)

    async def _count(self, topic: str) -> None:
        """Count a room. Raises `Refused` when there are too many. A listing of all rooms takes some milliseconds."""
        if topic in self._rooms:
            return
        now = self.now()
        if self._refreshed == -inf or (len(self._rooms) >= MAX_ROOMS and now >= self._refreshed + REFRESH_SECONDS):
            self._rooms, self._refreshed = set(await self.hub.topics(f"{ROOMS}:*")), now
        if topic not in self._rooms and len(self._rooms) >= MAX_ROOMS:
            raise Refused("limit", f"there are {MAX_ROOMS} rooms already; enter one of them")
        self._rooms.add(topic)

    async def _remove_if_unused(self, room: str) -> None:
        """Remove a room without people and without messages."""
        topic = f"{ROOMS}:{room}"
        async with self._opening:
            if self.presence.is_empty(room):
                said = (await self.hub.topic(topic, Said).position()).seq
                if not said and self.presence.is_empty(room):
                    await self.hub.remove(topic)
                    await self.hub.remove(f"{PRESENCE}:{room}")
                    self._rooms.discard(topic)

    async def _publish_change(self, room: str, event: str, name: str) -> None:
        await self._presence_topic(room).publish(PresenceChange(event, name, self.presence.people(room)))

    def _presence_topic(self, room: str) -> telex.Topic[PresenceChange]:
        return self.hub.topic(f"{PRESENCE}:{room}", PresenceChange)


class Guest(Authorizer):
    """One connection: a page that enters rooms, or a program on this machine that chooses its name for each message.

    A page publishes only to the room that it has entered, and in the name that it entered with.
    """

    def __init__(self, rules: AccessRules, peer: Peer, lobby: Lobby) -> None:
        super().__init__(rules, peer)
        self._lobby = lobby
        self._entered: Entered | None = None

    def publish(self, topic: str, content: object) -> object:
        """Return the `Said` to publish in a room, with the name of the guest; see `Authorizer.publish`."""
        kind, _, room = topic.partition(":")
        if kind in {PRESENCE, SERVERS}:
            raise Refused("forbidden", "only the server publishes to this topic")
        if self.peer.origin is not None or self._entered is not None:
            if self._entered is None or topic != self._entered.topic:
                raise Refused("forbidden", "enter the room before you publish to it")
            return Said(self._entered.name, clean_text(_field(content, "text")))
        content = super().publish(topic, content)
        return self._said_by_program(room, content) if kind == ROOMS else content

    def headers(self, topic: str, headers: Mapping[str, str]) -> object:
        """Refuse headers in a message of a page; see `Authorizer.headers`."""
        if self.peer.origin is not None or self._entered is not None:
            raise Refused("bad_content", "messages in a room have no headers")
        return headers

    def subscribe(self, topic: str) -> object:
        """Let a page follow the room that it has entered; see `Authorizer.subscribe`."""
        if self.peer.origin is None:
            return super().subscribe(topic)
        if not self.sees(topic):
            raise Refused("forbidden", "enter the room before you follow it")
        return None

    def sees(self, topic: str) -> object:
        """Return true for the room that the page has entered; see `Authorizer.sees`."""
        if self.peer.origin is None:
            return super().sees(topic)
        return self._entered is not None and topic in {self._entered.topic, self._entered.presence}

    async def call(self, name: str, content: object, *, key: str | None = None) -> object:
        """Handle the calls ``enter`` and ``leave``; see `Authorizer.call`."""
        if name == "enter":
            try:
                request = msgspec.convert(content, Enter)
            except msgspec.ValidationError as error:
                raise Refused("bad_content", f"enter takes room, name and key: {error}") from None
            await self._leave()
            self._entered = await self._lobby.enter(request)
            return self._entered
        if name == "leave":
            await self._leave()
            return None
        return await super().call(name, content, key=key)

    def gone(self) -> None:
        """Remove the connection from its room; see `Authorizer.gone`."""
        if self._entered is not None:
            self._lobby.lose(self._entered.room, self._entered.name)

    async def _leave(self) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            await self._lobby.leave(entered.room, entered.name)

    def _said_by_program(self, room: str, content: object) -> Said:
        if clean_room(room) != room:
            raise Refused("bad_name", f"the name of the room is {clean_room(room)!r}")
        if isinstance(content, str):
            content = {"name": "telex pub", "text": content}
        said = Said(clean_name(_field(content, "name")), clean_text(_field(content, "text")))
        if self._lobby.presence.holds(room, said.name):
            raise Refused("name_taken", f"{said.name} is in this room; choose another name")
        return said


def _field(content: Any, name: str) -> object:
    if not isinstance(content, dict) or name not in content:
        raise Refused("bad_content", f'a message in a room has a {name}: {{"name": "Ann", "text": "hello"}}')
    return content[name]
