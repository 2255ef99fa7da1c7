"""The start of a subscription: ``start=`` as a number in a log."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from telex.errors import BadOption
from telex.message import Lost, Position, aware
from telex.names import is_pattern

if TYPE_CHECKING:
    from telex.log.log import Log

ROUNDING = 7e-7
Start = Literal["new", "earliest"] | Position | datetime | timedelta | int
"""The start of a subscription. ``"new"``: the messages from now on. ``"earliest"``: all kept messages. A `Position`:
the messages after it. An aware datetime: the messages published at that time or later. A timedelta: those published
within that time. A number: that many of the last messages.
"""
Found = tuple[int, Lost | None]
"""The first number to read, and the `Lost` before it."""


def check_start(start: object) -> Start:
    """Return ``start`` when it is valid. Raises `BadOption`."""
    fix = "give 'new', 'earliest', a Position, an aware datetime, a timedelta back or a number of messages back"
    if isinstance(start, datetime):
        return aware(start, "start")
    if isinstance(start, timedelta):
        if start < timedelta(0):
            raise BadOption("start", start, "a timedelta is a time ago: it must not be negative")
        return start
    if isinstance(start, int) and not isinstance(start, bool):
        if start < 0:
            raise BadOption("start", start, "a number counts messages back: it must not be negative")
        return start
    if isinstance(start, Position) or start == "new" or start == "earliest":
        return start
    if isinstance(start, str):
        fix += "; a position's text is read by Position.parse"
    raise BadOption("start", start, fix)


def check_seek(pattern: str, start: Start) -> None:
    """Raise `BadOption` for a position as the start of a group on a pattern."""
    if isinstance(start, Position) and is_pattern(pattern):
        fix = "a position belongs to one topic; for a pattern give a time, a number, 'new' or 'earliest'"
        raise BadOption("start", start, fix)


def find(log: Log, start: Start, now: float) -> Found:
    """Return the first number to read, and the `Lost` before it when the log no longer has the requested start."""
    first, end = log.keep(now), log.end
    if start == "new":
        return end, None
    if start == "earliest":
        return first, None
    if isinstance(start, Position):
        return _find_position(log, start, first)
    if isinstance(start, (datetime, timedelta)):
        # A little earlier: `Message.timestamp` is rounded to the microsecond, and has to find its own message.
        moment = now - start.total_seconds() if isinstance(start, timedelta) else start.timestamp() - ROUNDING
        if log.trimmed_time is not None and log.trimmed_time >= moment:
            # Only the time of the last trimmed message is known, so at least one message is missing.
            return first, Lost(1, first - 1, first - 1, "trimmed")
        return log.find_time(moment), None
    wanted = max(1, end - start)
    return max(wanted, first), _trimmed(wanted, first)


def _find_position(log: Log, position: Position, first: int) -> Found:
    if position.epoch != log.epoch:
        return first, Lost(first - 1, 1, first - 1, "epoch")
    if position.seq >= log.end:
        return log.end, Lost(0, log.end, log.end - 1, "ahead")
    wanted = max(1, position.seq + 1)
    return max(wanted, first), _trimmed(wanted, first)


def _trimmed(wanted: int, first: int) -> Lost | None:
    return Lost(first - wanted, wanted, first - 1, "trimmed") if wanted < first else None
