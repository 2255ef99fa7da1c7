"""`Catalogue`: the topics and retention rules of the file, as far as this process knows them."""

from __future__ import annotations

from typing import Any

import msgspec

from telex.engines.sqlite.ledger import epoch_of, uid_of
from telex.engines.sqlite.retention import RetentionRules


class Head(msgspec.Struct):
    """A topic, as of the last message that was delivered to the hub."""

    id: int
    name: str
    epoch: str
    uid: int
    end: int
    """The number after the last message that was delivered, or passed over since nobody follows the topic."""
    first: int
    seen: int = 1
    """The end of the topic in the file, where it was looked at."""


class Catalogue:
    """The topics and rules of the file, used in the event loop."""

    def __init__(self) -> None:
        self.by_name: dict[str, Head] = {}
        self.by_id: dict[int, Head] = {}
        self.epoch: str = ""
        """The epoch of the file, from which the epochs of topics are made."""
        self.removals: dict[str, int] = {}
        """The number of removals, by the name of the topic."""
        self.rules: RetentionRules = RetentionRules()

    def learn(self, id: int, name: str, epoch: str, uid: int) -> Head:
        """Return the `Head` of a topic of the file; add it if it is new here."""
        head = self.by_id.get(id)
        if head is None:
            self.by_id[id] = self.by_name[name] = head = Head(id, name, epoch, uid, 1, 1)
        return head

    def drop_others(self, ids: set[int]) -> list[str]:
        """Drop the topics whose ids are not in ``ids``. Return their names."""
        gone = [head for head in self.by_id.values() if head.id not in ids]
        for head in gone:
            self.forget(head.id)
        return [head.name for head in gone]

    def load(self, topics: list[tuple[Any, ...]], *, first: bool) -> None:
        """Add the rows of all topics of the file. ``first``: the file was opened after their messages."""
        for id, name, epoch, uid, end, kept in topics:
            head = self.learn(id, name, epoch, int(uid))
            head.first, head.seen = max(head.first, kept), max(head.seen, end)
            if first:
                head.end = max(head.end, end)

    def forget(self, id: int) -> None:
        """Drop a topic that was removed."""
        head = self.by_id.pop(id, None)
        if head is not None and self.by_name.get(head.name) is head:
            del self.by_name[head.name]

    def remove(self, id: int, name: str) -> bool:
        """Drop a topic that this process has removed. The next topic of its name has another epoch. Return true when it
        was known here.
        """
        known = id in self.by_id
        self.forget(id)
        self.removals[name] = self.removals.get(name, 0) + 1
        return known

    def identity(self, topic: str) -> tuple[str, int]:
        """Return the epoch of a topic and the number from which its ids count. For a topic that does not exist yet,
        return its future values.
        """
        head = self.by_name.get(topic)
        if head is not None:
            return head.epoch, head.uid
        epoch = epoch_of(self.epoch, topic, self.removals.get(topic, 0))
        return epoch, uid_of(epoch, topic)

    def end(self, topic: str) -> tuple[int, int]:
        """Return the first kept number, and the number of the next message."""
        head = self.by_name.get(topic)
        if head is None:
            return 1, 1
        kept, end = self.rules.of(topic).messages, max(head.end, head.seen)
        return (head.first if kept is None else max(head.first, end - kept)), end
