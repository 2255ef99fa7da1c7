"""The window in which the same id is stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telex.message import has_made_id, time_of, uuid7_counter

if TYPE_CHECKING:
    from telex.log.log import Log
    from telex.message import Message

SECONDS = 120.0
"""The seconds for which an id is remembered, as long as at most `MOST` are."""

MOST = 100_000


class Window:
    """The ids that publishers gave to one log's last messages: of two minutes, or the last 100 thousand, whichever is
    less, whether or not the log still has them. Ids that were made here are found in the log itself.

    It is filled from the log when asked, and before the log lets messages go, so that a topic whose publishers give
    no ids never pays for it.
    """

    __slots__ = ("_log", "_seen", "ids")

    def __init__(self, log: Log) -> None:
        self._log = log
        self.ids: dict[str, Message[Any]] = {}  # oldest first
        self._seen = log.base  # messages below are in `ids`, or were
        log.before_trim = self._look

    def find(self, id: str, now: float) -> Message[Any] | None:
        """The message that has this id, if it is remembered at ``now``."""
        self._look()
        ids, oldest = self.ids, now - SECONDS
        while ids:
            first = next(iter(ids))
            if len(ids) <= MOST and time_of(ids[first]) > oldest:
                break
            del ids[first]
        found = ids.get(id) or self._find_made(id)
        return found if found is not None and time_of(found) > oldest else None

    def _look(self) -> None:
        log = self._log
        for message in log.messages[max(0, self._seen - log.base) :]:
            if not has_made_id(message):
                self.ids[message.id] = message
        self._seen = log.end

    def _find_made(self, id: str) -> Message[Any] | None:
        log, counter = self._log, uuid7_counter(id)
        if counter is None:
            return None
        # A made id counts from the log's own number, so it says which message it can only be.
        number = (counter - log.uid) % (1 << 74)
        if not log.keep() <= number < log.end:
            return None
        message = log.messages[number - log.base]
        return message if message.id == id else None
