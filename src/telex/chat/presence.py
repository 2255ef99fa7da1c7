"""Who is in which room. Pure: time is an argument, and nothing is told to anybody from here."""

from __future__ import annotations

import hmac

import msgspec

from telex.chat.words import fold
from telex.gateway import Refused


class Person(msgspec.Struct, frozen=True):
    """Somebody in a room, as others are told."""

    name: str
    connections: int


class Change(msgspec.Struct, frozen=True):
    """The content of a message on a room's presence topic: who ``joined`` or ``left``, and who is there now."""

    event: str
    name: str
    people: list[Person]


class _Member(msgspec.Struct):
    name: str
    key: str
    connections: int = 0
    until: float | None = None  # when somebody without a connection is taken as gone


class Presence:
    """Rooms, and the people in them by name. Somebody may have several connections, with one key.

    A person whose last connection is gone stays for ``grace`` seconds, so that a reload is not a coming and going.
    """

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._rooms: dict[str, dict[str, _Member]] = {}

    def enter(self, room: str, name: str, key: str) -> bool:
        """One more connection of a person; True when the person was not there. Raises `Refused` when the name is
        taken."""
        members = self._rooms.setdefault(room, {})
        member = members.get(fold(name))
        new = member is None
        if member is None:
            member = members[fold(name)] = _Member(name, key)
        elif not hmac.compare_digest(member.key.encode(), key.encode()) or member.name != name:
            raise Refused("name_taken", f"{member.name} is in this room already; choose another name")
        member.connections += 1
        member.until = None
        return new

    def leave(self, room: str, name: str, now: float, *, at_once: bool = False) -> bool:
        """One connection less; True when the person is gone with it."""
        member = self._rooms[room][fold(name)]
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
        times = [m.until for members in self._rooms.values() for m in members.values() if m.until is not None]
        return min(times, default=None)

    def expire(self, now: float) -> list[tuple[str, str]]:
        """Take as gone whose time is up: room and name of each."""
        gone = [
            (room, member.name)
            for room, members in self._rooms.items()
            for member in members.values()
            if member.until is not None and member.until <= now
        ]
        for room, name in gone:
            self._remove(room, name)
        return gone

    def people(self, room: str) -> list[Person]:
        """Who is in a room, by name."""
        members = sorted(self._rooms.get(room, {}).items())
        return [Person(member.name, member.connections) for _, member in members]

    def holds(self, room: str, name: str) -> bool:
        """Whether somebody in the room has that name."""
        return fold(name) in self._rooms.get(room, {})

    def _remove(self, room: str, name: str) -> None:
        del self._rooms[room][fold(name)]
        if not self._rooms[room]:
            del self._rooms[room]
