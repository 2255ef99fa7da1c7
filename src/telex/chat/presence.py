"""The people in each room. Time is an argument; this module publishes nothing."""

from __future__ import annotations

import hmac

import msgspec

from telex.chat.words import looks
from telex.gateway import Refused


class Person(msgspec.Struct, frozen=True):
    """A person in a room, as the page shows the person."""

    name: str
    connections: int


class PresenceChange(msgspec.Struct, frozen=True):
    """The content of a presence message: the ``name`` that ``joined`` or ``left``, and the people in the room now."""

    event: str
    name: str
    people: list[Person]


class _Member(msgspec.Struct):
    name: str
    key: str
    connections: int = 0
    until: float | None = None  # the end of the grace period of a person without a connection


class _Room(msgspec.Struct):
    """The people in one room. Invariant: ``by_look`` has each member under all looks of the name."""

    members: dict[str, _Member] = {}  # msgspec copies it for each room
    by_look: dict[str, _Member] = {}

    def find(self, name: str) -> _Member | None:
        """Return the member whose name looks like this one."""
        return next((self.by_look[look] for look in looks(name) if look in self.by_look), None)


class Presence:
    """The people in all rooms, by name. A person may have several connections, with the same key.

    A person without a connection stays for ``grace`` seconds, so that reloading a page publishes no notice.
    """

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._rooms: dict[str, _Room] = {}

    def enter(self, room: str, name: str, key: str) -> bool:
        """Add a connection of a person. Return true when the person was not in the room. Raises `Refused` when the name
        is taken, or looks like a taken name.
        """
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
        """Remove a connection of a person. Return True when the person left the room."""
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
        """Return the next end of a grace period, or None."""
        times = [m.until for there in self._rooms.values() for m in there.members.values() if m.until is not None]
        return min(times, default=None)

    def expire(self, now: float) -> list[tuple[str, str]]:
        """Remove the people whose grace period is over; return the room and name of each."""
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
        """Return the people in a room, by name."""
        there = self._rooms.get(room)
        found = [] if there is None else sorted(there.members.values(), key=lambda member: member.name.casefold())
        return [Person(member.name, member.connections) for member in found]

    def holds(self, room: str, name: str) -> bool:
        """Return True when a person in the room has this name, or one that looks like it."""
        there = self._rooms.get(room)
        return there is not None and there.find(name) is not None

    def is_empty(self, room: str) -> bool:
        """Return True for a room without people."""
        return room not in self._rooms

    def _remove(self, room: str, name: str) -> None:
        there = self._rooms[room]
        member = there.members.pop(name)
        for look in looks(name):
            if there.by_look.get(look) is member:
                del there.by_look[look]
        if not there.members:
            del self._rooms[room]
