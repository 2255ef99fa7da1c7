"""The kernel: `Cursor`, one subscriber's place in a log. No asyncio, no clock, no I/O.

Nothing is pushed to a cursor. When its subscriber takes a message, the cursor's policy decides from the log's end and
the cursor's place which messages fitted and which are lost. This is exact, because the place moves only when a message
is taken, and every take first checks whether the log has passed `Cursor.limit`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from telex.log.buffer import Buffer, Run, UnloadedRange
from telex.log.log import NEVER, Log
from telex.log.options import Options
from telex.log.overflow import BYTES_RUN, ClosePolicy, Policy, policy_for
from telex.log.state import EMPTY, ENDED, HOLE, READY, REMOVED, UNLOADED, State
from telex.message import Lost, Message, Reason


class Cursor:
    """A place in a log, and the messages that wait there for one subscriber.

    A subscriber calls `take` or `take_many`. After a `take` it may iterate over ``buffer.current`` as long as
    ``log.end <= cursor.limit``. Invariant: published = received + lost + expired + waiting; each property is counted
    on its own. Invariant: while ``log.end <= limit``, all messages from `open` to the log's end are accepted.
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
        "behind",
        "buffer",
        "closed",
        "ended",
        "error",
        "expired",
        "lasting",
        "limit",
        "log",
        "open",
        "options",
        "successor",
        "takes_expired",
    )

    def __init__(self, log: Log, options: Options, start: int, hole: Lost | None = None) -> None:
        """Make a cursor whose first message is number ``start``. ``hole`` comes before it, and is reported even without
        ``options.report_lost``.
        """
        self.log: Log = log
        self.options: Options = options
        by_bytes = options.buffer_bytes is not None
        self.buffer: Buffer = Buffer(start, keyed=options.key is not None, bytes_counted=by_bytes)
        self.open: int = start  # the first number that is not in the buffer
        self.limit: int = start
        self.ended: str | None = None  # the reason why no more messages are accepted; None while they are
        self.closed: bool = False  # True when the subscriber has left and takes nothing more
        self.error: Exception | None = None  # the exception of the subscriber's key function, which ended the cursor
        self.lasting: bool = False  # whether it goes on when its topic has come to its end
        self.successor: Cursor | None = None  # where its subscriber goes on when it has taken all of this log
        self.behind: Cursor | None = None  # the cursor before it, while its subscriber has not come to this one
        self.takes_expired: bool = False  # True for a subscriber that decides itself about expired messages
        self.expired: int = 0  # the number of messages that were left out, since they had expired
        self._started = start if hole is None else start - hole.count
        self._stopped: int | None = None  # the log's end when the cursor stopped accepting messages
        self._lost = 0 if hole is None else hole.count
        self._report = hole
        self._hole: int | None = None  # the first number of a hole that ends right before the next message
        self._reason: Reason = "overflow"
        self._resting: int | None = None  # `open`, while it is full and the log need not ask it before trimming
        self._policy: Policy = policy_for(options.overflow)
        bounded = BYTES_RUN if by_bytes else log.tuning.longest_run
        self._longest: int = self._policy.longest or bounded  # the longest run that is loaded at once
        # True when the next message after `current` is certainly number `open` of the log, so that a take can skip all
        # checks. Every call of the policy sets it to False; a load that finds no held message sets it to True.
        self._direct = False
        log.join(self, self._policy.tail(self))
        if self._policy.blocks:
            log.blocking_cursors.append(self)
        self._policy.begin(self)

    # -- called by the subscriber

    def load(self) -> State:
        """Make the next message or hole ready to be taken; return which of them is ready."""
        if self.closed:
            return ENDED
        if self.log.end > self.limit:
            self._sync()
        if self._report is not None:
            return HOLE
        found = READY if self.buffer.current.__length_hint__() else self._advance()
        if self._hole is not None and self._reports_hole():
            return HOLE
        if self.log.expires and not self.takes_expired:
            return self._load_unexpired(found)
        plain = self._policy.longest is None and self.ended is None and not self.buffer.runs
        self._direct = plain and self.open == self.buffer.next
        return ENDED if found is EMPTY and self.ended is not None else found

    def _reports_hole(self) -> bool:
        hole, self._hole = self._hole, None
        if hole is not None and self.options.report_lost:
            numbers = self.log.seq(hole - 1) + 1, self.log.seq(self.place - 1)
            self._report = Lost(self.place - hole, *numbers, self._reason)
        return self._report is not None

    def _load_unexpired(self, found: State) -> State:
        """Return the state after `load`, without the messages that have expired; every take calls `load` again."""
        self._direct, self.limit, now = False, -1, self.log.observer.now()
        while found is READY:
            count = self.buffer.pass_expired(now)
            self.expired, self.log.expired = self.expired + count, self.log.expired + count
            if self.buffer.left:
                return READY
            found = self._advance()
            if self._hole is not None and self._reports_hole():
                return HOLE
        return ENDED if found is EMPTY and self.ended is not None else found

    def _sync(self) -> None:
        self._direct = False
        if self._stopped is None:
            self._policy.sync(self, self.log.end)

    def take(self) -> Message[Any] | Lost | State:
        """Return the next message, or the hole before it; EMPTY, ENDED or UNLOADED when there is none."""
        log, buffer = self.log, self.buffer
        end = log.end
        if self._direct and end <= self.limit:
            if buffer.current.__length_hint__():
                return next(buffer.current)
            start = self.open
            if start == end:
                return EMPTY
            if end - start == 1:  # a message that comes alone needs no run around it
                self.open = end
                buffer.pass_on(end)
                return log.messages[start - log.base]
            if end - start <= self._longest:
                self.open = end
                buffer.load(start, log.slice(start, end))
                return next(buffer.current)
        state = self.load()
        if state is READY:
            return next(buffer.current)
        return self.tell() if state is HOLE else state

    def take_many(self, limit: int) -> tuple[Message[Any] | Lost, ...] | State:
        """Return all waiting messages up to the next one that has expired, at most ``limit``; a hole is returned alone.
        EMPTY, ENDED or UNLOADED as `take`.
        """
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
        state = self.load()
        if state is READY:
            run, expired = self._take_run(limit), self.expired
            if self._policy.longest == 1:  # such policies load one message at a time
                while len(run) < limit and self.load() is READY and self.expired == expired:
                    run += self._take_run(limit - len(run))
            return run
        return (self.tell(),) if state is HOLE else state

    def _take_run(self, limit: int) -> Run:
        if self.log.expires and not self.takes_expired:
            limit = self.buffer.unexpired(limit, self.log.observer.now())
        return self.buffer.take_many(limit)

    def tell(self) -> Lost:
        """Return the hole that `load` found. Call it once, after `load` returned HOLE."""
        report, self._report = self._report, None
        if report is None:
            raise AssertionError("call tell() only after load() has returned HOLE")
        return report

    def _advance(self) -> State:
        """Make the next run `current`."""
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
        """The numbers, from the first up to but not including the second, that have to be read from the engine before
        the next take; None when nothing has to be read.
        """
        buffer = self.buffer
        if not buffer.left and buffer.runs and isinstance(buffer.runs[0][1], UnloadedRange):
            start, run = buffer.runs[0]
            return start, start + len(run)
        return None

    def defer(self, end: int) -> None:
        """Note that the messages from `open` up to but not including ``end`` are read from the engine later."""
        self.buffer.hold(self.open, UnloadedRange(end - self.open))
        self.open = end

    def supply(
        self, start: int, end: int, run: Iterable[Message[Any]], reason: Reason = "trimmed", first: int | None = None
    ) -> None:
        """Accept the messages of the places from ``start`` up to but not including ``end``, see `Buffer.supply`. The
        other places are lost, for ``reason``. Ignored unless `unloaded` begins at ``start``.
        """
        if self.unloaded is None or self.unloaded[0] != start:
            return
        missing = self.buffer.supply(start, end, run, first)
        self._lost += missing
        if missing:
            self._reason = reason

    # -- called by policies

    @property
    def fresh(self) -> int:
        """The number of buffered messages that the capacity counts: not those that came before the cursor began."""
        held, live = self.buffer.held, self.buffer.live
        return held if live <= self._started else max(0, held - max(0, live - self.place))

    @property
    def place(self) -> int:
        """The number of the next waiting message, or of the next message to come."""
        place = self.buffer.place
        return self.open if place is None else place

    def rise(self) -> None:
        """Note that the cursor is no longer full: the log asks it again before trimming (see `hold`)."""
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
        """Count the messages from `open` up to but not including ``end`` as lost. `load` finds the hole."""
        if end > self.open:
            self._lost += end - self.open
            self._reason = reason
            self.open = end

    def drop(self, count: int) -> None:
        """Count the ``count`` oldest messages that the capacity counts as lost."""
        self._reason = "overflow"
        self._lost += count
        rest, hole = self.buffer.drop(count)
        if self._hole is None:
            self._hole = hole
        self.open += rest

    def hold_by_key(self, message: Message[Any], key: object) -> None:
        """Put ``message``, number `open`, into the buffer as the newest of ``key``; the older message of the key is
        lost.
        """
        if self.buffer.hold_by_key(key, self.open, message):
            self._lost += 1
        self.open += 1

    def break_off(self, error: Exception) -> None:
        """End the cursor, because the subscriber's own function raised ``error``. The subscriber gets ``error``."""
        self.ended, self.error = "failed", error
        self.skip(self.log.end)
        self._stopped, self.limit = self.log.end, NEVER

    # -- called by logs, publishers and the asyncio shell

    def hold(self, first: int) -> None:
        """Copy the waiting messages below ``first`` into the buffer, before the log trims them."""
        lost = self._lost
        self._sync()
        self._policy.hold(self, first)
        if self._lost > lost and self._policy.rests and self.fresh >= self.options.buffer:
            self.buffer.put_back()
            # A full cursor needs nothing of the log until it takes a message. Every take calls `load`, since the log's
            # end is past every limit that a loop over `current` may have.
            self._resting = self.open
            self.open = NEVER
            self.limit = -1

    def miss(self, count: int, reason: Reason = "trimmed") -> None:
        """Note that the next ``count`` messages do not come to this process: retention has deleted them from the
        engine, or their content cannot be decoded.
        """
        self._direct = False
        self.buffer.put_back()
        self._sync()
        self.seal(self.log.end)
        self.skip(self.log.end + count, reason)
        self.limit = -1

    def is_full(self, size: int) -> bool:
        """Return true when a publisher has to wait, or to fail, before it adds a message of ``size`` bytes."""
        self._direct = False
        return self.ended is None and self._policy.is_full(self, size)

    def end(self, why: str, *, slow: bool = False) -> None:
        """Accept no more messages; waiting messages can still be taken. Only the first call sets the reason."""
        self._direct = False
        if self.ended is None:
            self._sync()  # the policy may find that the cursor was too slow
        if self.ended is not None:
            return
        self.seal(self.log.end)
        self.ended = "slow" if slow else why
        if slow:
            # Messages are counted as lost until the subscriber learns of the end.
            self._policy = ClosePolicy()
            self.limit = self.log.end
            self._unblock()
        else:
            self.stop()

    def go_on(self, log: Log) -> None:
        """Accept nothing more of this log, whose topic was removed, and go on in ``log``, which takes its place: by
        `successor`. When its subscriber is epochs behind and has no room, the messages of this epoch are lost.
        """
        self.end(REMOVED)
        if self.ended != REMOVED:
            return
        before, lost = self, 0
        if self.behind is not None and not self._has_room_behind():
            before, lost = self.behind, self.published
        following = Cursor(log, self.options, log.end, Lost(lost, log.end, log.end - 1, "epoch"))
        if not self.options.report_lost:
            following._report = None
        following.lasting, following.takes_expired = self.lasting, self.takes_expired
        following.behind, before.successor = before, following

    def _has_room_behind(self) -> bool:
        """Return whether the messages of removed epochs that wait for its subscriber fit into its buffer."""
        bounded = self.options.buffer < NEVER and self.options.buffer_bytes is None
        return bounded and self.waiting > 0 and self._waiting_behind() <= self.options.buffer

    def _waiting_behind(self) -> int:
        return self.waiting + (0 if self.behind is None else self.behind._waiting_behind())

    def move_on(self) -> Cursor | None:
        """Return the cursor of the next epoch, whose messages the subscriber takes now; None when there is none."""
        following = None if self.closed else self.successor
        if following is not None:
            following.behind = None
        return following

    def stop(self) -> None:
        """Leave the log. After that the counts change only for messages that the cursor holds."""
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
        """Close the cursor for a subscriber that leaves: it takes nothing more, and its waiting messages stay counted
        as waiting.
        """
        self.end("closed")
        self.stop()
        self.closed = True

    def _unblock(self) -> None:
        """Remove this cursor from the cursors that publishers ask for room."""
        if self in self.log.blocking_cursors:
            self.log.blocking_cursors.remove(self)
            self.log.observer.room_made()

    # -- counts

    @property
    def last(self) -> int:
        """The number of the last message that was taken."""
        return self.buffer.last

    @property
    def published(self) -> int:
        """The number of messages appended to the log since the cursor began."""
        self._settle()
        return (self.log.end if self._stopped is None else self._stopped) - self._started

    @property
    def received(self) -> int:
        """The number of messages that were taken."""
        self._settle()
        return self.buffer.taken - self.buffer.left - self.expired

    @property
    def lost(self) -> int:
        """The number of messages that the subscriber missed."""
        self._settle()
        return self._lost

    @property
    def waiting(self) -> int:
        """The number of messages that wait to be taken."""
        self._settle()
        return self.buffer.held + (self.log.end - self.open if self._stopped is None else 0)

    def _settle(self) -> None:
        if self.log.end > self.limit:
            self._sync()
