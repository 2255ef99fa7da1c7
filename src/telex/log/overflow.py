"""The policies for a full subscriber, one class for each name.

A policy looks at a cursor when messages arrived and decides, from the log's end and the cursor's own place, which wait
and which are lost. It keeps no state. Its capacity is ``buffer`` messages and, if the cursor bounds bytes,
``buffer_bytes`` bytes.

=============  ==================================================================================
drop_newest    the arriving messages are lost to this subscriber (the default)
drop_oldest    the oldest waiting messages are lost
latest         only the newest waiting message is kept; with a key, the newest of each key, at most `buffer` keys
block          publishers wait, at most ``block_timeout``; then the subscriber is closed as slow
fail           publishers get `BufferFull`, and no subscriber gets the message
close          the subscription ends with `SlowSubscriber` after the messages it has
catch_up       no message is lost while the log still has it
=============  ==================================================================================

The messages that a log had when a subscriber asked for them (``start="earliest"``, a position, a time) do not count
towards its capacity and are not dropped, except by ``latest``, which keeps the newest of those too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from telex.log.log import NEVER

if TYPE_CHECKING:
    from telex.log.cursor import Cursor


def fitting(cursor: Cursor, end: int) -> int:
    """The number up to but not including which arrivals fit, one after the other. It is at most ``end`` where bytes are
    bounded, since the sizes of messages to come are not known.
    """
    fits = cursor.open + max(0, cursor.options.buffer - cursor.fresh)
    bound = cursor.options.buffer_bytes
    if bound is None:
        return fits
    number, free = cursor.open, bound - cursor.buffer.held_bytes
    for message in cursor.log.slice(number, min(fits, end)):
        free -= message.size
        if free < 0:
            break
        number += 1
    return number


class Policy(ABC):
    """The rules that several policies share; each policy is one subclass."""

    longest: int | None = None  # the longest run that is taken from a log at once; None: the log's own bound
    blocks = False  # whether publishers ask before they append, and may wait for takes
    rests = False  # whether a full cursor misses all that comes, and so needs nothing of the log

    def tail(self, cursor: Cursor) -> int | None:
        """Return how many of its last messages the log keeps for a cursor that needs them; None where the log asks the
        cursor to `hold` them before it trims.
        """
        return None

    def begin(self, cursor: Cursor) -> None:
        """A cursor starts at ``cursor.open``: put the backlog into its buffer, so that the capacity counts what comes
        from now on.
        """
        cursor.buffer.live = cursor.log.end
        cursor.seal(cursor.log.end)
        cursor.limit = cursor.log.end

    @abstractmethod
    def sync(self, cursor: Cursor, end: int) -> None:
        """Account for all that arrived up to ``end``, and set `Cursor.limit`. The cursor has stood still since the last
        call.
        """

    def hold(self, cursor: Cursor, first: int) -> None:
        """The log is about to trim all below ``first``: put what waits there into the buffer. Called after `sync`."""
        cursor.seal(cursor.log.end)

    def is_full(self, cursor: Cursor, size: int) -> bool:
        """Return whether publishers have to ask, and one more message of ``size`` bytes would not fit."""
        return False


class DropNewest(Policy):
    """The arriving messages are lost. Where bytes are bounded each is weighed alone: a smaller one may fit later."""

    rests = True

    def sync(self, cursor: Cursor, end: int) -> None:
        cursor.rise()
        fits = fitting(cursor, end)
        while fits < end:
            cursor.seal(fits)
            if cursor.options.buffer_bytes is None or cursor.fresh >= cursor.options.buffer:
                cursor.skip(end)
            else:
                cursor.skip(fits + 1)
            fits = max(fitting(cursor, end), cursor.open)
        if cursor.options.buffer_bytes is not None:
            cursor.seal(end)
        cursor.limit = max(fits, end)


class DropOldest(Policy):
    """The oldest waiting messages are lost."""

    def tail(self, cursor: Cursor) -> int | None:
        options = cursor.options
        small = options.buffer <= cursor.log.tuning.longest_tail and options.buffer_bytes is None
        return options.buffer if small else None

    def sync(self, cursor: Cursor, end: int) -> None:
        _keep_newest(cursor, end, cursor.options.buffer)


class Latest(Policy):
    """Only the newest waiting message is kept, of the backlog too; with a key the newest of each key, at most
    ``buffer`` keys: those that changed last.
    """

    longest: int | None = 1

    def tail(self, cursor: Cursor) -> int | None:
        return 1 if cursor.options.key is None and cursor.options.buffer_bytes is None else None

    def begin(self, cursor: Cursor) -> None:
        cursor.limit = cursor.open

    def sync(self, cursor: Cursor, end: int) -> None:
        key_of, bound = cursor.options.key, cursor.options.buffer_bytes
        if key_of is None:
            _keep_newest(cursor, end, 1)
            return
        buffer = cursor.buffer
        buffer.put_back()  # its subscriber got a `Lost`, and did not take the message after it yet
        for message in cursor.log.slice(cursor.open, end):
            try:
                cursor.hold_by_key(message, key_of(message))
            except Exception as error:  # noqa: BLE001  # the subscriber's own; publishers must not meet its faults
                cursor.break_off(error)
                return
            while buffer.held > cursor.options.buffer or (bound is not None and buffer.held_bytes > bound):
                cursor.drop(1)
        cursor.limit = end

    def hold(self, cursor: Cursor, first: int) -> None:
        if cursor.options.key is None:  # with a key, `sync` has put everything into the buffer
            cursor.seal(cursor.log.end)


class Block(Policy):
    """Publishers ask first, so that no message arrives that does not fit: ``block`` and ``fail``."""

    blocks = True

    def __init__(self, longest: int | None) -> None:
        self.longest = longest

    def sync(self, cursor: Cursor, end: int) -> None:
        if cursor.options.buffer_bytes is None:
            cursor.limit = NEVER
        else:
            cursor.seal(end)
            cursor.limit = end

    def is_full(self, cursor: Cursor, size: int) -> bool:
        options, end = cursor.options, cursor.log.end
        self.sync(cursor, end)
        if cursor.fresh + end - cursor.open >= options.buffer:
            return True
        return options.buffer_bytes is not None and cursor.buffer.held_bytes + size > options.buffer_bytes


class ClosePolicy(Policy):
    """The first message that does not fit ends the subscription, after the messages it has."""

    rests = True

    def sync(self, cursor: Cursor, end: int) -> None:
        cursor.rise()
        if cursor.ended is None:
            fits = fitting(cursor, end)
            if fits >= end:
                if cursor.options.buffer_bytes is not None:
                    cursor.seal(end)
                cursor.limit = fits
                return
            cursor.seal(fits)
            cursor.ended = "slow"
        # Until its subscriber learns of the end, the messages that it misses are still counted.
        cursor.skip(end)
        cursor.limit = end


class CatchUp(Policy):
    """No message is lost but those that retention takes from the log."""

    def tail(self, cursor: Cursor) -> int | None:
        return 0

    def begin(self, cursor: Cursor) -> None:
        cursor.limit = cursor.open

    def sync(self, cursor: Cursor, end: int) -> None:
        log = cursor.log
        if not log.remote:
            cursor.skip(log.keep(), "trimmed")
        elif cursor.open < log.keep():
            cursor.defer(log.keep())  # the engine knows which of these it still keeps
        kept = log.retention.messages
        bounded_by_count_alone = kept is not None and log.retention.age is None and log.retention.bytes is None
        cursor.limit = max(end, cursor.open + kept) if kept is not None and bounded_by_count_alone else end


def _keep_newest(cursor: Cursor, end: int, messages: int) -> None:
    """Drop the oldest until ``messages`` messages, and the bytes that are bounded, are left."""
    bound = cursor.options.buffer_bytes
    if bound is not None:
        cursor.seal(end)
    excess = cursor.fresh + end - cursor.open - messages
    if excess > 0:
        cursor.drop(excess)
    if bound is None:
        cursor.limit = max(end, cursor.open + messages - cursor.fresh)
        return
    while cursor.buffer.held_bytes > bound:
        cursor.drop(1)
    cursor.limit = end


_POLICIES: dict[str, Policy] = {
    "drop_newest": DropNewest(),
    "drop_oldest": DropOldest(),
    "latest": Latest(),
    "block": Block(longest=1),  # every take is noticed, and wakes the publishers that wait for room
    "fail": Block(longest=None),
    "close": ClosePolicy(),
    "catch_up": CatchUp(),
}


def policy_for(overflow: str) -> Policy:
    """The policy of a name."""
    return _POLICIES[overflow]
