"""`SendPlan`: when a command may begin, when it expires, and its priority."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

import msgspec

from telex.durations import Duration, due, seconds
from telex.errors import BadOption

Priority = Literal["high", "normal", "low"]
LEVELS: tuple[Priority, ...] = get_args(Priority)
"""The priorities, the first to begin first."""
REQUESTS: dict[Priority, str] = {"high": "high", "normal": "request", "low": "low"}
"""The last token of the topic of the commands of each priority."""

_LEVEL_OF: dict[str, Priority] = {token: level for level, token in REQUESTS.items()}


def priority_of(topic: str) -> Priority:
    """Return the priority of the commands of a topic."""
    return _LEVEL_OF.get(topic.rpartition(":")[2], "normal")


class SendPlan(msgspec.Struct, frozen=True):
    """The options ``delay``, ``at``, ``expires`` and ``priority`` of `Hub.send`. ``due`` is in seconds since 1970, and
    ``expires`` in seconds after sending.
    """

    due: float | None
    expires: float | None
    priority: Priority


def plan_for(
    delay: Duration | None,
    at: datetime | None,
    expires: Duration | None,
    priority: Priority,
    limit: float | None,
    now: float,
) -> SendPlan | None:
    """Check the options, and return the plan; None when all have their defaults. ``limit`` is the timeout of the
    sender and ``now`` the time in seconds since 1970. Raises `BadOption`.
    """
    if priority not in LEVELS:
        raise BadOption("priority", priority, "it must be 'high', 'normal' or 'low'")
    begins = due(delay, at, now)
    lasts = None if expires is None else seconds(expires, "expires")
    if begins is None and lasts is None and priority == "normal":
        return None
    wait = 0.0 if begins is None else begins - now
    for option, value in (("expires", lasts), ("timeout", limit)):
        if value is not None and begins is not None and value <= wait:
            fix = f"it must be longer than the {wait:g} s until the command is due, since both count from sending"
            raise BadOption(option, value, fix)
    return SendPlan(begins, lasts, priority)
