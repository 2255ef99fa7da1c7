"""The kernel: `Cursor`, one subscriber's place in a log. No asyncio, no clock, no I/O.

A cursor is not pushed to. It looks at the log when its subscriber takes, and its policy works out from the log's end
and its own place which messages arrived and which did not fit. That is exact, to the message, because the place moves
only when something is taken, and every take looks first whether the log has moved past `Cursor.limit`: all that arrived
since the last look met the cursor where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from telex.log.buffer import Buffer, Run, UnloadedRange
from telex.log.log import NEVER
from telex.log.options import Options
from telex.log.overflow import ClosePolicy, policy_for
from telex.message import Lost, Message, Reason

if TYPE_CHECKING:
    from telex.log.log import Log
    from telex.log.overflow import Policy


BYTES_RUN = 64
"""The longest run that is loaded at once where bytes are bounded: its rest is measured at every look."""


class State(Enum):
    """The answer of `Cursor.load`, and of a take that has no message."""

    READY = "a message waits in `current`"
    HOLE = "a Lost is reported first"
    EMPTY = "no message waits"
    ENDED = "no message waits, and none will"
    UNLOADED = "the next messages have to be read from the engine; see `Cursor.supply`"


READY, HOLE, EMPTY, ENDED, UNLOADED = State.READY, State.HOLE, State.EMPTY, State.ENDED, State.UNLOADED


class Cursor:
    """A place in a log, and the messages that wait there for one subscriber.

    A subscriber takes by `take` and `take_many`; or it loops over ``buffer.current`` after `load` said READY, for as
    long as ``log.end <= cursor.limit``.

    Invariant: published = received + lost + waiting, each counted on its own; the properties of these names.
    Invariant: while ``log.end <= limit``, all messages from `open` to the log's end are accepted.
    """

    __slots__ = (
        "_direct",
        "_hole",
        "_longest",
        "_lost",
        "_policy",
        "_reason",
        "_report",
        "_resting",
        "_started",
        "_stopped",
        "buffer",
        "closed",
        "ended",
        "error",
        "limit",
        "log",
        "open",
        "options",
    )

    def __init__(self, log: Log, options: Options, start: int, hole: Lost | None = None) -> None:
        """``start`` is the number of the first message. ``hole`` comes before it, and is reported even without
        ``options.report_lost``.
        """
        self.log: Log = log
        self.options: Options = options
        self.buffer: Buffer = Buffer(
            start, keyed=options.key is not None, bytes_counted=options.buffer_bytes is not None
        )
        self.open: int = start  # the first number that is not in the buffer
        self.limit: int = start
        self.ended: str | None = None  # why nothing more is accepted
        self.closed: bool = False  # whether its subscriber has left, and takes nothing more
        self.error: Exception | None = None  # the error of the subscriber's own key function, which ended the cursor
        self._started = start if hole is None else start - hole.count
        self._stopped: int | None = None  # the log's end when the cursor began to accept and to miss nothing
        self._lost = 0 if hole is None else hole.count
        self._report = hole
        self._hole: int | None = None  # the first number of a hole that ends right before the next message
        self._reason: Reason = "overflow"
        self._resting: int | None = None  # `open`, while the cursor is full and the log need not ask it before trimming
        self._policy: Policy = policy_for(options.overflow)
        bounded = BYTES_RUN if options.buffer_bytes is not None else log.tuning.longest_run
        self._longest: int = self._policy.longest or bounded  # the longest run that is loaded at once
        # Whether the next message is number `open` of the log for certain, so that a take looks at nothing else. Every
        # call of the policy ends that, and a load that finds nothing in hand begins it again.
        self._direct = False
        log.join(self, self._policy.tail(self))
        if self._policy.blocks:
            log.blocking_cursors.append(self)
        self._policy.begin(self)

    # -- what a subscriber does

    def load(self) -> State:
        """Make the next message or hole ready to be taken; returns which of them it is."""
        log, buffer = self.log, self.buffer
        end = log.end
        if self._direct and end <= self.limit and not buffer.current.__length_hint__():
            start = self.open
            if start == end:
                return EMPTY
            if end - start <= self._longest:
                self.open = end
                buffer.load(start, log.slice(start, end))
                return READY
        return self._load()

    def _load(self) -> State:
        if self.closed:
            return ENDED
        if self.log.end > self.limit:
            self._sync()
        if self._report is not None:
            return HOLE
        found = READY if self.buffer.current.__length_hint__() else self._advance()
        if self._hole is not None:
            hole, self._hole = self._hole, None
            if self.options.report_lost:
                last = self.place - 1
                self._report = Lost(last - hole + 1, hole, last, self._reason)
                return HOLE
        plain = self._policy.longest is None and self.ended is None
        self._direct = plain and not self.buffer.runs and self.open == self.buffer.next
        return ENDED if found is EMPTY and self.ended is not None else found

    def _sync(self) -> None:
        self._direct = False
        self._policy.sync(self, self.log.end)

    def take(self) -> Message[Any] | Lost | State:
        """The next message, or the hole before it; EMPTY, ENDED or UNLOADED when there is none."""
        state = self.load()
        if state is READY:
            return next(self.buffer.current)
        return self.tell() if state is HOLE else state

    def take_many(self, limit: int) -> tuple[Message[Any] | Lost, ...] | State:
        """All that waits, at most ``limit`` messages; a hole comes alone. EMPTY, ENDED or UNLOADED as `take`."""
        log, buffer = self.log, self.buffer
        end = log.end
        if self._direct and end <= self.limit and not buffer.current.__length_hint__():
            start = self.open
            if start == end:
                return EMPTY
            if end - start <= limit:
                self.open = end
                run = log.slice(start, end)
                buffer.pass_on(end)
                return run
        state = self._load()
        if state is READY:
            run = self.buffer.take_many(limit)
            if self._policy.longest == 1:  # such policies load one message at a time
                while len(run) < limit and self._load() is READY:
                    run += self.buffer.take_many(limit - len(run))
            return run
        return (self.tell(),) if state is HOLE else state

    def tell(self) -> Lost:
        """The hole that `load` found. Called once, after it said HOLE."""
        report, self._report = self._report, None
        if report is None:
            raise AssertionError("tell() follows a load() that said HOLE")
        return report

    def _advance(self) -> State:
        """Load the next run."""
        log, buffer, start = self.log, self.buffer, self.open
        if start < log.base and log.remote and not buffer.runs and self._stopped is None:
            self.defer(log.base)
        if buffer.runs:
            if isinstance(buffer.runs[0][1], UnloadedRange):
                return UNLOADED
            first = buffer.next
            start = buffer.load_held()
            if start > first and self._hole is None:
                self._hole = first
        else:
            run: Run = ()
            if log.end > start and self._stopped is None:
                self.open = end = min(log.end, start + self._longest)
                run = log.slice(start, end)
            elif start == buffer.next:
                return EMPTY
            if start > buffer.next and self._hole is None:
                self._hole = buffer.next
            buffer.load(start, run)
        if self._policy.blocks:
            log.observer.room_made()
        return READY if buffer.run else EMPTY

    # -- messages that this process has not read

    @property
    def unloaded(self) -> tuple[int, int] | None:
        """The numbers, from the first up to but not including the second, that `supply` brings before the next take;
        None when none are.
        """
        buffer = self.buffer
        if not buffer.left and buffer.runs and isinstance(buffer.runs[0][1], UnloadedRange):
            start, run = buffer.runs[0]
            return start, start + len(run)
        return None

    def defer(self, end: int) -> None:
        """The messages from `open` up to but not including ``end`` are read from the engine when their turn comes."""
        self.buffer.hold(self.open, UnloadedRange(end - self.open))
        self.open = end

    def supply(self, start: int, end: int, messages: Iterable[Message[Any]], reason: Reason = "trimmed") -> None:
        """Take in what can be read of the numbers from ``start`` up to but not including ``end``: the others are lost,
        for ``reason``. Ignored unless `unloaded` begins there.
        """
        if self.unloaded is None or self.unloaded[0] != start:
            return
        missing = self.buffer.supply(start, end, messages)
        self._lost += missing
        if missing:
            self._reason = reason

    # -- what policies do

    @property
    def fresh(self) -> int:
        """The number of messages in the buffer that its capacity counts: not those that the log had before it began."""
        held, live = self.buffer.held, self.buffer.live
        return held if live <= self._started else max(0, held - max(0, live - self.place))

    @property
    def place(self) -> int:
        """The number of the next message that waits, or of the next that may come."""
        place = self.buffer.place
        return self.open if place is None else place

    def rise(self) -> None:
        """End the rest that `hold` may have begun: `open` is again what it was."""
        if self._resting is not None:
            self.open, self._resting = self._resting, None

    def seal(self, end: int) -> None:
        """Put the messages from `open` up to but not including ``end`` into the buffer."""
        log = self.log
        if self.open < log.base and log.remote:
            self.defer(log.base)
        if end > self.open:
            self.buffer.hold(self.open, log.slice(self.open, end))
            self.open = end

    def skip(self, end: int, reason: Reason = "overflow") -> None:
        """Lose the messages from `open` up to but not including ``end``. `load` finds the hole."""
        if end > self.open:
            self._lost += end - self.open
            self._reason = reason
            self.open = end

    def drop(self, count: int) -> None:
        """Lose the ``count`` oldest messages that the capacity counts."""
        self._reason = "overflow"
        self._lost += count
        rest, hole = self.buffer.drop(count)
        if self._hole is None:
            self._hole = hole
        self.open += rest

    def hold_by_key(self, message: Message[Any], key: object) -> None:
        """Put ``message``, number `open`, into the buffer as the newest of ``key``; the older one is lost."""
        if self.buffer.hold_by_key(key, self.open, message):
            self._lost += 1
        self.open += 1

    def break_off(self, error: Exception) -> None:
        """End, because the subscriber's own function failed with ``error``, which is raised to the subscriber."""
        self.ended, self.error = "failed", error
        self.skip(self.log.end)
        self._stopped, self.limit = self.log.end, NEVER

    # -- what logs, publishers and the shell do

    def hold(self, first: int) -> None:
        """Put what waits below ``first`` into the buffer: the log is about to trim it."""
        lost = self._lost
        self._sync()
        self._policy.hold(self, first)
        if self._lost > lost and self._policy.rests and self.fresh >= self.options.buffer:
            self.buffer.put_back()
            # It is full, so it needs nothing of the log until it takes; and since the log's end is past every limit
            # that a loop over `current` may remember, no take goes by without `load`.
            self._resting = self.open
            self.open = NEVER
            self.limit = -1

    def miss(self, count: int, reason: Reason = "trimmed") -> None:
        """The next ``count`` messages do not come to this process: retention took them from the engine first, or their
        content cannot be decoded."""
        self._direct = False
        self.buffer.put_back()
        self._sync()
        self.seal(self.log.end)
        self.skip(self.log.end + count, reason)
        self.limit = -1

    def is_full(self, size: int) -> bool:
        """Return whether a publisher has to wait, or to give up, before it adds a message of ``size`` bytes."""
        self._direct = False
        return self.ended is None and self._policy.is_full(self, size)

    def end(self, why: str, *, slow: bool = False) -> None:
        """Accept nothing more; what waits can still be taken. The first reason stays."""
        self._direct = False
        if self.ended is None:
            self._sync()  # which may find that it was too slow
        if self.ended is not None:
            return
        self.seal(self.log.end)
        self.ended = "slow" if slow else why
        if slow:
            # What it misses until its subscriber learns of the end is counted.
            self._policy = ClosePolicy()
            self.limit = self.log.end
            self._unblock()
        else:
            self.stop()

    def stop(self) -> None:
        """Leave the log: nothing of this cursor stays in it. Its accounts change no more but for what it holds."""
        self._direct = False
        if self._stopped is None:
            self._sync()
            if self.ended is None:
                self.seal(self.log.end)
            self._stopped = self.log.end
        self.limit = NEVER
        self.log.leave(self)
        self._unblock()

    def close(self) -> None:
        """The subscriber leaves: it takes nothing more, and what waited for it is counted as waiting."""
        self.end("closed")
        self.stop()
        self.closed = True

    def _unblock(self) -> None:
        """Publishers need not ask this cursor any more."""
        if self in self.log.blocking_cursors:
            self.log.blocking_cursors.remove(self)
            self.log.observer.room_made()

    # -- accounts

    @property
    def slow(self) -> bool:
        """True when it was ended for being slow."""
        return self.ended == "slow"

    @property
    def last(self) -> int:
        """The number of the last message that was taken."""
        return self.buffer.last

    @property
    def published(self) -> int:
        """Messages that its log was given since the cursor began."""
        self._settle()
        return (self.log.end if self._stopped is None else self._stopped) - self._started

    @property
    def received(self) -> int:
        """Messages that were taken."""
        self._settle()
        return self.buffer.taken - self.buffer.left

    @property
    def lost(self) -> int:
        """Messages that the subscriber missed."""
        self._settle()
        return self._lost

    @property
    def waiting(self) -> int:
        """Messages that wait to be taken."""
        self._settle()
        return self.buffer.held + (self.log.end - self.open if self._stopped is None else 0)

    def _settle(self) -> None:
        if self.log.end > self.limit:
            self._sync()
