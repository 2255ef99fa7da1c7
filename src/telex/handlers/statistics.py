"""`HandlerStatistics`: the counts of one handler."""

from __future__ import annotations

from typing import Literal

import msgspec

HandlerState = Literal["idle", "running", "stopped"]


class HandlerStatistics(msgspec.Struct, frozen=True):
    """A handler on one pattern: how many calls returned and raised, and the counts of its subscription."""

    name: str
    pattern: str
    handled: int
    failed: int
    waiting: int
    """Messages that wait for it; of a handler of a group, messages that were claimed for it and are not begun."""
    lost: int
    group: str | None = None
    lag: int = 0
    """Of a group: messages that are published and not settled, when its consumer last looked."""
    retried: int = 0
    """Calls after which the message was to be tried again."""
    dead: int = 0
    """Messages that it dead-lettered."""
    lapsed: int = 0
    """Calls that were cancelled because their lease was lost."""
    state: HandlerState = "idle"
    """``running`` while a call runs, ``idle`` while it waits for messages, ``stopped`` when it takes none any more: its
    hub closes, its engine has failed, or it ended the program."""
