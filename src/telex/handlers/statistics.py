"""`HandlerStatistics`: the counts of one handler."""

from __future__ import annotations

from typing import Literal

import msgspec

HandlerState = Literal["idle", "running", "stopped"]


class HandlerStatistics(msgspec.Struct, frozen=True):
    """The state of a handler on one pattern: the numbers of calls that returned and raised, and the counts of its
    subscription.
    """

    name: str
    pattern: str
    handled: int
    failed: int
    waiting: int
    """Messages that wait for a call; for a handler of a group, claimed messages that are not being handled yet."""
    lost: int
    group: str | None = None
    lag: int = 0
    """For a group: the number of messages that are not settled, when its consumer last asked."""
    retried: int = 0
    """The number of calls after which the message is retried."""
    dead: int = 0
    """The number of messages that became dead letters."""
    lapsed: int = 0
    """The number of calls whose lease was lost: they were cancelled, rolled back, or settled their message too late.
    """
    state: HandlerState = "idle"
    """``running`` while a call runs, ``idle`` while it waits for messages, ``stopped`` when it takes no more messages:
    its hub closes, its engine has failed, or it ended the program.
    """
    running: int = 0
    """The number of calls that run."""
    expired: int = 0
    """The number of messages that had expired, for which the handler was not called."""
    limited: int = 0
    """The number of claimed messages that wait for the limit of their key, beyond those in `waiting`."""
