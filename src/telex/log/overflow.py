"""The overflow policies, one class for each name: the rules for a full subscriber.

A policy is called when messages have arrived. From the log's end and the cursor's place it decides which messages wait
and which are lost. It has no state. Its capacity is ``buffer`` messages and, if the cursor bounds bytes,
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

The messages that a log had when a subscription began (``start="earliest"``, a position, a time) do not count towards
the capacity and are not dropped, except by ``latest``, which keeps only the newest of them too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from telex.log.log import NEVER

if TYPE_CHECKING:
    from telex.log.cursor import Cursor


BYTES_RUN = 64
"""The longest run that is loaded at once where bytes are bounded, since its rest is measured at every check."""


def fitting(cursor: Cursor, end: int) -> int:
    """Return the number up to but not including which the arriving messages fit into the buffer. Where bytes are
    bounded, at most ``end``, since the sizes of later messages are unknown.
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
    """The base of all policies; each policy is one subclass."""

    longest: int | None = None  # the longest run that is taken from a log at once; None: the log's own bound
    blocks = False  # True when publishers ask for room before they append, and may wait
    rests = False  # True when a full cursor loses all arriving messages, and so needs nothing of the log

    def tail(self, cursor: Cursor) -> int | None:
        """Return how many of its last messages the log keeps for a cursor; None when the log asks the cursor to `hold`
        messages before it trims.
        """
        return None

    def begin(self, cursor: Cursor) -> None:
        """Start a cursor at ``cursor.open``: put the messages that the log has now into its buffer, since the capacity
        does not count them.
        """
        cursor.buffer.live = cursor.log.end
        cursor.seal(cursor.log.end)
        cursor.limit = cursor.log.end

    @abstractmethod
    def sync(self, cursor: Cursor, end: int) -> None:
        """Decide about all messages that arrived up to ``end``, and set `Cursor.limit`. The cursor has taken nothing
        since the last call.
        """

    def hold(self, cursor: Cursor, first: int) -> None:
        """Copy the waiting messages below ``first`` into the buffer, before the log trims them. Called after `sync`."""
        cursor.seal(cursor.log.end)

    def is_full(self, cursor: Cursor, size: int) -> bool:
        """Return true when one more message of ``size`` bytes does not fit, for a policy whose publishers ask for
        room.
        """
        return False


class DropNewest(Policy):
    """Arriving messages that do not fit are lost. Where bytes are bounded, a later and smaller message may fit."""

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
    """Only the newest waiting message is kept, also of the messages that the log had at the start. With a key the
    newest of each key is kept, for the ``buffer`` keys that changed last.
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
        buffer.put_back()  # the subscriber got a `Lost`, and has not taken the message after it
        for message in cursor.log.slice(cursor.open, end):
            try:
                cursor.hold_by_key(message, key_of(message))
            # the exception belongs to the subscriber; publishers must not get it
            except Exception as error:  # noqa: BLE001
                cursor.break_off(error)
                return
            while buffer.held > cursor.options.buffer or (bound is not None and buffer.held_bytes > bound):
                cursor.drop(1)
        cursor.limit = end

    def hold(self, cursor: Cursor, first: int) -> None:
        if cursor.options.key is None:  # with a key, `sync` has put every message into the buffer
            cursor.seal(cursor.log.end)


class Block(Policy):
    """``block`` and ``fail``: publishers ask for room first, so every message that arrives fits."""

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
        # Messages are counted as lost until the subscriber learns of the end.
        cursor.skip(end)
        cursor.limit = end


class CatchUp(Policy):
    """Only the messages that retention deletes from the log are lost."""

    def tail(self, cursor: Cursor) -> int | None:
        return 0

    def begin(self, cursor: Cursor) -> None:
        cursor.limit = cursor.open

    def sync(self, cursor: Cursor, end: int) -> None:
        log = cursor.log
        if not log.remote:
            cursor.skip(log.keep(), "trimmed")
        elif cursor.open < log.keep():
            cursor.defer(log.keep())  # the engine decides which of these it still keeps
        kept = log.retention.messages
        bounded_by_count_alone = kept is not None and log.retention.age is None and log.retention.bytes is None
        cursor.limit = max(end, cursor.open + kept) if kept is not None and bounded_by_count_alone else end


def _keep_newest(cursor: Cursor, end: int, messages: int) -> None:
    """Drop the oldest messages until at most ``messages`` messages are left, and their bytes fit the bound."""
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
    """Return the policy of a name."""
    return _POLICIES[overflow]
