"""What happens when a subscriber is full: one `Policy` for each name, and the same policies with a bound on bytes.

A policy looks at a cursor when something arrived and decides, from the log's end and the cursor's own place, what
waits and what is lost. It keeps no state of its own.

=============  ==================================================================================
drop_newest    what arrives is lost to this subscriber (the default)
drop_oldest    the oldest waiting are lost
latest         only the newest waiting is kept; with a key, the newest of each key, at most `buffer` keys
block          publishers wait, at most ``block_timeout``; then the subscriber is closed as slow
fail           publishers get `BufferFull`, and no one gets the message
close          the subscription ends with `SlowSubscriber` after what it has
catch_up       nothing is lost while the log still has it
=============  ==================================================================================

What was in the log already when a subscriber asked for it (``start="earliest"``, a position, a time) does not count
towards its buffer and is not dropped, except by ``latest``, which keeps the newest of that too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telex.message import Message

if TYPE_CHECKING:
    from telex.cursor import Cursor

LONGEST_SEGMENT = 4096
"""How many messages are taken from a log at once."""

LONGEST_TAIL = 65536
"""The largest buffer for which a log keeps its own last messages, instead of handing them to the cursor to hold."""

NEVER = 1 << 62
"""A number that no log reaches."""


class Policy:
    """The rules of ``drop_newest``, and what the others change of them."""

    longest = LONGEST_SEGMENT
    minds = True  # whether what arrives during a walk may have to be lost there and then
    asked = False  # whether publishers ask before they append, and may wait for its takes
    rests = True  # whether a full cursor misses all that comes, and so needs nothing of the log

    def keeps(self, buffer: int) -> int | None:
        """How many of its last messages the log keeps for a cursor that needs them; None where it is asked to
        `hold`.
        """
        return None

    def begin(self, cursor: Cursor) -> None:
        """A cursor starts at ``cursor.open``: take hold of the backlog, so that the buffer counts what comes from now
        on.
        """
        cursor.live = cursor.log.end
        cursor.seal(cursor.live)
        cursor.limit = cursor.live

    def sync(self, cursor: Cursor, end: int) -> None:
        """Account for all that arrived up to ``end``. Called while the cursor stands still since the last call."""
        cursor.rise()
        fits = cursor.open + max(0, cursor.options.buffer - cursor.fresh)
        if end > fits:
            cursor.seal(fits)
            cursor.skip(end)
        cursor.limit = max(fits, end)

    def hold(self, cursor: Cursor, first: int) -> None:
        """The log lets go of all below ``first``: take hold of what waits there. Called after `sync`."""
        cursor.seal(cursor.log.end)


class DropOldest(Policy):
    """The oldest waiting are lost."""

    rests = False

    def keeps(self, buffer: int) -> int | None:
        return buffer if buffer <= LONGEST_TAIL else None

    def sync(self, cursor: Cursor, end: int) -> None:
        buffer = cursor.options.buffer
        excess = cursor.fresh + end - cursor.open - buffer
        if excess > 0:
            cursor.drop(excess)
        cursor.limit = max(end, cursor.open + buffer - cursor.fresh)


class Latest(Policy):
    """Only the newest waiting is kept, of the backlog too."""

    longest = 1
    rests = False

    def keeps(self, buffer: int) -> int | None:
        return 1

    def begin(self, cursor: Cursor) -> None:
        cursor.limit = cursor.open

    def sync(self, cursor: Cursor, end: int) -> None:
        excess = cursor.held + end - cursor.open - 1
        if excess > 0:
            cursor.drop(excess)
        cursor.limit = end


class LatestByKey(Latest):
    """The newest of each key is kept, at most ``buffer`` keys; of more keys, those that changed last."""

    def keeps(self, buffer: int) -> int | None:
        return None

    def sync(self, cursor: Cursor, end: int) -> None:
        runs, key_of, bound = cursor.keyed(), cursor.options.key, cursor.options.buffer_bytes
        if key_of is None:
            raise AssertionError("latest_by_key is chosen where a key was given")
        if cursor.left:  # its subscriber was told a hole, and did not take what comes after it yet
            cursor.put_back()
        for message in cursor.log.slice(cursor.open, end):
            try:
                replaced = runs.put(key_of(message), cursor.open, message)
            except Exception as error:  # noqa: BLE001  # the subscriber's own; publishers must not meet its faults
                cursor.break_off(error)
                return
            cursor.adopt(message, replaced)
            while len(runs) > cursor.options.buffer or (bound is not None and cursor.bytes > bound):
                cursor.drop(1)
        cursor.limit = end

    def hold(self, cursor: Cursor, first: int) -> None:
        """Everything is in its own hands after `sync`."""


class Block(Policy):
    """Publishers ask first, so that nothing arrives which does not fit."""

    longest = 1  # every take is noticed, and wakes who waits for room
    asked = True
    minds = False
    rests = False

    def sync(self, cursor: Cursor, end: int) -> None:
        cursor.limit = NEVER

    def is_full(self, cursor: Cursor, size: int) -> bool:
        """Whether one more message, of ``size`` bytes, would not fit."""
        return cursor.fresh + cursor.log.end - cursor.open >= cursor.options.buffer


class Fail(Block):
    """As `Block`: publishers ask first. Nobody waits for room, so takes need no notice."""

    longest = LONGEST_SEGMENT


class Close(Policy):
    """The first message that does not fit ends the subscription, after what it has."""

    def sync(self, cursor: Cursor, end: int) -> None:
        cursor.rise()
        if cursor.ended is None:
            fits = cursor.open + max(0, cursor.options.buffer - cursor.fresh)
            if end <= fits:
                cursor.limit = fits
                return
            cursor.seal(fits)
            cursor.ended = "slow"
        # Until its subscriber learns of the end, what it misses is still counted.
        cursor.skip(end)
        cursor.limit = end


class CatchUp(Policy):
    """Nothing is lost but what retention takes from the log."""

    minds = False
    rests = False

    def keeps(self, buffer: int) -> int | None:
        return 0

    def begin(self, cursor: Cursor) -> None:
        cursor.limit = cursor.open

    def sync(self, cursor: Cursor, end: int) -> None:
        log = cursor.log
        if not log.remote:
            cursor.skip(log.keep(), "trimmed")
        elif cursor.open < log.keep():
            cursor.defer(log.keep())  # of these the store knows which are kept
        kept = log.retention.messages
        bounded_by_count_alone = kept is not None and log.retention.age is None and log.retention.bytes is None
        cursor.limit = max(end, cursor.open + kept) if kept is not None and bounded_by_count_alone else end


class BytesNewest(Policy):
    """`drop_newest` where bytes count: every arrival is taken or lost by itself."""

    longest = 64
    rests = False

    def sync(self, cursor: Cursor, end: int) -> None:
        options, log = cursor.options, cursor.log
        room, free = options.buffer - cursor.fresh, (options.buffer_bytes or 0) - cursor.bytes
        number = cursor.open
        for message in log.slice(number, end):
            size = message.size
            number += 1
            if room > 0 and size <= free:
                room -= 1
                free -= size
            elif not self.refuse(cursor, number, end):
                return
        cursor.seal(end)
        cursor.limit = end

    def refuse(self, cursor: Cursor, number: int, end: int) -> bool:
        """Message ``number - 1`` does not fit; False when nothing after it will be taken either."""
        cursor.seal(number - 1)
        cursor.skip(number)
        return True


class BytesClose(BytesNewest):
    """`close` where bytes count."""

    def sync(self, cursor: Cursor, end: int) -> None:
        if cursor.ended is None:
            super().sync(cursor, end)
        else:
            cursor.skip(end)
            cursor.limit = end

    def refuse(self, cursor: Cursor, number: int, end: int) -> bool:
        cursor.seal(number - 1)
        cursor.ended = "slow"
        cursor.skip(end)
        cursor.limit = end
        return False


class BytesOldest(DropOldest):
    """`drop_oldest` where bytes count."""

    longest = 64

    def keeps(self, buffer: int) -> int | None:
        return None

    def __init__(self, buffer: int | None = None) -> None:
        self.buffer = buffer

    def sync(self, cursor: Cursor, end: int) -> None:
        cursor.seal(end)
        buffer = cursor.options.buffer if self.buffer is None else self.buffer
        bound = cursor.options.buffer_bytes or 0
        while cursor.fresh > buffer or cursor.bytes > bound:
            cursor.drop(1)
        cursor.limit = end


class BytesLatest(BytesOldest):
    """`latest` where bytes count."""

    def begin(self, cursor: Cursor) -> None:
        cursor.limit = cursor.open


class BytesBlock(Block):
    """`block` and `fail` where bytes count."""

    def sync(self, cursor: Cursor, end: int) -> None:
        cursor.seal(end)
        cursor.limit = end

    def is_full(self, cursor: Cursor, size: int) -> bool:
        self.sync(cursor, cursor.log.end)
        return cursor.fresh >= cursor.options.buffer or cursor.bytes + size > (cursor.options.buffer_bytes or 0)


class Runs:
    """The waiting of ``latest`` by key, oldest change first; in the place of a cursor's deque of runs."""

    __slots__ = ("_key", "_runs", "error")

    def __init__(self) -> None:
        self.error: Exception | None = None  # what the function raised that makes the keys
        self._runs: dict[object, tuple[int, tuple[Message[Any], ...]]] = {}
        self._key: object = None  # of the one that was popped last

    def put(self, key: object, number: int, message: Message[Any]) -> Message[Any] | None:
        """Keep ``message`` as the newest of its key; the older one that it replaced, if any."""
        replaced = self._runs.pop(key, None)
        self._runs[key] = (number, (message,))
        return None if replaced is None else replaced[1][0]

    def popleft(self) -> tuple[int, tuple[Message[Any], ...]]:
        self._key = next(iter(self._runs))
        return self._runs.pop(self._key)

    def appendleft(self, run: tuple[int, tuple[Message[Any], ...]]) -> None:
        """Put back what was popped last."""
        self._runs = {self._key: run, **self._runs}

    def __getitem__(self, index: int) -> tuple[int, tuple[Message[Any], ...]]:
        return next(iter(self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)


def policy_for(overflow: str, *, by_key: bool, by_bytes: bool) -> Policy:
    """The policy of a name; with a key or with a bound on bytes where these change it."""
    if by_key:
        return _by_key
    return (_by_bytes if by_bytes else _by_count).get(overflow) or _by_count[overflow]


NAMES = ("drop_newest", "drop_oldest", "latest", "block", "fail", "close", "catch_up")

_by_key = LatestByKey()
_by_count: dict[str, Policy] = {
    "drop_newest": Policy(),
    "drop_oldest": DropOldest(),
    "latest": Latest(),
    "block": Block(),
    "fail": Fail(),
    "close": Close(),
    "catch_up": CatchUp(),
}
_by_bytes: dict[str, Policy] = {
    "drop_newest": BytesNewest(),
    "drop_oldest": BytesOldest(),
    "latest": BytesLatest(buffer=1),
    "block": BytesBlock(),
    "fail": BytesBlock(),
    "close": BytesClose(),
}
