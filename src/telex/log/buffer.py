"""The kernel: `Buffer`, the messages that one cursor holds itself. No asyncio, no clock, no I/O.

The waiting messages of a cursor, oldest first::

    current (the rest of the run that is being taken) | the held runs | the log from `Cursor.open` on
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from telex.message import Message, has_expired

if TYPE_CHECKING:
    from typing import Protocol, Self

    class Rest(Protocol):
        """An iterator over a tuple, as CPython makes it: its length hint is the number of items left, and its place can
        be set.
        """

        def __iter__(self) -> Rest: ...
        def __next__(self) -> Message[Any]: ...
        def __length_hint__(self) -> int: ...
        def __setstate__(self, index: int, /) -> None: ...


Run = tuple[Message[Any], ...]
"""Messages whose numbers follow one another."""


class UnloadedRange(tuple[Message[Any], ...]):  # noqa: SLOT001  # a tuple subclass with a field has a dict
    """A run of messages that the engine stores and this process has not read: it has a length and no items."""

    length: int

    def __new__(cls, length: int) -> Self:
        unloaded = super().__new__(cls)
        unloaded.length = length
        return unloaded

    def __len__(self) -> int:
        return self.length


class KeyedRuns:
    """The waiting messages of ``latest`` by key, in the order of their last change; used like a deque of runs."""

    __slots__ = ("_key", "_runs")

    def __init__(self) -> None:
        self._runs: dict[object, tuple[int, Run]] = {}
        self._key: object = None  # the key of the run that was popped last

    def put(self, key: object, number: int, message: Message[Any]) -> Message[Any] | None:
        """Keep ``message`` as the newest of its key. Return the older message that it replaces, or None."""
        replaced = self._runs.pop(key, None)
        self._runs[key] = (number, (message,))
        return None if replaced is None else replaced[1][0]

    def popleft(self) -> tuple[int, Run]:
        self._key = next(iter(self._runs))
        return self._runs.pop(self._key)

    def appendleft(self, run: tuple[int, Run]) -> None:
        """Put back the run that was popped last."""
        self._runs = {self._key: run, **self._runs}

    def __getitem__(self, index: int) -> tuple[int, Run]:
        return next(iter(self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)


class Buffer:
    """The run that is being taken, `current`, and the held runs after it.

    A loop over `current` takes messages without a call into the kernel. The number of messages left in it is read from
    the iterator, so all counts are exact at any time. Invariant: `count` and `bytes` are those of the held runs;
    `bytes` counts only where the cursor bounds bytes.
    """

    __slots__ = (
        "_dropped",
        "_last",
        "bytes",
        "bytes_counted",
        "count",
        "current",
        "live",
        "next",
        "run",
        "runs",
        "taken",
    )

    def __init__(self, start: int, *, keyed: bool, bytes_counted: bool) -> None:
        self.run: Run = ()
        self.current: Rest = NOTHING
        # the deque is made when it is first needed
        self.runs: deque[tuple[int, Run]] | KeyedRuns | None = KeyedRuns() if keyed else None
        self.count: int = 0
        self.bytes: int = 0
        self.bytes_counted: bool = bytes_counted
        # messages below this number were in the log before the cursor began; the capacity does not count them
        self.live: int = 0
        self.next: int = start  # the number after the last message of `run`, or after a hole that was reported
        self.taken: int = 0  # the number of messages ever put into `current`, less those dropped from it
        self._last = start - 1  # the number before the next unread message, as of the last `load` or `drop`
        self._dropped = start  # the number after the last message that was dropped from `current`

    # -- the run that is being taken

    @property
    def left(self) -> int:
        """The number of messages left in `current`."""
        return self.current.__length_hint__()

    @property
    def held(self) -> int:
        """The number of messages left in `current` and in the held runs."""
        return self.current.__length_hint__() + self.count

    @property
    def place(self) -> int | None:
        """The number of the next held message; None when no message is held."""
        left = self.current.__length_hint__()
        if left:
            return self.next - left
        return self.runs[0][0] if self.runs else None

    @property
    def last(self) -> int:
        """The number of the last message that was taken: a reader that resumes after it misses no message that is still
        kept.
        """
        left = self.current.__length_hint__()
        place = self.next - left
        return place - 1 if left < len(self.run) and place > self._dropped else self._last

    @property
    def held_bytes(self) -> int:
        """The bytes of the held messages that the capacity counts."""
        left = self.current.__length_hint__()
        if not left or self.next <= self.live:
            return self.bytes
        return self.bytes + _size(self.run[len(self.run) - left :])

    def load(self, start: int, run: Run) -> None:
        """Make ``run``, whose first message has the number ``start``, the run that is being taken."""
        left = self.current.__length_hint__()
        place = self.next - left
        if left < len(self.run) and place > self._dropped:  # the same as `last`, without the call
            self._last = place - 1
        self.run = run
        self.next = start + len(run)
        self.taken += len(run)
        self.current = iter(run)  # type: ignore[assignment]  # as `through`, without a call

    def pass_on(self, end: int) -> None:
        """Move the messages from `next` up to but not including ``end`` directly from the log to the subscriber."""
        self.taken += end - self.next
        self.run = ()
        self.next = end
        self._last = end - 1

    def load_held(self) -> int:
        """Make the oldest held run `current`; return the number of its first message."""
        assert self.runs
        start, run = self.runs.popleft()
        self._forget(start, run)
        self.load(start, run)
        return start

    def take_many(self, limit: int) -> Run:
        """Return the next messages of `current`, at most ``limit``."""
        run = self.run
        left = self.current.__length_hint__()
        start = len(run) - left
        count = min(left, limit)
        self.current.__setstate__(start + count)
        return run if count == len(run) else run[start : start + count]

    def pass_expired(self, now: float) -> int:
        """Pass over the next messages of `current` that have expired at ``now``. Return their number."""
        run, start = self.run, len(self.run) - self.left
        end = start
        while end < len(run) and has_expired(run[end], now):
            end += 1
        self.current.__setstate__(end)
        return end - start

    def unexpired(self, limit: int, now: float) -> int:
        """Return the number of messages of `current` before one after the first that has expired, at most ``limit``:
        `pass_expired` has just found that the first has not, and the clock may have moved since.
        """
        run, start = self.run, len(self.run) - self.left
        end = min(len(run), start + limit)
        return next((at for at in range(start + 1, end) if has_expired(run[at], now)), end) - start

    def put_back(self) -> None:
        """Empty `current`: the rest of it becomes the first held run."""
        left = self.current.__length_hint__()
        if left:
            run, self.next = self.run[-left:], self.next - left
            self.current.__setstate__(len(self.run))  # ends a loop that is in the middle of it
            self.current = NOTHING
            self.run = self.run[:-left]
            self.taken -= left
            if self.runs is None:
                self.runs = deque()
            self.runs.appendleft((self.next, run))
            self._account(self.next, run)

    # -- the held runs

    def hold(self, start: int, run: Run) -> None:
        """Append ``run``, whose first message has the number ``start``, to the held runs."""
        if self.runs is None:
            self.runs = deque()
        assert isinstance(self.runs, deque)  # a cursor with a key holds single messages
        self.runs.append((start, run))
        self._account(start, run)

    def hold_by_key(self, key: object, number: int, message: Message[Any]) -> bool:
        """Hold a message as the newest of its key. Return true when an older message of the key was dropped."""
        assert isinstance(self.runs, KeyedRuns)
        replaced = self.runs.put(key, number, message)
        self._account(number, (message,))
        if replaced is None:
            return False
        self._forget(number, (replaced,))
        return True

    def drop(self, count: int) -> tuple[int, int | None]:
        """Drop the oldest held messages that the capacity counts, at most ``count``.

        Return how many of ``count`` are left to drop from the log, and the number of the first message that was dropped
        from `current`, or None.
        """
        hole, backlog = None, None
        if self.next > self.live or not self.current.__length_hint__():
            dropped = self._drop_current(count)
            hole = None if not dropped else self._dropped - dropped
            count -= dropped
            if self.runs and self.runs[0][0] < self.live:
                backlog = self.runs.popleft()
        while count and self.runs:
            start, run = self.runs.popleft()
            part = min(len(run), count)
            if part < len(run):
                self.runs.appendleft((start + part, run[part:]))
            self._forget(start, run[:part])
            count -= part
        if backlog is not None and self.runs is not None:
            self.runs.appendleft(backlog)
        return count, hole

    def _drop_current(self, count: int) -> int:
        left = self.current.__length_hint__()
        part = min(left, count)
        if part:
            self._last = self.last
            self._dropped = self.next - left + part
            # The iterator is changed in place, since the subscriber may be looping over it.
            self.current.__setstate__(len(self.run) - left + part)
            self.taken -= part
        return part

    def supply(self, start: int, end: int, messages: Iterable[Message[Any]], place: int | None = None) -> int:
        """Replace the unloaded range at the front by ``messages``, at places from ``start`` up to but not including
        ``end``: from ``place`` on, or where it is None at those of their numbers. Return the number of missing
        messages. Messages at ``end`` or above are left in the iterator for the next call.
        """
        assert isinstance(self.runs, deque)
        unloaded = self.runs.popleft()[1]
        end = min(end, start + len(unloaded))
        found: list[tuple[int, list[Message[Any]]]] = []
        for offset, message in enumerate(messages):
            at = message.seq if place is None else place + offset
            if at >= end:
                break
            if found and at == found[-1][0] + len(found[-1][1]):
                found[-1][1].append(message)
            else:
                found.append((at, [message]))
        missing = end - start - sum(len(run) for _, run in found)
        self.count -= missing
        if start + len(unloaded) > end:
            self.runs.appendleft((end, UnloadedRange(start + len(unloaded) - end)))
        self.runs.extendleft((first, tuple(run)) for first, run in reversed(found))
        return missing

    def _account(self, start: int, run: Run) -> None:
        self.count += len(run)
        if self.bytes_counted and start >= self.live:
            self.bytes += _size(run)

    def _forget(self, start: int, run: Run) -> None:
        self.count -= len(run)
        if self.bytes_counted and start >= self.live:
            self.bytes -= _size(run)


def _size(run: Iterable[Message[Any]]) -> int:
    return sum(message.size for message in run)


def through(run: Iterable[Any]) -> Rest:
    """Return an iterator over a tuple."""
    return iter(run)  # type: ignore[return-value]  # typeshed says Iterator; CPython's has all members of Rest


NOTHING = through(())
next(NOTHING, None)  # an exhausted iterator stays exhausted
