"""`TopicCatalogue`: what is known in this process of the topics of the schema; and the server's clock."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b, sha256
from time import monotonic, time
from typing import Any

import msgspec


class KnownTopic(msgspec.Struct):
    """A topic as far as the engine's events were called for it."""

    id: int
    name: str
    epoch: str
    uid: int
    first: int
    end: int
    """The number that the next message gets."""


def epoch_of(base: str, name: str, removed: int) -> str:
    """Return the epoch of a topic that was removed so often: as the function make_topic of the schema makes it."""
    return sha256(f"{base}\n{name}\n{removed}".encode()).digest()[:6].hex()


def uid_of(epoch: str, name: str) -> int:
    """Return the number of 74 bits from which the ids of a topic's messages count: the same in every process."""
    return int.from_bytes(blake2b(f"{epoch}\0{name}".encode(), digest_size=10).digest()) >> 6


class TopicCatalogue:
    """All topics by name and by id."""

    def __init__(self) -> None:
        self.by_name: dict[str, KnownTopic] = {}
        self.by_id: dict[int, KnownTopic] = {}
        self.epoch: str = ""
        self.removed: dict[str, int] = {}
        """The number of removals of topics."""
        self.last_id: int = 0
        """When all topics were read, no id was higher."""

    def learn(self, id: int, name: str, epoch: str) -> KnownTopic:
        """Note that there is a topic."""
        topic = self.by_id.get(id)
        if topic is None:
            topic = KnownTopic(id, name, epoch, uid_of(epoch, name), 1, 1)
            self.by_id[id] = self.by_name[name] = topic
        return topic

    def forget(self, id: int) -> None:
        """Note that a topic was removed."""
        topic = self.by_id.pop(id, None)
        if topic is not None and self.by_name.get(topic.name) is topic:
            del self.by_name[topic.name]

    def load(self, rows: Iterable[tuple[Any, ...]], removed: dict[str, int], before: Iterable[int]) -> list[str]:
        """Take in all topics (id, name, epoch, first, head). Returns the names of those that are gone, among the ids
        that were known ``before`` the server was asked.
        """
        found = {row[0]: row for row in rows}
        gone = [self.by_id[id] for id in before if id in self.by_id and id not in found]
        for topic in gone:
            self.forget(topic.id)
        for id, name, epoch, first, head in found.values():
            topic = self.learn(id, name, epoch)
            topic.first, topic.end = max(topic.first, first), max(topic.end, head + 1)
        self.removed = removed
        self.last_id = max(found, default=self.last_id)
        return [topic.name for topic in gone]

    def end(self, name: str) -> int:
        """Return the number that the next message of a topic gets."""
        topic = self.by_name.get(name)
        return 1 if topic is None else topic.end

    def identity(self, name: str) -> tuple[str, int]:
        """Return the epoch of a topic, and the number that its ids count from; of one that is not there yet, those
        that it will have.
        """
        topic = self.by_name.get(name)
        if topic is not None:
            return topic.epoch, topic.uid
        epoch = epoch_of(self.epoch, name, self.removed.get(name, 0))
        return epoch, uid_of(epoch, name)


class ServerClock:
    """The server's clock, as near as it is known from the answers of the server.

    It goes on with the monotonic clock of this machine, and is moved only when an answer shows that it was wrong.
    """

    def __init__(self) -> None:
        self._offset: float | None = None  # to the monotonic clock

    def now(self) -> float:
        """Return seconds since 1970."""
        return time() if self._offset is None else self._offset + monotonic()

    def answered(self, server: float, asked: float, answered: float) -> None:
        """Note that the server's clock was ``server`` at a moment between two of the monotonic clock."""
        low, high = server - answered, server - asked
        if self._offset is None:
            self._offset = (low + high) / 2
        else:
            self._offset = min(max(self._offset, low), high)
