"""The kernel: `Log`, an append-only list of messages with retention. No asyncio, no clock, no I/O.

Positions inside the kernel are places, also called numbers: message ``n`` of a log is the n-th that was appended,
counted from 1, and ``end`` is the place of the next message. In the log of one topic in memory the place is the
message's ``seq``. The log of a pattern has messages of many topics, and a remote log has those that an engine has
numbered, see `Numbers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from telex.log.numbers import Numbers
from telex.log.options import Options
from telex.message import EXPIRES, Message, Reason, headers_of, time_of
from telex.names import is_pattern

_open = attrgetter("open")

NEVER = 1 << 62
"""A number larger than that of any message."""


class Tuning(msgspec.Struct, frozen=True):
    """Numbers of messages that decide how much work a log does at once."""

    slack: int = 512
    """The messages kept beyond retention before a log trims."""
    bytes_slack: int = 16
    """The same where retention counts bytes."""
    longest_run: int = 4096
    """The longest run that a cursor takes from a log at once."""
    longest_tail: int = 65536
    """The largest buffer for which a log keeps its last messages, instead of asking the cursor to hold them."""


class LogReader(Protocol):
    """A cursor, as its log sees it."""

    open: int
    """The first number that the reader has not put into its own buffer."""
    limit: int
    """The log's end up to which the reader need not call `load` before it takes."""
    options: Options
    """The options of its subscription."""
    log: Log
    """The log that it reads."""

    @property
    def last(self) -> int:
        """The place of the last message that was taken."""

    lasting: bool
    """True for a reader that does not end with the last message of a trigger."""

    @property
    def received(self) -> int:
        """The number of messages that were taken."""

    def is_full(self, size: int) -> bool:
        """Return true when publishers have to wait, or to fail, before they add a message of ``size`` bytes."""

    def hold(self, first: int) -> None:
        """Copy the waiting messages below ``first``: the log is about to trim them."""

    def miss(self, count: int, reason: Reason = "trimmed") -> None:
        """Note that the next ``count`` messages do not come to this process."""

    def end(self, why: str, *, slow: bool = False) -> None:
        """Accept no more messages."""

    def go_on(self, log: Log) -> None:
        """Accept nothing more of this log, whose topic was removed, and go on in ``log``."""


class LogObserver(Protocol):
    """The callbacks of a log to the asyncio shell around it."""

    waiters: dict[Any, None]
    """The readers that wait for the next append, in the order they came. The log calls `notify` only while there are
    some.
    """
    blocked: dict[Any, None]
    """The publishers that wait for room at a blocking cursor, in the order they came."""

    def now(self) -> float:
        """Return the time, in seconds since 1970. Asked only when the next message of a log may have expired."""

    def notify(self) -> None:
        """Wake the waiting readers: messages were appended."""

    def room_made(self) -> None:
        """Wake the blocked publishers: a blocking cursor took messages, or left."""


class NoObserver:
    """The observer of a log without an asyncio shell: nothing waits."""

    def __init__(self) -> None:
        self.waiters: dict[Any, None] = {}
        self.blocked: dict[Any, None] = {}

    def now(self) -> float:
        """Return a time at which no message has expired."""
        return 0.0

    def notify(self) -> None:
        """Do nothing: no reader waits."""

    def room_made(self) -> None:
        """Do nothing: no publisher waits."""


TUNING = Tuning()
NO_OBSERVER = NoObserver()


class Retention(msgspec.Struct, frozen=True):
    """The messages that a log keeps: the last ``messages``, those younger than ``age`` seconds, the last that fit in
    ``bytes``. All given bounds apply; None is no bound.
    """

    messages: int | None = 1000
    age: float | None = None
    bytes: int | None = None


CACHED = 1000


def cached(retention: Retention) -> Retention:
    """Return the retention of the process's copy of a log whose messages a store keeps by ``retention``."""
    kept = retention.messages
    return Retention(CACHED if kept is None else min(CACHED, kept))


