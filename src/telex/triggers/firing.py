"""`Firing`: what a trigger publishes."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import msgspec


class Firing(msgspec.Struct, frozen=True, gc=False):
    """What a trigger publishes: its name, the instant for which it was meant, and which of its firings it is, the first
    being 1. ``key`` is for whom it fired, when its condition is one for each key.
    """

    # gc=False: nothing that it holds can lead back to it, and so neither it nor its message is looked at by the
    # collector, of which a busy scheduler makes many.

    trigger: str
    scheduled: datetime
    number: int
    key: str | None = None

    @property
    def _message_id(self) -> str:
        """The id of its message: the same in every process."""
        id = f"{self.trigger}@{self.scheduled.isoformat()}"
        key = self.key
        if key is None:
            return id
        plain = len(key) <= 64 and key.isascii() and key.isprintable() and " " not in key
        return f"{id}:{key if plain else sha256(key.encode(errors='surrogatepass')).hexdigest()}"


def moment(instant: float) -> datetime:
    """An instant as people write it."""
    return datetime.fromtimestamp(instant, UTC)


def firing_of(name: str, instant: float, number: int, key: str | None = None) -> tuple[Firing, str]:
    """What is published for an instant, and the id of that message."""
    firing = Firing(name, moment(instant), number, key)
    return firing, firing._message_id


def by_hand(name: str, instant: float, number: int) -> tuple[Firing, str]:
    """What is published by hand. Its id is its own, also when something is due at the same instant."""
    firing, id = firing_of(name, instant, number)
    return firing, f"{id}#{number}"
