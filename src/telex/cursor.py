"""The kernel: `Cursor`, one subscriber's place in a log. No asyncio, no clock, no I/O.

A cursor is not pushed to. It looks at the log when its subscriber takes, and its policy works out from the log's end
and its own place what arrived and what did not fit. That is exact, to the message, because the place moves only when
something is taken, and every take looks first whether the log has moved past `Cursor.limit`: all that arrived since
the last look met the cursor where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from telex.holdings import NOTHING, Far, Holdings, Options, through
from telex.message import Lost, Message
from telex.overflow import LONGEST_SEGMENT, NEVER, Block, Policy, policy_for

if TYPE_CHECKING:
    from telex.holdings import Rest
    from telex.log import Log


class State(Enum):
    """What `Cursor.load` and `Cursor.take` found."""

    READY = "a message waits in `current`"
    HOLE = "a Lost is to be told first"
    EMPTY = "nothing waits"
    ENDED = "nothing waits, and nothing will"
    ASK = "`load` has to be asked"
    FAR = "the store has to `supply` what comes next"


READY, HOLE, EMPTY, ENDED, ASK, FAR = State.READY, State.HOLE, State.EMPTY, State.ENDED, State.ASK, State.FAR


class Cursor(Holdings):
    """A place in a log, and what waits there for one subscriber.

    A take is `pop`, or ``next(cursor.current)``, allowed after READY and as long as ``log.end <= cursor.limit``;
    during a `walk`, always.

    Invariant: published = received + lost + waiting, each counted on its own; the properties of these names.
    Invariant: while ``log.end <= limit``, all messages from `open` to the log's end are accepted.
    """

    __slots__ = ("_policy", "ended", "limit", "walks")
    current: Rest
    open: int
    segment: tuple[Message[Any], ...]

    def __init__(self, log: Log, options: Options, start: int, told: Lost | None = None) -> None:
        """A cursor of ``log`` whose first message is ``start``; ``told`` is a hole before it, told whatever was
        asked.
        """
        super().__init__(log, options, start, told)
        self.limit: int = start
        self.ended: str | None = None  # why nothing more is accepted
        self._policy: Policy = policy_for(
            options.overflow, by_key=options.key is not None, by_bytes=options.buffer_bytes is not None
        )
        # Policies that weigh every arrival, or wake publishers at every take, look before every take.
        self.walks: bool = self._policy.longest == LONGEST_SEGMENT
        log.join(self, self._policy.keeps(options.buffer))
        if isinstance(self._policy, Block):
            log.gates.append(self)
        self._policy.begin(self)

    # -- what a subscriber does

    def load(self) -> State:
        """Make the next thing ready to be taken, and say what it is."""
        log = self.log
        if log.end > self.limit:
            self._policy.sync(self, log.end)
        if self._told is not None:
            return HOLE
        left = self.current.__length_hint__() - self._over or self._advance()
        if self._hole is not None:
            hole, self._hole = self._hole, None
            if self.options.report_lost:
                last = self.place - 1
                self._told = Lost(last - hole + 1, hole, last, self._reason)
                return HOLE
        if left:
            return READY if left > 0 else FAR
        return EMPTY if self.ended is None else ENDED

    def take(self) -> Message[Any] | State:
        """The common cases in one call: a message that came alone, taken; READY, when several are in `current` now;
        EMPTY, when nothing waits; and for all else ASK, which means that `load` knows.
        """
        log = self.log
        end = log.end
        if end > self.limit or self._told is not None or self._hole is not None:
            return ASK
        left = self.current.__length_hint__() - self._over
        if left:
            return READY
        start = self.open
        if start != self._next or self._later or not self.walks or self.ended is not None:
            return ASK
        arrived = end - start
        if not arrived:
            return EMPTY
        if arrived > LONGEST_SEGMENT:
            return ASK
        self._last = start - 1
        self.open = self._next = end
        self._taken += arrived
        if arrived == 1:
            # It is taken from the log without a segment around it.
            self.segment = ()
            self._last = start
            return log.messages[start - log.base]
        self.segment = segment = log.slice(start, end)
        if self._over:
            self._rest()
        self.current = through(segment)
        return READY

    def step(self, mark: object) -> Message[Any] | State:
        """What comes next for who walks, in one call: a message that came alone, taken; READY, when a walk over the
        stand-ins in `Log.read` has begun, of which the first is taken; EMPTY, when nothing waits; for all else ASK.

        Called first when the mark was taken, or when the subscriber does not walk.
        """
        log = self.log
        if self._over:
            if self.current.__length_hint__():
                self.put_back()  # it was called too early
            self._rest()
        end = log.end
        if end > self.limit:
            self._policy.sync(self, end)
        start = self.open
        if (
            start != self._next
            or self._hole is not None
            or self._told is not None
            or self._later
            or self.ended is not None
            or not self.walks
            or self.current.__length_hint__()
        ):
            return ASK
        arrived = end - start
        if not arrived:
            return EMPTY
        if arrived == 1:
            self.open = self._next = end
            self._taken += 1
            self._last = start
            self.segment = ()
            return log.messages[start - log.base]
        segment, stand_ins = log.read
        if stand_ins is None or segment is not log.slice(start, end):
            return ASK
        self._last = start - 1
        self.open = self._next = end
        self._taken += arrived
        self.segment = segment
        self.walk(stand_ins + (mark,))  # noqa: RUF005  # half the time of unpacking
        return READY

    def take_run(self, limit: int) -> tuple[Message[Any], ...] | None:
        """As `take`, for all that waits, at most ``limit`` messages: none when nothing waits, None when `load`
        knows.
        """
        log = self.log
        end = log.end
        if end > self.limit or self._told is not None or self._hole is not None:
            return None
        if self.current.__length_hint__() - self._over:
            return self.take_many(limit)
        start = self.open
        if start != self._next or self._later or not self.walks or self.ended is not None:
            return None
        if end == start:
            return ()
        if end - start > limit:
            return None
        self._last = end - 1
        self.open = self._next = end
        self._taken += end - start
        self.segment = ()
        return log.slice(start, end)

    def pop(self) -> Message[Any]:
        """Take the next message of `current`. Called after READY."""
        left = self.current.__length_hint__() - self._over
        next(self.current)
        return self.segment[-left]

    def tell(self) -> Lost:
        """The hole that `load` found. Called once, after it said HOLE."""
        told, self._told = self._told, None
        if told is None:
            raise AssertionError("tell() follows a load() that said HOLE")
        return told

    def walk(self, stand_ins: Iterable[Any]) -> None:
        """Take the first message of the run that is `segment`, and let the subscriber take the others from `current`,
        without looking at the log before every take. Allowed where `walks` is true, before any of it is taken.

        ``stand_ins`` take the place of the messages of `segment`, one for one, and one more marks their end: who
        takes that calls `step`. Until then the log looks after the cursor: an append that may not fit calls `notice`.
        """
        self.current = current = through(stand_ins)
        self._over = 1
        next(current)
        if self._policy.minds:
            log = self.log
            log.walkers[self] = None
            if self.limit < log.alarm:
                log.sound(self.limit)

    def _rest(self) -> None:
        """A walk has come to its mark: from here on every take looks before it takes."""
        self._over = 0
        self.current = NOTHING  # which lets go of the stand-ins
        self.log.walkers.pop(self, None)

    def notice(self) -> None:
        """During a walk, the log has gone past `limit`."""
        self._policy.sync(self, self.log.end)
        if self.limit <= self.log.end:
            self.put_back()

    def put_back(self) -> None:
        """Empty `current`; what is left of it waits first in its own hands, and a walk ends at the next take."""
        self.log.walkers.pop(self, None)
        super().put_back()

    def take_many(self, limit: int) -> tuple[Message[Any], ...]:
        """What is ready, at most ``limit`` messages, at once. Called after `load` said READY."""
        current, segment = self.current, self.segment
        left = current.__length_hint__() - self._over
        start = len(segment) - left
        count = min(left, limit)
        current.__setstate__(start + count)
        return segment if count == len(segment) else segment[start : start + count]

    def _advance(self) -> int:
        """Put the next run in `current`; how many messages it has, -1 when the store has to bring it."""
        log, start = self.log, self.open
        if start < log.base and log.remote and not self._later and self._stopped is None:
            self.defer()
        if self._later and self._later[0][1].__class__ is Far:
            return -1
        if start == self._next and start == log.end and not self._later:
            return 0
        segment: tuple[Message[Any], ...] = ()
        if self._later:
            start, segment = self._later.popleft()
            self._later_count -= len(segment)
            if self.options.buffer_bytes is not None and start >= self.live:
                self._later_bytes -= sum(m.size for m in segment)
        elif log.end > start and self._stopped is None:
            self.open = end = min(log.end, start + self._policy.longest)
            segment = log.slice(start, end)
        self._last = self.last
        if start > self._next and self._hole is None:
            self._hole = self._next
        count = len(segment)
        self.segment = segment
        self._next = start + count
        self._taken += count
        if self._over:
            self._rest()
        self.current = through(segment)
        if self._policy.asked:
            log.room_made()
        return count

    # -- what logs, publishers and the shell do

    def hold(self, first: int) -> None:
        """Take hold of what waits below ``first``, which the log is about to let go."""
        lost = self._lost
        self._policy.sync(self, self.log.end)
        self._policy.hold(self, first)
        if self._lost > lost and self._policy.rests and self.fresh >= self.options.buffer:
            self.put_back()
            # It is full, so it needs nothing of the log until it takes; and since the log's end is past every limit
            # that a loop over `current` may remember, no take goes by without `load`.
            self._resting = self.open
            self.open = NEVER
            self.limit = -1

    def miss(self, count: int) -> None:
        """The next ``count`` messages come to nobody here: retention took them from the store first."""
        self.put_back()
        self._policy.sync(self, self.log.end)
        self.seal(self.log.end)
        self.skip(self.log.end + count, "trimmed")
        self.limit = -1

    def is_full(self, size: int) -> bool:
        """Whether a publisher has to wait, or to give up, before it adds a message of ``size`` bytes."""
        return self.ended is None and isinstance(self._policy, Block) and self._policy.is_full(self, size)

    def end(self, why: str, *, slow: bool = False) -> None:
        """Accept nothing more; what waits can still be taken. The first reason stays."""
        if self.ended is None:
            self._policy.sync(self, self.log.end)  # which may find that it was too slow
        if self.ended is not None:
            return
        self.seal(self.log.end)
        self.ended = "slow" if slow else why
        if slow:
            # What it misses until its subscriber learns of the end is counted.
            self._policy = policy_for("close", by_key=False, by_bytes=False)
            self.limit = self.log.end
            self.close_gate()
        else:
            self.stop()

    def stop(self) -> None:
        """Leave the log: nothing of this cursor stays in it, and its accounts stand still but for what it holds."""
        if self._stopped is None:
            self._policy.sync(self, self.log.end)
            if self.ended is None:
                self.seal(self.log.end)
            self._stopped = self.log.end
        self.limit = NEVER
        self.log.leave(self)
        self.close_gate()

    def close_gate(self) -> None:
        """Publishers need not ask this cursor any more."""
        if self in self.log.gates:
            self.log.gates.remove(self)
            self.log.room_made()

    def break_off(self, error: Exception) -> None:
        """End, because the subscriber's own function failed with ``error``, which the subscriber will be given."""
        self.ended, self.keyed().error = "failed", error
        self.skip(self.log.end)
        self._stopped, self.limit = self.log.end, NEVER

    # -- accounts

    @property
    def slow(self) -> bool:
        """Whether it was ended for being slow."""
        return self.ended == "slow"

    @property
    def published(self) -> int:
        """Messages that its log was given since it began."""
        self._settle()
        return (self.log.end if self._stopped is None else self._stopped) - self._started

    @property
    def received(self) -> int:
        """Messages that were taken."""
        self._settle()
        return self._taken - self.left

    @property
    def lost(self) -> int:
        """Messages that it missed."""
        self._settle()
        return self._lost

    @property
    def waiting(self) -> int:
        """Messages that wait to be taken."""
        self._settle()
        return self.held + (self.log.end - self.open if self._stopped is None else 0)

    def _settle(self) -> None:
        if self.log.end > self.limit:
            self._policy.sync(self, self.log.end)
