"""The deduplication window: the time in which the same id is stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telex.message import has_made_id, time_of, uuid7_counter

if TYPE_CHECKING:
    from telex.log.log import Log
    from telex.message import Message

SECONDS = 120.0
"""The seconds for which an id is remembered, if no more than `MOST` ids are."""

MOST = 100_000


class Window:
    """The ids that publishers gave to the last messages of one log: those of two minutes, and at most 100 thousand.
    Retention does not shorten the window. Ids that telex made are looked up in the log itself.

    The window reads the ids from the log when it is asked and before the log trims messages, so that topics without
    such ids pay nothing.
    """

    __slots__ = ("_log", "_seen", "ids")

    def __init__(self, log: Log) -> None:
        self._log = log
        self.ids: dict[str, Message[Any]] = {}  # oldest first
        self._seen = log.base  # the ids of messages below this number were read
        log.before_trim = self._look

    def find(self, id: str, now: float) -> Message[Any] | None:
        """Return the message that has this id, if the id is remembered at ``now``, else None."""
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
        # The counter in a made id gives the number of its message.
        number = (counter - log.uid) % (1 << 74)
        if not log.keep() <= number < log.end:
            return None
        message = log.messages[number - log.base]
        return message if message.id == id else None
