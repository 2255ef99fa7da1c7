"""`Firing`: what a trigger publishes."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
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


def moment(instant: float) -> datetime:
    """An instant as people write it."""
    return datetime.fromtimestamp(instant, UTC)


def firing_of(name: str, instant: float, number: int, key: str | None = None) -> tuple[Firing, str]:
    """What is published for an instant, and the id of that message: the same in every process."""
    when = moment(instant)
    micro = when.microsecond
    if micro and instant > 0:
        # What `isoformat` says, in half the time: the firings of a second have all but the fraction in common.
        id = f"{name}@{_second(int(instant))}.{micro:06d}+00:00"
    else:
        id = f"{name}@{when.isoformat()}"
    if key is not None:
        plain = len(key) <= 64 and key.isascii() and key.isprintable() and " " not in key
        id = f"{id}:{key if plain else sha256(key.encode(errors='surrogatepass')).hexdigest()}"
    return Firing(name, when, number, key), id


@lru_cache(maxsize=16)
def _second(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat()[:-6]  # without the offset


def by_hand(name: str, instant: float, number: int) -> tuple[Firing, str]:
    """What is published by hand. Its id is its own, also when something is due at the same instant."""
    firing, id = firing_of(name, instant, number)
    return firing, f"{id}#{number}"
