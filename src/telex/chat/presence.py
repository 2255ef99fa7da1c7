"""The people in each room. Time is an argument; this module publishes nothing."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256

import msgspec

from telex.chat.words import looks
from telex.gateway import Refused


class Person(msgspec.Struct, frozen=True):
    """A person in a room, as the page shows the person."""

    name: str
    connections: int


class PresenceChange(msgspec.Struct, frozen=True):
    """The content of a presence message: the ``name`` that ``joined`` or ``left``, and the people in the room now.

    The event ``changed``, without a name, repeats the people, where several servers serve the room.
    """

    event: str
    name: str
    people: list[Person]


class Visitor(msgspec.Struct, frozen=True):
    """A person in a room, as one server tells the others. ``key`` is the hash of the secret of the browser."""

    name: str
    key: str
    connections: int


class _Member(msgspec.Struct):
    name: str
    key: str  # the hash of the secret of the browser
    connections: int = 0
    until: float | None = None  # the end of the grace period of a person without a connection


class _Room(msgspec.Struct):
    """The people in one room. Invariant: ``by_look`` has each member under all looks of the name."""

    members: dict[str, _Member] = {}  # msgspec copies it for each room
    by_look: dict[str, _Member] = {}

    def find(self, name: str) -> _Member | None:
        """Return the member whose name looks like this one."""
        return next((self.by_look[look] for look in looks(name) if look in self.by_look), None)

    def add(self, member: _Member) -> None:
        """Add a member."""
        self.members[member.name] = member
        self.by_look |= dict.fromkeys(looks(member.name), member)

    def visitors(self) -> list[Visitor]:
        """Return the members, as one server tells the others."""
        return [Visitor(member.name, member.key, member.connections) for member in self.members.values()]


class Presence:
    """The people in all rooms, by name. A person may have several connections, with the same key.

    A person without a connection stays for ``grace`` seconds, so that reloading a page publishes no notice. The people
    on other servers of the same rooms are those that these servers reported.
    """

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._rooms: dict[str, _Room] = {}
        self._reported: dict[str, dict[str, _Room]] = {}  # by server and room

    def enter(self, room: str, name: str, key: str) -> bool:
        """Add a connection of a person. Return true when the person was not in the room. Raises `Refused` when the name
        is taken, or looks like a taken name.
        """
        digest = sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        taken = [found for each in self._everywhere(room) if (found := each.find(name)) is not None]
        for other in taken:
            if not hmac.compare_digest(other.key, digest) or other.name != name:
                raise Refused("name_taken", f"{other.name} is in this room already; choose another name")
        there = self._rooms.setdefault(room, _Room())
        if name not in there.members:
            there.add(_Member(name, digest))
        member = there.members[name]
        member.connections += 1
        member.until = None
        return not taken

    def leave(self, room: str, name: str, now: float, *, at_once: bool = False) -> bool:
        """Remove a connection of a person. Return True when the person left this server's room."""
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
        """Return the people in a room on all servers, by name."""
        found: Counter[str] = Counter()
        for there in self._everywhere(room):
            for member in there.members.values():
                found[member.name] += member.connections
        return [Person(name, found[name]) for name in sorted(found, key=str.casefold)]

    def holds(self, room: str, name: str) -> bool:
        """Return True when a person in the room has this name, or one that looks like it."""
        return any(there.find(name) is not None for there in self._everywhere(room))

    def is_empty(self, room: str) -> bool:
        """Return True for a room without people, on all servers."""
        return next(self._everywhere(room), None) is None

    def visitors(self, room: str) -> list[Visitor]:
        """Return the people in a room on this server."""
        return self._rooms[room].visitors() if room in self._rooms else []

    def rooms(self) -> list[str]:
        """Return the rooms with people on this server."""
        return list(self._rooms)

    def report(self, server: str, rooms: Mapping[str, list[Visitor]], *, whole: bool) -> list[str]:
        """Set the people on another server: in all rooms, or in ``rooms`` only. Return the rooms where a person came or
        left.
        """
        reported = self._reported.setdefault(server, {})
        changed = []
        for room in {*rooms, *reported} if whole else set(rooms):
            visitors, before = rooms.get(room, []), reported.pop(room, None) or _Room()
            if visitors == before.visitors():
                there = before
            else:
                there = _Room()
                for each in visitors:
                    there.add(_Member(each.name, each.key, each.connections))
            if there.members:
                reported[room] = there
            if there.members.keys() != before.members.keys():
                changed.append(room)
        return changed

    def forget(self, server: str) -> list[tuple[str, str]]:
        """Remove the people on a server that ended; return the room and name of each who is on no other server."""
        gone = [(room, name) for room, there in self._reported.pop(server, {}).items() for name in there.members]
        return [(room, name) for room, name in gone if not self.has(room, name)]

    def has(self, room: str, name: str) -> bool:
        """Return True when a person with exactly this name is in the room, on any server."""
        return any(name in there.members for there in self._everywhere(room))

    def _everywhere(self, room: str) -> Iterator[_Room]:
        for rooms in (self._rooms, *self._reported.values()):
            if room in rooms:
                yield rooms[room]

    def _remove(self, room: str, name: str) -> None:
        there = self._rooms[room]
        member = there.members.pop(name)
        for look in looks(name):
            if there.by_look.get(look) is member:
                del there.by_look[look]
        if not there.members:
            del self._rooms[room]
