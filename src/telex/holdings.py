"""The kernel: `Holdings`, what waits for one cursor and what became of the rest. No asyncio, no clock, no I/O.

What waits, oldest first::

    current (what is left of `segment`) | `_later`, runs in its own hands | the log from `open` on
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from telex.message import Lost, Message, Reason
from telex.overflow import Runs

if TYPE_CHECKING:
    from typing import Protocol, Self

    from telex.log import Log

    class Rest(Protocol):
        """An iterator over a tuple, as CPython makes it: how much is left can be asked, and its place can be set."""

        def __iter__(self) -> Rest: ...
        def __next__(self) -> Message[Any]: ...
        def __length_hint__(self) -> int: ...
        def __setstate__(self, index: int, /) -> None: ...


Overflow = Literal["drop_newest", "drop_oldest", "latest", "block", "fail", "close", "catch_up"]
"""What happens when a subscriber is full; `telex.overflow` says what each does."""


class Options(msgspec.Struct, frozen=True):
    """What a subscriber asked for, checked already."""

    overflow: Overflow = "drop_newest"
    buffer: int = 1024
    buffer_bytes: int | None = None
    key: Callable[[Message[Any]], object] | None = None
    report_lost: bool = False
    block_timeout: float = 30.0
    timeout: float | None = None
    """Bounds entering."""


class Far(tuple[Message[Any], ...]):  # noqa: SLOT001  # a tuple subclass with a field has a dict
    """A run of messages that a store has and this process does not have yet: it has a length and nothing in it."""

    length: int

    def __new__(cls, length: int) -> Self:
        far = super().__new__(cls)
        far.length = length
        return far

    def __len__(self) -> int:
        return self.length


class Holdings:
    """The messages of one cursor: in `current`, in its own hands, and those of the log that are accepted; and the count
    of those that it lost.
    """

    __slots__ = (
        "_dropped",
        "_hole",
        "_last",
        "_later",
        "_later_bytes",
        "_later_count",
        "_lost",
        "_next",
        "_over",
        "_reason",
        "_resting",
        "_started",
        "_stopped",
        "_taken",
        "_told",
        "current",
        "live",
        "log",
        "open",
        "options",
        "segment",
    )

    def __init__(self, log: Log, options: Options, start: int, told: Lost | None) -> None:
        self.log: Log = log
        self.options: Options = options
        self.open: int = start  # the first number that is neither in `current` nor in `_later`
        self.live: int = 0  # numbers below were there before the cursor, and the buffer does not count them
        self.segment: tuple[Message[Any], ...] = ()
        self.current: Rest = NOTHING
        self._over = 0  # what is in `current` after the messages: 1 during a walk
        self._next = start  # the number after the last of `segment`, or after what was told lost
        self._last = start - 1  # the number after which to read on, as of the last `_advance` or `_drop_current`
        self._dropped = start  # the number after the last that was dropped from `current`
        self._later: deque[tuple[int, tuple[Message[Any], ...]]] | Runs | None = None
        self._later_count = 0
        self._later_bytes = 0
        self._started = start if told is None else start - told.count
        self._stopped: int | None = None  # the log's end when it began to accept nothing and to miss nothing
        self._taken = 0  # messages ever put in `current`, less those dropped from it
        self._lost = 0 if told is None else told.count
        self._told = told
        self._hole: int | None = None  # the first number of a hole that ends right before the next message
        self._reason: Reason = "overflow"
        self._resting: int | None = None  # `open`, while it is full and the log need not ask it before trimming

    # -- what policies do

    def rise(self) -> None:
        """End the rest that `hold` may have begun: `open` is again what it was."""
        if self._resting is not None:
            self.open, self._resting = self._resting, None

    def seal(self, end: int) -> None:
        """Take hold of the messages from `open` up to, not with, ``end``."""
        if self.open < self.log.base and self.log.remote:
            self.defer()
        start = self.open
        if end <= start:
            return
        run = self.log.slice(start, end)
        self._deque().append((start, run))
        self._later_count += len(run)
        if self.options.buffer_bytes is not None and start >= self.live:
            self._later_bytes += sum(m.size for m in run)
        self.open = end

    def _deque(self) -> deque[tuple[int, tuple[Message[Any], ...]]]:
        if self._later is None:
            self._later = deque()
        if not isinstance(self._later, deque):
            raise AssertionError("a cursor with a key holds its messages by key")
        return self._later

    def defer(self, end: int | None = None) -> None:
        """The messages from `open` up to, not with, ``end`` (None: those that the log has no more) wait in its store,
        to be brought by `supply`.
        """
        end = self.log.base if end is None else end
        count = end - self.open
        self._deque().append((self.open, Far(count)))
        self._later_count += count
        self.open = end

    @property
    def far(self) -> tuple[int, int] | None:
        """The numbers, from the first up to, not with, the second, that the store has to bring before the next
        take.
        """
        if not self.left and self._later and isinstance(self._later[0][1], Far):
            start, run = self._later[0]
            return start, start + len(run)
        return None

    def supply(self, start: int, end: int, messages: Iterable[Message[Any]]) -> None:
        """The store has brought what is kept of the numbers from ``start`` up to, not with, ``end``: the others are
        lost to retention. Of no account unless `far` begins there.
        """
        if self.far is None or self.far[0] != start or not isinstance(self._later, deque):
            return
        far = self._later.popleft()[1]
        end = min(end, start + len(far))
        runs: list[tuple[int, list[Message[Any]]]] = []
        for message in messages:
            if runs and message.seq == runs[-1][0] + len(runs[-1][1]):
                runs[-1][1].append(message)
            elif message.seq < end:
                runs.append((message.seq, [message]))
        missing = end - start - sum(len(run) for _, run in runs)
        self._lost += missing
        self._later_count -= missing
        if missing:
            self._reason = "trimmed"
        if start + len(far) > end:
            self._later.appendleft((end, Far(start + len(far) - end)))
        self._later.extendleft((first, tuple(run)) for first, run in reversed(runs))

    def skip(self, end: int, reason: Reason = "overflow") -> None:
        """Lose the messages from `open` up to, not with, ``end``. `_advance` finds the hole."""
        if end > self.open:
            self._lost += end - self.open
            self._reason = reason
            self.open = end

    def drop(self, count: int) -> None:
        """Lose the ``count`` oldest that the buffer counts."""
        self._reason = "overflow"
        self._lost += count
        backlog = None
        if self._next > self.live or not self.left:
            count -= self._drop_current(count)
            if self._later and self._later[0][0] < self.live:
                backlog = self._later.popleft()
        while count and self._later:
            start, run = self._later.popleft()
            part = min(len(run), count)
            if part < len(run) and isinstance(self._later, deque):
                self._later.appendleft((start + part, run[part:]))
            self._later_count -= part
            if self.options.buffer_bytes is not None:
                self._later_bytes -= sum(m.size for m in run[:part])
            count -= part
        if backlog is not None and isinstance(self._later, deque):
            self._later.appendleft(backlog)
        self.open += count

    def _drop_current(self, count: int) -> int:
        left = self.current.__length_hint__() - self._over
        part = min(left, count)
        if part:
            self._last = self.last
            if self._hole is None:
                self._hole = self._next - left
            self._dropped = self._next - left + part
            # In place, since the subscriber may be in the middle of a loop over this very iterator.
            self.current.__setstate__(len(self.segment) - left + part)
            self._taken -= part
        return part

    def keyed(self) -> Runs:
        """What waits by key, for the policy that keeps it so."""
        if not isinstance(self._later, Runs):
            self._later = Runs()
        return self._later

    def adopt(self, message: Message[Any], replaced: Message[Any] | None) -> None:
        """``message``, number `open`, was put in `keyed`; the one that it ``replaced`` there is lost."""
        self.open += 1
        if replaced is None:
            self._later_count += 1
        else:
            self._lost += 1
        if self.options.buffer_bytes is not None:
            self._later_bytes += message.size - (0 if replaced is None else replaced.size)

    def put_back(self) -> None:
        """Empty `current`: what is left of it waits first in its own hands, and a walk ends at the next take."""
        left = self.current.__length_hint__() - self._over
        if left:
            run, self._next = self.segment[-left:], self._next - left
            self.current.__setstate__(len(self.segment))
            self.segment = self.segment[:-left]
            self._taken -= left
            if self._later is None:
                self._later = deque()
            self._later.appendleft((self._next, run))
            self._later_count += left
            if self.options.buffer_bytes is not None and self._next >= self.live:
                self._later_bytes += sum(m.size for m in run)

    # -- accounts

    @property
    def error(self) -> Exception | None:
        """What the subscriber's own key function raised, which ended it."""
        return self._later.error if isinstance(self._later, Runs) else None

    @property
    def left(self) -> int:
        """Messages that are left in `current`."""
        return self.current.__length_hint__() - self._over

    @property
    def held(self) -> int:
        """Messages that wait in its own hands."""
        return self.left + self._later_count

    @property
    def fresh(self) -> int:
        """Of these, the ones that the buffer counts: not those that were there before it began."""
        held = self.held
        return held if self.live <= self._started else max(0, held - max(0, self.live - self.place))

    @property
    def bytes(self) -> int:
        """Bytes of these."""
        left = self.current.__length_hint__() - self._over
        if not left or self._next <= self.live:
            return self._later_bytes
        return self._later_bytes + sum(m.size for m in self.segment[len(self.segment) - left :])

    @property
    def place(self) -> int:
        """The number of the next message that waits, or of the next that may come."""
        left = self.current.__length_hint__() - self._over
        if left:
            return self._next - left
        return self._later[0][0] if self._later else self.open

    @property
    def last(self) -> int:
        """The number of the last message that was taken: who starts again after it misses nothing that is still
        kept.
        """
        left = self.current.__length_hint__() - self._over
        place = self._next - left
        return place - 1 if left < len(self.segment) and place > self._dropped else self._last


def through(segment: Iterable[Any]) -> Rest:
    """An iterator over a tuple."""
    return iter(segment)  # type: ignore[return-value]  # typeshed says Iterator; CPython's has all that Rest names


NOTHING = through(())
next(NOTHING, None)  # an iterator that has come to its end stays there, whatever is done with it
