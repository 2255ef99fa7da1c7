"""`TopicCatalogue`: the topics of the schema, as far as this process knows; `ServerClock`: the server's clock."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b, sha256
from time import monotonic, time
from typing import Any

import msgspec


class KnownTopic(msgspec.Struct):
    """A topic, as of the last message that was delivered to the hub."""

    id: int
    name: str
    epoch: str
    uid: int
    first: int
    end: int
    """The number after the last message that was delivered, or passed over since nobody follows the topic."""
    seen: int = 1
    """The end of the topic on the server, where it was looked at."""


def epoch_of(base: str, name: str, removed: int) -> str:
    """Return the epoch of a topic after ``removed`` removals, as the schema's function make_topic computes it."""
    return sha256(f"{base}\n{name}\n{removed}".encode()).digest()[:6].hex()


def uid_of(epoch: str, name: str) -> int:
    """Return the number of 74 bits from which the ids of a topic's messages count: the same in every process."""
    return int.from_bytes(blake2b(f"{epoch}\0{name}".encode(), digest_size=10).digest()) >> 6


class TopicCatalogue:
    """The known topics, by name and by id."""

    def __init__(self) -> None:
        self.by_name: dict[str, KnownTopic] = {}
        self.by_id: dict[int, KnownTopic] = {}
        self.epoch: str = ""
        self.removed: dict[str, int] = {}
        """The numbers of removals, by topic."""
        self.last_id: int = 0
        """The highest id when all topics were read."""

    def learn(self, id: int, name: str, epoch: str) -> KnownTopic:
        """Add a topic."""
        topic = self.by_id.get(id)
        if topic is None:
            topic = KnownTopic(id, name, epoch, uid_of(epoch, name), 1, 1)
            self.by_id[id] = self.by_name[name] = topic
        return topic

    def forget(self, id: int) -> None:
        """Drop a topic that was removed."""
        topic = self.by_id.pop(id, None)
        if topic is not None and self.by_name.get(topic.name) is topic:
            del self.by_name[topic.name]

    def load(
        self, rows: Iterable[tuple[Any, ...]], removed: dict[str, int], before: Iterable[int], *, first: bool
    ) -> list[str]:
        """Set all topics (id, name, epoch, first, head). Return the names of the topics that are gone, among the ids
        that were known ``before`` the query. ``first``: their messages were published before the engine was opened.
        """
        found = {row[0]: row for row in rows}
        gone = [self.by_id[id] for id in before if id in self.by_id and id not in found]
        for topic in gone:
            self.forget(topic.id)
        for id, name, epoch, kept, head in found.values():
            topic = self.learn(id, name, epoch)
            topic.first, topic.seen = max(topic.first, kept), max(topic.seen, head + 1)
            if first:
                topic.end = topic.seen
        self.removed = removed
        self.last_id = max(found, default=self.last_id)
        return [topic.name for topic in gone]

    def end(self, name: str) -> int:
        """Return the number of the next message of a topic that is delivered."""
        topic = self.by_name.get(name)
        return 1 if topic is None else topic.end

    def identity(self, name: str) -> tuple[str, int]:
        """Return the epoch of a topic, and the number from which its ids count. For a topic that does not exist yet,
        return its future values.
        """
        topic = self.by_name.get(name)
        if topic is not None:
            return topic.epoch, topic.uid
        epoch = epoch_of(self.epoch, name, self.removed.get(name, 0))
        return epoch, uid_of(epoch, name)


class ServerClock:
    """The server's clock, estimated from the answers of the server.

    It continues with the monotonic clock of this machine, and is changed only when an answer shows that it was wrong.
    """

    def __init__(self) -> None:
        self._offset: float | None = None  # to the monotonic clock

    def now(self) -> float:
        """Return seconds since 1970."""
        return time() if self._offset is None else self._offset + monotonic()

    def answered(self, server: float, asked: float, answered: float) -> None:
        """Adjust the clock: it was ``server`` at some time between ``asked`` and ``answered`` of the monotonic
        clock.
        """
        low, high = server - answered, server - asked
        if self._offset is None:
            self._offset = (low + high) / 2
        else:
            self._offset = min(max(self._offset, low), high)
