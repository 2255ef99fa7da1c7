"""The kernel: `State`, the result of loading and taking from a cursor. No asyncio, no clock, no I/O."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """The result of `Cursor.load`, and of a take when no message is ready."""

    READY = "a message waits in `current`"
    HOLE = "a Lost is reported first"
    EMPTY = "no message waits"
    ENDED = "no message waits, and none will"
    UNLOADED = "the next messages have to be read from the engine; see `Cursor.supply`"


READY, HOLE, EMPTY, ENDED, UNLOADED = State.READY, State.HOLE, State.EMPTY, State.ENDED, State.UNLOADED
REMOVED = "removed"
"""The reason for which a cursor accepts nothing more when its topic was removed."""
