"""`Tail`: gives the feed every message of the file once, in the order of ``pos``.

Those of this process are the very objects that were published. Those of others are read from the file, when a commit
of theirs was seen: by the watcher, or by the thread that writes.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from telex.engines.sqlite import rows
from telex.engines.sqlite.jobs import Batch, Waiter
from telex.engines.sqlite.session import told
from telex.errors import Closed, TelexError

if TYPE_CHECKING:
    from telex.engines.sqlite.runtime import Runtime
    from telex.message import Message

ROWS = 1024
BYTES = 16 * 1024 * 1024
"""So much is read at once, at most."""
_TOPICS = "SELECT id, name, epoch, uid, end, first FROM telex_topics"
_STATE = "SELECT epoch, pos, removals, rules, delays FROM telex_state"
_READ = f"""SELECT {rows.COLUMNS}, t.id, t.epoch FROM {rows.JOINED}
    WHERE m.pos >= ? AND m.pos < ? ORDER BY m.pos LIMIT {ROWS}"""


class Seen(msgspec.Struct):
    """What a look into the file has found."""

    epoch: str
    pos: int
    removals: int
    rules: int
    delays: int
    rows: list[tuple[Any, ...]]
    end: int
    """The messages up to, not with, this one were read."""
    topics: list[tuple[Any, ...]] | None = None
    """All of them, when some were removed or messages were missing."""
    removed: list[tuple[str, int]] | None = None
    retention: list[tuple[Any, ...]] | None = None
    """The rules, when they have changed."""
    due: float | None = None
    """When the next delayed message is due, if `delays` has changed."""


class Tail:
    """Lives in the event loop, but for `begun`.

    Invariant: the feed was given all messages below `fed`, and none from there on.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.fed: int = 1
        self.known: int = 1  # messages below are committed
        self.removals: int = -1
        self.rules: int = -1
        self.delays: int = -1
        self.look: bool = False  # whether another process has written what was not looked at yet
        self._own: deque[Batch] = deque()  # those that this process committed, or is about to
        self._reading = False
        self._last_topic = 0  # when all topics were read, no id was higher
        self._closing = False

    async def begin(self, seen: Seen) -> None:
        """The file is open: what is in it was published before."""
        self.fed = self.known = seen.pos
        self._take_in(seen)

    def begun(self, batch: Batch) -> None:
        """The thread that writes is about to commit: nobody is to read these messages from the file."""
        if batch.entries:
            self._own.append(batch)

    def committed(self, batch: Batch) -> None:
        """A transaction has ended, in one way or the other."""
        batch.done = True
        if batch.foreign:
            self.look = True
        if batch.error is not None:
            if batch in self._own:
                self._own.remove(batch)
            self._refuse(batch.jobs, batch.error)
            self._runtime.check_fatal(batch.error)
        elif not batch.entries:
            self._settle(batch)
        self.advance()

    def noticed(self, pos: int) -> None:
        """Another process has committed, and the next message is now ``pos``."""
        self.known = max(self.known, pos)
        self.look = True
        self.advance()

    def close(self) -> None:
        """From now on nothing more is read; what this process commits is told as far as it follows on."""
        self._closing = True
        self.advance()

    def advance(self) -> None:
        """Give what can be given, and read what is missing."""
        if self._reading and not self._closing:
            return
        own = self._own
        # What others changed before an own commit, such as a removal, is told before it.
        while own and own[0].done and (self._closing or (own[0].start == self.fed and not self.look)):
            self._deliver(own.popleft())
        if self._closing:
            return
        limit = own[0].start if own else self.known
        if self.fed < limit or self.look:
            self._reading, self.look = True, False
            self._runtime.start(self._catch_up(max(limit, self.fed)))

    async def _catch_up(self, limit: int) -> None:
        first, versions, full = self.fed, (self.removals, self.rules, self.delays), self._last_topic == 0
        try:
            seen = await self._runtime.read(lambda connection: look(connection, first, limit, versions, full))
        except Closed:
            return
        except (TelexError, sqlite3.Error) as error:
            self._reading = False
            self._runtime.fail(error)
            return
        self._reading = False
        if self._closing:
            return
        self._take_in(seen)
        self._runtime.feed.stirred()
        self.advance()

    def _take_in(self, seen: Seen) -> None:
        runtime = self._runtime
        own_known = self._own[0].start if self._own else None
        if own_known is None or seen.pos <= own_known:
            self.known = max(self.known, seen.pos)
        runtime.epoch = seen.epoch
        if seen.topics is not None:
            self._load(seen.topics, seen.removed or [])
        if seen.retention is not None:
            runtime.rules.set(seen.retention, seen.rules)
        changed = self.delays != seen.delays
        self.removals, self.rules, self.delays = seen.removals, seen.rules, seen.delays
        if changed:
            runtime.delayed.arm(seen.due)
        self._feed_rows(seen.rows)
        self.fed = max(self.fed, seen.end)

    def _load(self, topics: list[tuple[Any, ...]], removed: list[tuple[str, int]]) -> None:
        runtime = self._runtime
        runtime.removed = dict(removed)
        ids = {row[0] for row in topics}
        for head in [head for head in runtime.by_id.values() if head.id not in ids]:
            runtime.forget(head.id)
            runtime.feed.removed(head.name)
        for id, name, epoch, uid, end, first in topics:
            head = runtime.learn(id, name, epoch, int(uid))
            head.first = max(head.first, first)
            head.end = max(head.end, end)
        self._last_topic = max(ids, default=0) or self._last_topic

    def _feed_rows(self, found: list[tuple[Any, ...]]) -> None:
        runtime = self._runtime
        wants, shape = runtime.feed.wants, runtime.feed.content
        messages: list[Message[Any]] = []
        for id, run in groupby(found, itemgetter(10)):
            own = list(run)
            name, uid, epoch = own[0][8], own[0][9], own[0][11]
            head = runtime.by_id.get(id) or runtime.learn(id, name, epoch, int(uid))
            head.end = own[-1][1] + 1
            if wants(name):
                messages += rows.decode([row[:8] for row in own], name, head.uid, shape)
        if messages:
            runtime.feed.take(messages)

    def _deliver(self, batch: Batch) -> None:
        runtime = self._runtime
        wanted: dict[str, bool] = {}
        for id, name, epoch, uid, end in batch.heads:
            if id not in runtime.by_id and id <= self._last_topic:
                wanted[name] = False  # another process removed it right after
                continue
            runtime.learn(id, name, epoch, uid).end = end
            wanted[name] = runtime.feed.wants(name)
        self.fed = max(self.fed, batch.end)
        messages: Iterable[Any] = batch.entries
        if batch.decode:
            messages = [e if type(e) is not tuple else runtime.message(e) for e in batch.entries]
        if not all(wanted.values()):
            messages = [message for message in messages if wanted[message.topic]]
        if messages:
            runtime.feed.take(messages)  # type: ignore[arg-type]
        for name, is_wanted in wanted.items():
            if not is_wanted:
                runtime.feed.stirred(name)
        self._settle(batch)

    def _settle(self, batch: Batch) -> None:
        for job in batch.jobs:
            job.settle(self._runtime.message)

    def _refuse(self, jobs: Iterable[Waiter], error: BaseException) -> None:
        for job in jobs:
            job.refuse(partial(told, error, f"writing {self._runtime.address.path}"))


