"""`Firing`: what a trigger publishes."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from telex.errors import BadName


class Firing(msgspec.Struct, frozen=True, gc=False):
    """The message of a trigger: its name, the instant of the schedule, and the number of the firing, from 1. ``key`` is
    the key for which it fired, when its condition is one for each key.

    ``value`` is the value that made a condition true: the value of its variable, or the count of its rate, at least
    the number of the comparison. For a condition on several it is a dict, by the name of the variable and the pattern
    of the rate. Otherwise it is None. From a file it comes as plain data.
    """

    # gc=False: nothing that it holds leads back to it (a value is there before it), and so neither it nor its message
    # is looked at by the collector, of which a busy scheduler makes many.

    trigger: str
    scheduled: datetime
    number: int
    key: str | None = None
    value: Any = None

    @property
    def _message_id(self) -> str:
        """The id of its message: the same in every process."""
        id = f"{self.trigger}@{self.scheduled.isoformat()}"
        key = self.key
        if key is None:
            return id
        plain = len(key) <= 64 and key.isascii() and key.isprintable() and " " not in key
        return f"{id}:{key if plain else sha256(key.encode(errors='surrogatepass')).hexdigest()}"


MAX_NAME_LENGTH = 128
"""The largest number of characters of a trigger's name, with which ids of firings and names of groups begin."""


def check_name(name: str) -> str:
    """The name of a trigger, a topic id. Raises `BadName` when the ids of its firings could not begin with it."""
    if len(name) > MAX_NAME_LENGTH:
        raise BadName(
            name, f"a trigger has a name of at most {MAX_NAME_LENGTH} characters; give it another, name='...'"
        )
    if not name.isprintable():
        raise BadName(name, "a trigger has a name of printable characters; give it another, name='...'")
    return name


def moment(instant: float) -> datetime:
    """An instant as people write it."""
    return datetime.fromtimestamp(instant, UTC)


def firing_of(
    name: str, instant: float, number: int, key: str | None = None, value: object = None
) -> tuple[Firing, str]:
    """Return the firing for an instant, and the id of its message."""
    firing = Firing(name, moment(instant), number, key, value)
    return firing, firing._message_id


def by_hand(name: str, instant: float, number: int) -> tuple[Firing, str]:
    """Return a manual firing. Its id is unique, also when a firing is due at the same instant."""
    firing, id = firing_of(name, instant, number)
    return firing, f"{id}#{number}"
