"""The chat room's side of the gateway: `Lobby` knows who is where, and a `Guest` is one connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import msgspec

import telex
from telex.chat.presence import Person, Presence, PresenceChange
from telex.chat.words import Said, clean_name, clean_room, clean_text
from telex.gateway import AccessRules, Authorizer, Peer, Refused

ROOMS = "chatroom"
PRESENCE = "presence"
MOST_ROOMS = 1000
LOOK_EVERY = 1.0
"""Seconds after which it is looked again which rooms there are, when there are too many."""
TRY_AGAIN = 1.0
"""Seconds after which what could not be told is told again."""
logger: logging.Logger = logging.getLogger("telex.chat")
RULES = AccessRules(publish=(">",), subscribe=(">",))
"""What programs on this machine may do. A page may do much less: `Guest` sees to it."""


class Enter(msgspec.Struct, frozen=True):
    """What a page says to enter: ``key`` is a secret of the browser's, so that a name stays with who has it."""

    room: str
    name: str
    key: str


class Entered(msgspec.Struct, frozen=True):
    """What it gets: the names as they are used, the two topics to follow, and who is there at a position of the
    second."""

    room: str
    name: str
    topic: str
    presence: str
    position: str
    people: list[Person]


class Lobby:
    """Everyone in every room of one hub. ``async with lobby.open():`` keeps the account of who left."""

    def __init__(self, hub: telex.Hub, grace: float, clock: Callable[[], float] | None = None) -> None:
        self.hub = hub
        self.presence: Presence = Presence(grace)
        self._clock = clock
        self._left = asyncio.Event()
        self._gone: list[tuple[str, str]] = []  # who has left, and the room was not told yet
        self._opening = asyncio.Lock()  # of the rooms: one is made or let go at a time
        self._rooms: set[str] = set()  # topics, as they were when it was looked last, and those made since
        self._looked = -inf

    def now(self) -> float:
        """The time that grace is counted by."""
        return asyncio.get_running_loop().time() if self._clock is None else self._clock()

    def welcome(self, rules: AccessRules, peer: Peer) -> Guest:
        """The guest of a new connection."""
        return Guest(rules, peer, self)

    async def enter(self, wish: Enter) -> Entered:
        """Somebody enters. Raises `Refused` when the name is taken, or there are too many rooms."""
        room, name = clean_room(wish.room), clean_name(wish.name)
        if not 16 <= len(wish.key) <= 128:
            raise Refused("bad_option", "a key is 16 to 128 characters that nobody can guess")
        topic = f"{ROOMS}:{room}"
        async with self._opening:
            await self._count(topic)
            self.hub.topic(topic, Said)
            new = self.presence.enter(room, name, wish.key)
        try:
            if new:
                await self._tell(room, "joined", name)
            presence = self._presence_topic(room)
            position = await presence.position()
        except BaseException:
            self.lose(room, name)
            raise
        return Entered(room, name, topic, presence.id, str(position), self.presence.people(room))

    async def leave(self, room: str, name: str) -> None:
        """Somebody says good-bye with one of their connections."""
        if self.presence.leave(room, name, self.now(), at_once=True):
            self._gone.append((room, name))
            self._left.set()  # `_watch` tries again, should this fail
            await self._tell_gone()

    def lose(self, room: str, name: str) -> None:
        """A connection of somebody's broke off."""
        self.presence.leave(room, name, self.now())
        self._left.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Tell of those who left, for as long as this is open."""
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            yield
            watch.cancel()

    async def _watch(self) -> None:
        failed = False
        while True:
            self._left.clear()
            due = self.presence.due()
            wait = TRY_AGAIN if failed or self._gone else None if due is None else max(0.0, due - self.now())
            try:
                async with asyncio.timeout(wait):
                    await self._left.wait()
            except TimeoutError:
                self._gone += self.presence.expire(self.now())
                failed = not await self._told_gone()

    async def _told_gone(self) -> bool:
        """Whether rooms were told who is gone. A disk that is full for a while delays that, and ends nothing."""
        try:
            await self._tell_gone()
        except Exception:  # the lobby goes on for everybody else
            logger.exception("rooms were not told who has left; that is tried again")
            return False
        return True

    async def _tell_gone(self) -> None:
        while self._gone:
            room, name = self._gone[0]
            await self._tell(room, "left", name)
            if self._gone and self._gone[0] == (room, name):
                del self._gone[0]
            await self._let_go(room)

    async def _count(self, topic: str) -> None:
        """Count a room. Raises `Refused` when there are too many; looking at all of them takes some milliseconds."""
        if topic in self._rooms:
            return
        now = self.now()
        if self._looked == -inf or (len(self._rooms) >= MOST_ROOMS and now >= self._looked + LOOK_EVERY):
            self._rooms, self._looked = set(await self.hub.topics(f"{ROOMS}:*")), now
        if topic not in self._rooms and len(self._rooms) >= MOST_ROOMS:
            raise Refused("limit", f"there are {MOST_ROOMS} rooms already; enter one of them")
        self._rooms.add(topic)

    async def _let_go(self, room: str) -> None:
        """Remove a room that nobody is in and in which nothing was said."""
        topic = f"{ROOMS}:{room}"
        async with self._opening:
            if self.presence.is_empty(room):
                said = (await self.hub.topic(topic, Said).position()).seq
                if not said and self.presence.is_empty(room):
                    await self.hub.remove(topic)
                    await self.hub.remove(f"{PRESENCE}:{room}")
                    self._rooms.discard(topic)

    async def _tell(self, room: str, event: str, name: str) -> None:
        await self._presence_topic(room).publish(PresenceChange(event, name, self.presence.people(room)))

    def _presence_topic(self, room: str) -> telex.Topic[PresenceChange]:
        return self.hub.topic(f"{PRESENCE}:{room}", PresenceChange)


class Guest(Authorizer):
    """One connection: a page that enters rooms, or a program on this machine that states its own name.

    What a page says is said in the name that it entered with, to the room that it entered.
    """

    def __init__(self, rules: AccessRules, peer: Peer, lobby: Lobby) -> None:
        super().__init__(rules, peer)
        self._lobby = lobby
        self._entered: Entered | None = None

    def publish(self, topic: str, content: object) -> object:
        """See `Authorizer.publish`: in a room, a `Said` with the name of who says it."""
        kind, _, room = topic.partition(":")
        if kind == PRESENCE:
            raise Refused("forbidden", "who is here is told by the server alone")
        if self.peer.origin is not None or self._entered is not None:
            if self._entered is None or topic != self._entered.topic:
                raise Refused("forbidden", "enter the room before you talk in it")
            return Said(self._entered.name, clean_text(_field(content, "text")))
        content = super().publish(topic, content)
        return self._program_says(room, content) if kind == ROOMS else content

    def headers(self, topic: str, headers: Mapping[str, str]) -> object:
        """See `Authorizer.headers`: what a page says has none."""
        if self.peer.origin is not None or self._entered is not None:
            raise Refused("bad_content", "what is said in a room has no headers")
        return headers

    def subscribe(self, topic: str) -> object:
        """See `Authorizer.subscribe`: a page follows the room that it has entered."""
        if self.peer.origin is None:
            return super().subscribe(topic)
        if not self.sees(topic):
            raise Refused("forbidden", "enter the room before you follow it")
        return None

    def sees(self, topic: str) -> object:
        """See `Authorizer.sees`: a page sees the room that it has entered, so that others are not told of it."""
        if self.peer.origin is None:
            return super().sees(topic)
        return self._entered is not None and topic in {self._entered.topic, self._entered.presence}

    async def call(self, name: str, content: object, *, key: str | None = None) -> object:
        """See `Authorizer.call`: ``enter`` and ``leave``."""
        if name == "enter":
            try:
                wish = msgspec.convert(content, Enter)
            except msgspec.ValidationError as error:
                raise Refused("bad_content", f"enter takes room, name and key: {error}") from None
            await self._leave()
            self._entered = await self._lobby.enter(wish)
            return self._entered
        if name == "leave":
            await self._leave()
            return None
        return await super().call(name, content, key=key)

    def gone(self) -> None:
        """See `Authorizer.gone`."""
        if self._entered is not None:
            self._lobby.lose(self._entered.room, self._entered.name)

    async def _leave(self) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            await self._lobby.leave(entered.room, entered.name)

    def _program_says(self, room: str, content: object) -> Said:
        if clean_room(room) != room:
            raise Refused("bad_name", f"the room is called {clean_room(room)!r}")
        if isinstance(content, str):
            content = {"name": "telex pub", "text": content}
        said = Said(clean_name(_field(content, "name")), clean_text(_field(content, "text")))
        if self._lobby.presence.holds(room, said.name):
            raise Refused("name_taken", f"{said.name} is in this room; speak in another name")
        return said


def _field(content: Any, name: str) -> object:
    if not isinstance(content, dict) or name not in content:
        raise Refused("bad_content", f'what is said in a room has a {name}: {{"name": "Ann", "text": "hello"}}')
    return content[name]