class Log:
    """The messages of one topic or pattern, in order, and the cursors that read them.

    Invariant: ``messages[i]`` is message ``base + i``, and ``base + len(messages) == end``. Invariant: every message
    that waits for a cursor is in ``messages`` or in that cursor's buffer.
    """

    __slots__ = (
        "_bytes",
        "_measured",
        "_shared",
        "_shared_end",
        "_shared_start",
        "_slack",
        "_trim_due",
        "base",
        "before_trim",
        "began",
        "blocking_cursors",
        "cursors",
        "end",
        "epoch",
        "expired",
        "expires",
        "first",
        "holders",
        "measures",
        "messages",
        "name",
        "noted",
        "numbers",
        "observer",
        "remote",
        "retention",
        "tails",
        "trim_at",
        "trimmed_time",
        "tuning",
        "uid",
    )

    def __init__(
        self,
        name: str,
        epoch: str,
        retention: Retention,
        uid: int,
        *,
        remote: bool = False,
        tuning: Tuning = TUNING,
    ) -> None:
        """Make an empty log. ``uid`` is a random number of 74 bits, from which the ids of its messages are counted. A
        ``remote`` log is the process's copy of the last messages of a log that an engine keeps: trimmed messages may be
        read again from the engine.
        """
        self.remote: bool = remote
        # of a topic's remote log; None where the numbers of messages are their places, or those of other logs
        self.numbers: Numbers | None = Numbers() if remote and not is_pattern(name) else None
        self.name: str = name
        self.epoch: str = epoch
        self.uid: int = uid
        self.tuning: Tuning = tuning
        self.messages: list[Message[Any]] = []
        self.base: int = 1
        self.first: int = 1  # the oldest number that retention keeps, as of the last `keep`
        self.end: int = 1
        self.trimmed_time: float | None = None  # the time of publishing of the last message that is no longer kept
        self.cursors: dict[LogReader, None] = {}
        # the cursors that hold their waiting messages before these are trimmed
        self.holders: dict[LogReader, None] = {}
        self.tails: dict[LogReader, int] = {}  # the cursors for which the log keeps this number of last messages
        self.measures: bool = False  # True when the retention or a cursor bounds bytes, or did
        self.expires: bool = False  # True when a message that expires came to it
        self.expired: int = 0  # the number of times that a cursor left out a message, since it had expired
        # publishers ask these cursors before an append: policies block and fail
        self.blocking_cursors: list[LogReader] = []
        self.observer: LogObserver = NO_OBSERVER
        self.before_trim: Callable[[], None] | None = None  # called before messages are trimmed
        self.noted: Callable[[Message[Any]], None] | None = None  # called with every message that is appended
        self.began: Callable[[str], None] | None = None  # see `tell_use`
        self._shared: tuple[Message[Any], ...] = ()
        self._shared_start = self._shared_end = 0
        self._bytes = 0  # the bytes of the messages from `first` to `_measured`, when retention counts bytes
        self._measured = 1
        self.retention: Retention = retention
        self.retain(retention)

    def retain(self, retention: Retention) -> None:
        """Set the retention, from the next `keep` on. Messages that are gone do not come back."""
        self.keep()
        self.retention = retention
        self._bytes, self._measured = 0, self.first
        # Trimming moves the kept messages to the front of the list, so it is done once for many messages.
        slack = self.tuning.slack
        self._slack = slack if retention.messages is None else max(slack, retention.messages)
        if retention.bytes is not None:
            self._slack = self.tuning.bytes_slack
            self.measures = True
        self._aim(self.end)
        self._all_look()

    def _all_look(self) -> None:
        for cursor in self.cursors:
            cursor.limit = -1  # a limit of -1 makes the cursor call its policy before the next take

    def expect(self, messages: Sequence[Message[Any]]) -> None:
        """Have readers look for expired messages from now on, if one of ``messages`` expires. They are added next."""
        if not self.expires and any(map(headers_of, messages)):
            self.expires = any(EXPIRES in (headers_of(message) or ()) for message in messages)
            if self.expires:
                self._all_look()

    def append(self, message: Message[Any], now: float) -> None:
        """Add one message, number ``end``. The cost does not depend on the number of cursors."""
        self.messages.append(message)
        self.end = end = self.end + 1
        if end >= self.trim_at:
            self.appended(now)
        if self.observer.waiters:
            self.observer.notify()

    def extend(self, messages: Sequence[Message[Any]], now: float) -> None:
        """Add several messages at once."""
        self.expect(messages)
        self.messages += messages
        self.end = end = self.end + len(messages)
        if end >= self.trim_at:
            self.appended(now)
        if self.observer.waiters:
            self.observer.notify()

    def keep(self, now: float | None = None) -> int:
        """Return the oldest number that is kept at ``now`` (seconds since 1970), or `end` when none is. It never
        decreases.

        Without ``now``, the age of messages is that of the last call with ``now``.
        """
        retention, end, first = self.retention, self.end, self.first
        if retention.messages is not None:
            first = max(first, end - retention.messages)
        if retention.age is not None and now is not None:
            oldest = now - retention.age
            messages, base = self.messages, self.base
            while first < end and time_of(messages[first - base]) <= oldest:
                first += 1
        if retention.bytes is not None:
            first = self._keep_bytes(first, retention.bytes)
        if first > self.first:
            self.trimmed_time = time_of(self.messages[first - 1 - self.base])
            self.first = first
            if retention.age is not None:
                self._all_look()  # by age, messages expire without an append
        return first

    def _keep_bytes(self, first: int, limit: int) -> int:
        messages, base = self.messages, self.base
        gone = min(first, self._measured)
        total = self._bytes - sum(m.size for m in messages[self.first - base : gone - base])
        total += sum(m.size for m in messages[max(first, self._measured) - base :])
        while total > limit:
            total -= messages[first - base].size
            first += 1
        self._bytes, self._measured = total, self.end
        return first

    def tell(self, noted: Callable[[Message[Any]], None] | None) -> None:
        """Call ``noted`` with every message that is appended from now on, in the publisher's context. None: stop
        calling.
        """
        self.noted = noted
        self._aim(self._trim_due)

    def tell_use(self, began: Callable[[str], None]) -> None:
        """Call ``began`` once, with the log's name, at the next message or the next reader."""
        self.began = began
        self._aim(self._trim_due)

    def _begin_use(self) -> None:
        began, self.began = self.began, None
        if began is not None:
            self._aim(self._trim_due)
            began(self.name)

    def _aim(self, due: int) -> None:
        self._trim_due: int = due  # the log's end at which `trim` is called next
        # the log's end at which `appended` is called next
        self.trim_at: int = due if self.noted is None and self.began is None else 0

    def appended(self, now: float) -> None:
        """Do the rare work, after an append that reached `trim_at`: trim, and call the callbacks."""
        if self.began is not None:
            self._begin_use()
        if self.noted is not None:
            self.noted(self.messages[-1])
        if self.end >= self._trim_due:
            self.trim(now)

    def trim(self, now: float) -> None:
        """Drop the messages that retention no longer keeps. Readers that need them hold them first. Done once for many
        messages.
        """
        low = self.keep(now)
        slack = self._slack
        if self.retention.bytes is None:
            # With more cursors to ask, more messages are trimmed at once: the cost for each message stays the same.
            slack = max(slack, 4 * len(self.cursors))
        if self.tails and low > self.base:
            needed = min(map(_open, self.tails))
            if needed < low:
                low = min(low, max(needed, self.end - max(self.tails.values())))
        count = low - self.base
        if count >= slack:
            if self.holders and min(map(_open, self.holders)) < low:
                for cursor in self.holders:
                    if cursor.open < low:
                        cursor.hold(low)
            if self.before_trim is not None:
                self.before_trim()
            del self.messages[:count]
            self.base = low
            if self.numbers is not None:
                self.numbers.prune(min((cursor.last for cursor in self.cursors), default=low))
            self._shared, self._shared_start, self._shared_end = (), 0, 0
        self._aim(self.end + slack)

    def begin(self, end: int) -> None:
        """Set the number of the next message to ``end``, before any was appended."""
        self._move(end)
        if self.numbers is not None:
            self.numbers.restart(end)

    def _move(self, end: int) -> None:
        self.base = self.first = self.end = self._measured = end
        self._aim(end)

    def seq(self, place: int) -> int:
        """Return the number of the message at ``place``; see `Numbers.seq`."""
        return place if self.numbers is None else self.numbers.seq(place)

    def restart(self, end: int) -> None:
        """Drop all messages; the next one is number ``end``. No cursor may read the log."""
        self.messages.clear()
        self._bytes, self.trimmed_time = 0, None
        self._shared, self._shared_start, self._shared_end = (), 0, 0
        self.begin(end)

    def prepend(self, messages: Sequence[Message[Any]]) -> None:
        """Add older messages, right before the oldest message of this process."""
        self.expect(messages)
        self.messages[:0] = messages
        self.base -= len(messages)
        if self.numbers is not None and messages:
            self.numbers.extend(self.base, messages)
        self.first = min(self.first, self.base)
        self._bytes, self._measured = 0, self.first

    def jump(self, count: int, reason: Reason = "trimmed") -> None:
        """Skip the next ``count`` numbers: their messages do not come to this process; see `Cursor.miss`."""
        for cursor in list(self.cursors):
            cursor.miss(count, reason)
        if self.before_trim is not None:
            self.before_trim()
        self.messages.clear()
        self._bytes = 0
        self._move(self.end + count)
        self._begin_use()
        self._shared, self._shared_start, self._shared_end = (), 0, 0

    def join(self, cursor: LogReader, keeps: int | None) -> None:
        """Register a cursor. Until it leaves, the log keeps its last ``keeps`` messages for it; with None the cursor
        holds its messages itself.
        """
        self._begin_use()
        self.measures = self.measures or cursor.options.buffer_bytes is not None
        self.cursors[cursor] = None
        if keeps is None:
            self.holders[cursor] = None
        elif keeps:
            self.tails[cursor] = keeps

    def leave(self, cursor: LogReader) -> None:
        """Remove a cursor that has ended. It may be called twice."""
        for group in (self.cursors, self.holders, self.tails):
            group.pop(cursor, None)

    def slice(self, start: int, end: int) -> tuple[Message[Any], ...]:
        """Return the messages from ``start`` up to but not including ``end``. All readers of the same range get the
        same tuple.
        """
        if start == self._shared_start and end == self._shared_end:
            return self._shared
        base = self.base
        self._shared = shared = tuple(self.messages[start - base : end - base])
        self._shared_start, self._shared_end = start, end
        return shared

    def find_time(self, moment: float) -> int:
        """Return the number of the first kept message at or after ``moment`` (seconds since 1970), or ``end``."""
        for offset in range(self.first - self.base, len(self.messages)):
            if time_of(self.messages[offset]) >= moment:
                return self.base + offset
        return self.end

    def history(self, now: float) -> Iterator[Message[Any]]:
        """Return the messages that are kept at ``now``, oldest first, as one snapshot."""
        return iter(self.messages[self.keep(now) - self.base :])
