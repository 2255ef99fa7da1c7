"""`Firing`: the message that a trigger publishes."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from telex.errors import BadName


class Firing(msgspec.Struct, frozen=True, gc=False):
    """The content of a trigger's message: the trigger's name, the instant of the schedule, and the number of the
    firing, from 1. ``key`` is the key that fired, for a condition with ``by=``.

    ``value`` is the value that made a condition true: the value of its variable, or the count of its rate, at least the
    number of the comparison. For a condition on several of them, ``value`` is a dict by the name of the variable and
    the pattern of the rate. Otherwise it is None. From a file, the value is plain data.
    """

    # gc=False: a firing cannot be part of a reference cycle, and a busy scheduler makes many firings.

    trigger: str
    scheduled: datetime
    number: int
    key: str | None = None
    value: Any = None

    @property
    def _message_id(self) -> str:
        """Return the id of the firing's message, which is the same in every process."""
        id = f"{self.trigger}@{self.scheduled.isoformat()}"
        key = self.key
        if key is None:
            return id
        plain = len(key) <= 64 and key.isascii() and key.isprintable() and " " not in key
        return f"{id}:{key if plain else sha256(key.encode(errors='surrogatepass')).hexdigest()}"


MAX_NAME_LENGTH = 128
"""The largest number of characters of a trigger's name. Ids of firings and names of groups begin with the name."""


def check_name(name: str) -> str:
    """Return the name of a trigger, a topic id. Raises `BadName` for a name with which ids of firings cannot begin."""
    if len(name) > MAX_NAME_LENGTH:
        raise BadName(
            name, f"a trigger's name must have at most {MAX_NAME_LENGTH} characters; give another one, name='...'"
        )
    if not name.isprintable():
        raise BadName(name, "a trigger's name must be printable; give another one, name='...'")
    return name


def moment(instant: float) -> datetime:
    """Return an instant as an aware datetime in UTC."""
    return datetime.fromtimestamp(instant, UTC)


def firing_of(
    name: str, instant: float, number: int, key: str | None = None, value: object = None
) -> tuple[Firing, str]:
    """Return the firing for an instant, and the id of its message."""
    firing = Firing(name, moment(instant), number, key, value)
    return firing, firing._message_id


def by_hand(name: str, instant: float, number: int) -> tuple[Firing, str]:
    """Return a firing by hand, and an id that is unique even when a firing is due at the same instant."""
    firing, id = firing_of(name, instant, number)
    return firing, f"{id}#{number}"
