"""Who is in which room. Pure: time is an argument, and nothing is told to anybody from here."""

from __future__ import annotations

import hmac

import msgspec

from telex.chat.words import looks
from telex.gateway import Refused


class Person(msgspec.Struct, frozen=True):
    """Somebody in a room, as others are told."""

    name: str
    connections: int


class PresenceChange(msgspec.Struct, frozen=True):
    """The content of a message on a room's presence topic: who ``joined`` or ``left``, and who is there now."""

    event: str
    name: str
    people: list[Person]


class _Member(msgspec.Struct):
    name: str
    key: str
    connections: int = 0
    until: float | None = None  # when somebody without a connection is taken as gone


class _Room(msgspec.Struct):
    """Invariant: ``by_look`` has each member under everything that the name looks like."""

    members: dict[str, _Member] = {}  # msgspec makes a new one for each
    by_look: dict[str, _Member] = {}

    def find(self, name: str) -> _Member | None:
        """Who has a name that looks like this one."""
        return next((self.by_look[look] for look in looks(name) if look in self.by_look), None)


class Presence:
    """Rooms, and the people in them by name. Somebody may have several connections, with one key.

    A person whose last connection is gone stays for ``grace`` seconds, so that a reload is not a coming and going.
    """

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._rooms: dict[str, _Room] = {}

    def enter(self, room: str, name: str, key: str) -> bool:
        """One more connection of a person; True when the person was not there. Raises `Refused` when the name is
        taken, or looks like one that is."""
        there = self._rooms.get(room) or _Room()
        member = there.find(name)
        new = member is None
        if member is None:
            member = there.members[name] = _Member(name, key)
            there.by_look |= dict.fromkeys(looks(name), member)
            self._rooms[room] = there
        elif not hmac.compare_digest(member.key.encode(), key.encode()) or member.name != name:
            raise Refused("name_taken", f"{member.name} is in this room already; choose another name")
        member.connections += 1
        member.until = None
        return new

    def leave(self, room: str, name: str, now: float, *, at_once: bool = False) -> bool:
        """One connection less; True when the person is gone with it."""
        member = self._rooms[room].members[name]
        member.connections -= 1
        if member.connections:
            return False
        if at_once:
            self._remove(room, name)
            return True
        member.until = now + self.grace
        return False

    def due(self) -> float | None:
        """When the next person without a connection is to be taken as gone."""
        times = [m.until for there in self._rooms.values() for m in there.members.values() if m.until is not None]
        return min(times, default=None)

    def expire(self, now: float) -> list[tuple[str, str]]:
        """Take as gone whose time is up: room and name of each."""
        gone = [
            (room, member.name)
            for room, there in self._rooms.items()
            for member in there.members.values()
            if member.until is not None and member.until <= now
        ]
        for room, name in gone:
            self._remove(room, name)
        return gone

    def people(self, room: str) -> list[Person]:
        """Who is in a room, by name."""
        there = self._rooms.get(room)
        found = [] if there is None else sorted(there.members.values(), key=lambda member: member.name.casefold())
        return [Person(member.name, member.connections) for member in found]

    def holds(self, room: str, name: str) -> bool:
        """Whether somebody in the room has that name, or one that looks like it."""
        there = self._rooms.get(room)
        return there is not None and there.find(name) is not None

    def is_empty(self, room: str) -> bool:
        """Whether nobody is in a room."""
        return room not in self._rooms

    def _remove(self, room: str, name: str) -> None:
        there = self._rooms[room]
        member = there.members.pop(name)
        for look in looks(name):
            if there.by_look.get(look) is member:
                del there.by_look[look]
        if not there.members:
            del self._rooms[room]
