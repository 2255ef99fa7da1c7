"""`ChangeReader`: delivers every message of the file to the hub once, in the order of ``pos``.

Messages of this process are the objects that were published. Messages of other processes are read from the file, when
the watcher or the writing thread has noticed a commit.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from telex.engines import forms
from telex.engines.contract.groups import Unreadable
from telex.engines.interest import Followed, Interest, deliver
from telex.engines.sqlite import problems, rows
from telex.engines.sqlite.bounds import BOUNDS, FileBounds
from telex.engines.sqlite.jobs import Batch, JobObserver
from telex.engines.sqlite.session import told
from telex.errors import Closed
from telex.process.supervision import is_end

if TYPE_CHECKING:
    from telex.engines.sqlite.client import FileClient
    from telex.engines.sqlite.delayed import Delayed
    from telex.message import Message

logger: logging.Logger = logging.getLogger("telex")
_TOPICS = "SELECT id, name, epoch, uid, end, first FROM telex_topics"
_STATE = "SELECT epoch, pos, removals, rules, delays FROM telex_state"
_CONTENT = "CASE WHEN telex_follows(t.name) THEN m.content END"
_READ = f"""SELECT {rows.COLUMNS.replace("m.content", _CONTENT)}, t.id, t.epoch FROM {rows.JOINED}
    WHERE m.pos >= ? AND m.pos < ? ORDER BY m.pos LIMIT ?"""
"""The content of topics that nobody follows is not read."""


NOBODY = Followed(frozenset(), ())
"""No topic is followed."""


class Run(msgspec.Struct):
    """Messages of one topic with consecutive places; empty when the topic is not followed."""

    id: int
    name: str
    epoch: str
    uid: int
    end: int
    messages: list[Any]


class Seen(msgspec.Struct):
    """The result of a look into the file."""

    epoch: str
    pos: int
    removals: int
    rules: int
    delays: int
    rows: list[tuple[Any, ...]]
    end: int
    """The place up to but not including which messages were read."""
    followed: Followed
    """The content of messages of these topics was read."""
    topics: list[tuple[Any, ...]] | None = None
    """All topics, when some were removed or messages were missing; else None."""
    removed: list[tuple[str, int]] | None = None
    retention: list[tuple[Any, ...]] | None = None
    """The retention rules, when they have changed."""
    due: float | None = None
    """The time of the next delayed message, if `delays` has changed."""


class ChangeReader:
    """The reader of new messages, used in the event loop except for `begun`.

    Invariant: the hub has received all messages below the place `fed`, and none from there on.
    """

    def __init__(self, client: FileClient, delayed: Delayed) -> None:
        self._client = client
        self._delayed = delayed
        self.interest: Interest = Interest()
        self.fed: int = 1
        self.known: int = 1  # messages below this place are committed
        self.removals: int = -1
        self.rules: int = -1
        self.delays: int = -1
        self.look: bool = False  # True when another process has written something that was not read yet
        self._own: deque[Batch] = deque()  # batches that this process has committed, or is about to commit
        self._reading = False
        self._last_topic = 0  # the highest id of a topic when all topics were read
        self._closing = False
        self._abandoned: BaseException | None = None  # the reason why the hub is not called any more

    async def begin(self) -> None:
        """Read the topics of the file, whose messages were published before it was opened."""
        seen = await self._client.read(lambda connection: look(connection, 0, 0, (-1, -1, -1), full=True))
        self.fed = self.known = seen.pos
        self.take_in(seen)

    def begun(self, batch: Batch) -> None:
        """Note that the writing thread is about to commit: these messages are not read from the file."""
        if batch.entries:
            self._own.append(batch)

    def committed(self, batch: Batch) -> None:
        """Handle the end of a transaction, committed or rolled back."""
        try:
            self._committed(batch)
        except BaseException as error:
            self._client.broke(error)
            self.refuse(batch.jobs, error)
            if is_end(error):
                raise

    def _committed(self, batch: Batch) -> None:
        batch.done = True
        if batch.foreign:
            self.look = True
        if batch.error is not None:
            if batch in self._own:
                self._own.remove(batch)
            self.refuse(batch.jobs, batch.error)
            self._client.check_fatal(batch.error)
        elif self._abandoned is not None:
            self.refuse(batch.jobs, self._abandoned)
        elif not batch.entries:
            self._settle(batch)
        self.advance()

    def noticed(self, pos: int) -> None:
        """Note that another process has committed, and that the next message has the place ``pos``."""
        self.known = max(self.known, pos)
        self.look = True
        self.advance()

    def close(self) -> None:
        """Stop reading. Commits of this process are still delivered while no earlier message is missing."""
        self._closing = True
        self.advance()

    def abandon(self, error: BaseException) -> None:
        """Stop calling the hub. Every present and later wait raises ``error``."""
        self._abandoned = error
        while self._own:
            self.refuse(self._own.popleft().jobs, error)

    def advance(self) -> None:
        """Deliver the messages that are ready, and read the missing ones."""
        if self._abandoned is not None:
            return
        try:
            self._advance()
        except BaseException as error:
            self._client.broke(error)
            if is_end(error):
                raise

    def _advance(self) -> None:
        if self._reading and not self._closing:
            return
        own = self._own
        # Changes of others before an own commit, such as a removal, are delivered before it.
        while own and own[0].done and (self._closing or (own[0].start == self.fed and not self.look)):
            self._deliver(own[0])
            own.popleft()  # not before: a batch that cannot be delivered is refused
        if self._closing:
            return
        limit = own[0].start if own else self.known
        if self.fed < limit or self.look:
            self._reading, self.look = True, False
            self._client.start("reading what others published", self._catch_up(max(limit, self.fed)))

    async def _catch_up(self, limit: int) -> None:
        """Read messages of other processes, and deliver them. While memory, descriptors or the disk are short, try
        again; publishers whose messages come later wait.
        """
        first, versions, full = self.fed, (self.removals, self.rules, self.delays), self._last_topic == 0
        bounds = self._client.address.bounds
        for pause in (*bounds.read_pauses, None):
            # When memory does not suffice after all pauses, the next message is skipped as unreadable.
            bare = pause is None
            try:
                seen = await self._client.read(
                    partial(
                        look,
                        first=first,
                        limit=limit,
                        versions=versions,
                        full=full,
                        bare=bare,
                        bounds=bounds,
                        followed=self.interest.now,
                    )
                )
                runs = self._decode(seen)
                break
            except Closed:
                return
            except Exception as error:  # noqa: BLE001  # another error than a shortage ends the engine
                if self._closing or self._client.failed:
                    return
                if pause is None or not problems.is_shortage(error):
                    self._reading = False
                    self._client.fail(problems.failure("reading what others published", error))
                    return
                logger.error(
                    "reading messages of other processes is tried again in %g s: %s", pause, problems.explain(error)
                )
            await asyncio.sleep(pause)
        self._reading = False
        if self._closing or self._client.failed:
            return
        self.take_in(seen, runs)
        self._client.fetches.stir()
        self.advance()

    def take_in(self, seen: Seen, runs: Sequence[Run] = ()) -> None:
        catalogue = self._client.catalogue
        own_known = self._own[0].start if self._own else None
        if own_known is None or seen.pos <= own_known:
            self.known = max(self.known, seen.pos)
        catalogue.epoch = seen.epoch
        if seen.topics is not None:
            self._load(seen.topics, seen.removed or [], first=self.removals < 0)
        if seen.retention is not None:
            catalogue.rules.set(seen.retention, seen.rules)
        changed = self.delays != seen.delays
        self.removals, self.rules, self.delays = seen.removals, seen.rules, seen.delays
        if changed:
            self._delayed.arm(seen.due)
        self._feed(runs)
        self.fed = max(self.fed, seen.end)

    def _load(self, topics: list[tuple[Any, ...]], removed: list[tuple[str, int]], *, first: bool) -> None:
        catalogue, ids = self._client.catalogue, {row[0] for row in topics}
        catalogue.removals = dict(removed)
        for name in catalogue.drop_others(ids):
            self._client.events.gap(name, None, "epoch")  # first: a recreated topic of this name begins at number 1
        catalogue.load(topics, first=first)
        self._last_topic = max(ids, default=0) or self._last_topic

    def _decode(self, seen: Seen) -> list[Run]:
        """Return the messages of rows, in runs of one topic. It can be called again: it only cuts ``seen`` off at a
        topic whose content was not read, and that is followed since.
        """
        found, follows = seen.rows, self.interest.has
        runs: list[Run] = []
        for id, run in groupby(found, itemgetter(10)):
            own = list(run)
            name, uid, epoch = own[0][8], int(own[0][9]), own[0][11]
            messages: list[Message[Any]] = []
            if follows(name):
                if not seen.followed(name):
                    seen.end = own[0][0]
                    return runs
                messages = forms.decode([row[:8] for row in own], name, uid, self._client.decoder.decode)
            runs.append(Run(id, name, epoch, uid, own[-1][1] + 1, messages))
        return runs

    def _feed(self, runs: Sequence[Run]) -> None:
        catalogue, events = self._client.catalogue, self._client.events
        messages: list[Message[Any]] = []
        for run in runs:
            head = catalogue.by_id.get(run.id) or catalogue.learn(run.id, run.name, run.epoch, run.uid)
            before, head.end = head.end, run.end
            if type(run.messages) is list and (not run.messages or run.end - before == len(run.messages)):
                messages += run.messages
                continue
            if messages:
                events.deliver(messages)
                messages = []
            deliver(events, run.messages, before)
        if messages:
            events.deliver(messages)

    def _deliver(self, batch: Batch) -> None:
        client, catalogue = self._client, self._client.catalogue
        followed: dict[str, int] = {}  # the ends of these topics before
        count = 0
        for id, name, epoch, uid, end in batch.heads:
            if id not in catalogue.by_id and id <= self._last_topic:
                continue  # another process removed the topic right after
            head = catalogue.learn(id, name, epoch, uid)
            if self.interest.has(name):
                followed[name] = head.end
                count += end - head.end
            head.end = end
        self.fed = max(self.fed, batch.end)
        if followed:
            messages: Sequence[Any] = batch.entries
            if batch.decode:
                messages = [e if type(e) is not tuple else client.message(e) for e in batch.entries]
            if len(followed) < len(batch.heads):
                messages = [message for message in messages if message.topic in followed]
            if batch.decode or count != len(messages):
                for name, run in groupby(messages, attrgetter("topic")):
                    together = list(run)
                    deliver(client.events, together, followed[name])
                    followed[name] = together[-1].seq + 1
            else:
                client.events.deliver(messages)
        client.fetches.published([name for _, name, *_ in batch.heads])
        self._settle(batch)

    def _settle(self, batch: Batch) -> None:
        for job in batch.jobs:
            try:
                job.settle(self._client.message)
            except Exception as error:  # the error of one observer; the others are called
                logger.error("messages committed to %s cannot be delivered", self._client.address.path, exc_info=error)
                self.refuse((job,), error)

    def refuse(self, jobs: Iterable[JobObserver], error: BaseException) -> None:
        """Refuse these jobs: they were not done."""
        for job in jobs:
            job.refuse(partial(told, error, f"writing {self._client.address.path}"))


def look(
    connection: sqlite3.Connection,
    first: int,
    limit: int,
    versions: tuple[int, int, int],
    full: bool,
    bare: bool = False,
    bounds: FileBounds = BOUNDS,
    followed: Followed = NOBODY,
) -> Seen:
    """Read new messages and other changes, in the reading thread. ``versions`` are the known numbers of removals, rules
    and delays. With ``bare``, read one message without its content, which is `Unreadable` then.
    """
    epoch, pos, removals, rules, delays = connection.execute(_STATE).fetchone()
    if first < limit:
        connection.create_function("telex_follows", 1, followed)
    found, end = _bare(connection, first, limit) if bare else _rows(connection, first, limit, bounds)
    seen = Seen(epoch, pos, removals, rules, delays, found, end, followed)
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


def _rows(
    connection: sqlite3.Connection, first: int, limit: int, bounds: FileBounds
) -> tuple[list[tuple[Any, ...]], int]:
    if first >= limit:
        return [], first

    def read() -> tuple[list[tuple[Any, ...]], int]:
        found: list[tuple[Any, ...]] = []
        size = 0
        try:
            for row in connection.execute(_READ, (first, limit, bounds.read_rows)):
                found.append(row)
                size += len(row[7]) if isinstance(row[7], (str, bytes)) else 0
                if size > bounds.read_bytes:
                    return found, row[0] + 1
        except MemoryError:
            if not found:
                raise
            return found, found[-1][0] + 1  # the messages before the one that is too large are delivered
        return found, limit if len(found) < bounds.read_rows else found[-1][0] + 1

    return rows.tolerate(connection, read)


def _bare(connection: sqlite3.Connection, first: int, limit: int) -> tuple[list[tuple[Any, ...]], int]:
    """Return the first row, with a text about the lack of memory in place of its content."""
    if first >= limit:
        return [], first
    sql = _READ.replace(f"m.headers, {_CONTENT}", "NULL, NULL", 1)
    row = connection.execute(sql, (first, limit, 1)).fetchone()
    if row is None:
        return [], limit
    return [(*row[:7], Unreadable(b"", "there is not enough memory to read it"), *row[8:])], row[0] + 1
