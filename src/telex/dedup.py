"""The window in which the same id is stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telex.log import Log
    from telex.message import Message

SECONDS = 120.0
"""How long an id is remembered, as long as at most `MOST` are."""

MOST = 100_000


class Window:
    """The ids of one log's last messages: of two minutes, or the last 100 thousand, whichever is less.

    It is filled from the log when asked, so that a topic whose publishers give no ids never pays for it.
    """

    __slots__ = ("_ids", "_log", "_seen")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._ids: dict[str, Message[Any]] = {}  # oldest first
        self._seen = log.base  # messages below are in `_ids`, or were

    def find(self, id: str, now: float) -> Message[Any] | None:
        """The message that has this id, if it is remembered at ``now``."""
        log, ids = self._log, self._ids
        for message in log.messages[max(0, self._seen - log.base) :]:
            ids[message.id] = message
        self._seen = log.end
        oldest = now - SECONDS
        while ids:
            first = next(iter(ids))
            if len(ids) <= MOST and ids[first]._time > oldest:
                break
            del ids[first]
        return ids.get(id)