def look(connection: sqlite3.Connection, first: int, limit: int, versions: tuple[int, int, int], full: bool) -> Seen:
    """Read what is new, in the thread that reads. ``versions`` is what is known of removals, rules and delays."""
    epoch, pos, removals, rules, delays = connection.execute(_STATE).fetchone()
    found, end = _rows(connection, first, limit)
    seen = Seen(epoch, pos, removals, rules, delays, found, end)
    if full or removals != versions[0] or len(found) < end - first:
        seen.topics = connection.execute(_TOPICS).fetchall()
        seen.removed = connection.execute("SELECT name, times FROM telex_removed").fetchall()
    if rules != versions[1]:
        seen.retention = connection.execute(
            "SELECT pattern, messages, age, bytes FROM telex_rules ORDER BY ord DESC"
        ).fetchall()
    if delays != versions[2]:
        (seen.due,) = connection.execute("SELECT min(due) FROM telex_delayed").fetchone()
    return seen


def _rows(connection: sqlite3.Connection, first: int, limit: int) -> tuple[list[tuple[Any, ...]], int]:
    if first >= limit:
        return [], first
    found: list[tuple[Any, ...]] = []
    size = 0
    for row in connection.execute(_READ, (first, limit)):
        found.append(row)
        size += len(row[7])
        if size > BYTES:
            return found, row[0] + 1
    return found, limit if len(found) < ROWS else found[-1][0] + 1
