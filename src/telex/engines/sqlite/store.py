"""`SQLiteStore`: the `telex.engines.Store` of the file."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Sequence
from time import time
from typing import TYPE_CHECKING, Any, cast

from telex.engines import forms
from telex.engines.contract.groups import Unreadable
from telex.engines.contract.store import PAGE, Extent, FoundStart
from telex.engines.sqlite import problems, rows
from telex.engines.sqlite.retention import RetentionRules, VisibleRange, look, search
from telex.engines.sqlite.settling import purge
from telex.errors import EngineFailed
from telex.log.log import Log, Retention, cached
from telex.log.start import Start, find
from telex.message import Draft, Lost, Message
from telex.names import Pattern

if TYPE_CHECKING:
    from telex.engines.sqlite.change_reader import ChangeReader
    from telex.engines.sqlite.client import FileClient
    from telex.engines.sqlite.delayed import Delayed
    from telex.engines.sqlite.ledger import Ledger

logger: logging.Logger = logging.getLogger("telex")
FEW = 64
"""The number of topics up to which each is read by its index; more topics are read by reading the file from its end."""
_FIRST = "SELECT seq, pos FROM telex_messages WHERE topic = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT 1"
_BEFORE = "SELECT pos FROM telex_messages WHERE topic = ? AND seq < ? ORDER BY seq DESC LIMIT 1"
_BY_SEQ = f"SELECT {rows.OWN} FROM telex_messages m WHERE m.topic = ? AND m.seq >= ? AND m.seq < ? ORDER BY m.seq"
_BY_POS = f"SELECT {rows.OWN} FROM telex_messages m WHERE +m.topic = ? AND m.pos >= ? AND m.pos <= ? ORDER BY m.pos"
"""Without the index, because of the plus."""
_LAST = f"SELECT {rows.COLUMNS} FROM {rows.JOINED} WHERE m.topic = ? AND m.seq >= ? ORDER BY m.seq DESC LIMIT ?"
_ALL = f"SELECT {rows.COLUMNS}, m.topic FROM {rows.JOINED} ORDER BY m.pos DESC"
_RULES = "SELECT pattern, messages, age, bytes FROM telex_rules ORDER BY ord"


class TopicView:
    """A topic of the file, with the methods that `telex.log.start.find` uses of a log."""

    def __init__(self, connection: sqlite3.Connection, kept: VisibleRange | None, epoch: str) -> None:
        self._connection = connection
        self._kept = kept
        self.epoch: str = epoch if kept is None else kept.epoch
        self.end: int = 1 if kept is None else kept.end
        self.trimmed_time: float | None = None if kept is None else kept.trimmed

    def keep(self, now: float | None = None) -> int:
        """Return the oldest kept number."""
        return 1 if self._kept is None else self._kept.first

    def find_time(self, moment: float) -> int:
        """Return the number of the first kept message at or after ``moment``."""
        kept = self._kept
        if kept is None:
            return 1
        return search(self._connection, kept.id, kept.first, kept.end, lambda time, _: time >= moment)


class SQLiteStore:
    """The logs of the topics in the file."""

    def __init__(self, client: FileClient, changes: ChangeReader, delayed: Delayed) -> None:
        self._client = client
        self._delayed = delayed
        self._changes = changes
        self._rules = RetentionRules()  # of the reading thread

    def append(
        self, drafts: Sequence[Draft], due: float | None = None, *, adopt: bool = False
    ) -> Awaitable[Sequence[Message[Any]]]:
        """Store messages, in one transaction with other waiting writes."""
        if due is not None and due > self._client.now:
            return self._delayed.keep(drafts, due)
        return self._client.append(drafts, adopt=adopt)

    async def cancel(self, topic: str, id: str) -> bool:
        """Discard a delayed message."""
        return await self._delayed.cancel(topic, id)

    def follow(self, name: str) -> None:
        """Have new messages delivered."""
        self._changes.interest.follow(name)

    def unfollow(self, name: str) -> None:
        """Have no more messages delivered."""
        self._changes.interest.unfollow(name)

    async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any] | Lost]:
        """Return a page of a topic."""
        now = time()

        def page(connection: sqlite3.Connection) -> tuple[VisibleRange | None, list[tuple[Any, ...]]]:
            kept = self._look(connection, topic, now)
            if kept is None:
                return None, []
            return kept, _page(connection, kept.id, max(first, kept.first), end, limit)

        kept, found = await self._client.read(page)
        if kept is None:
            return []
        shape = forms.shape_of(self._client.decoder, kept.name, found)
        messages = forms.decode(found, kept.name, kept.uid, shape)
        damaged = type(messages) is not list
        if messages and not _follow_on([row[1] for row in (found if damaged else (found[0], found[-1]))], first):
            # A reader that continues after the last number would not make progress.
            raise EngineFailed(f"reading {topic!r}", problems.NUMBERS)
        return forms.readable(messages) if damaged else messages

    async def read_pattern(self, patterns: Sequence[str], count: int) -> Sequence[Message[Any]]:
        """Return the last messages of the topics that match, among those that the hub has received."""
        matches = Pattern(*patterns).matches
        topics = [name for name in self._client.catalogue.by_name if matches(name)]
        now = time()

        def last(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            views = [kept for kept in (self._look(connection, topic, now) for topic in topics) if kept is not None]
            if len(views) <= FEW:
                found = [row for kept in views for row in rows.select(connection, _LAST, (kept.id, kept.first, count))]
                return sorted(found, key=lambda row: int(row[0]))[-count:] if count else []
            firsts = {kept.id: kept.first for kept in views}
            return rows.tolerate(connection, lambda: _newest(connection, firsts, count))

        found = await self._client.read(last)
        fed = self._changes.fed  # the hub receives the messages after it, which would come twice
        messages = [self._client.message(row) for row in found if row[0] < fed]
        bad = [message for message in messages if message.content.__class__ is Unreadable]
        for message in bad:
            logger.error("message %d of %s cannot be read: %s", message.seq, message.topic, message.content.problem)
        return [message for message in messages if message.content.__class__ is not Unreadable] if bad else messages

    async def find(self, topic: str, start: Start, now: float, end: int = 0) -> FoundStart:
        """Return the first message for ``start``. The numbers of a topic follow one another."""
        epoch = self._client.catalogue.identity(topic)[0]

        def look_up(connection: sqlite3.Connection) -> tuple[VisibleRange | None, tuple[int, Lost | None]]:
            kept = self._look(connection, topic, now)
            return kept, find(cast("Log", TopicView(connection, kept, epoch)), start, now)

        kept, (number, lost) = await self._client.read(look_up)
        if kept is not None:  # the hub may not have received it yet
            head = self._client.catalogue.learn(kept.id, kept.name, kept.epoch, kept.uid)
            head.first, head.seen = max(head.first, kept.first), max(head.seen, kept.end)
        return FoundStart(number, lost, max(0, end - number))

    def _look(self, connection: sqlite3.Connection, topic: str, now: float) -> VisibleRange | None:
        (version,) = connection.execute("SELECT rules FROM telex_state").fetchone()
        self._rules.refresh(connection, version)
        return look(connection, topic, self._rules, now)

    def log(self, topic: str, retention: Retention) -> Log:
        """Make a local log that begins after the messages that were delivered."""
        catalogue = self._client.catalogue
        epoch, uid = catalogue.identity(topic)
        log = Log(topic, epoch, cached(retention), uid, remote=True)
        known = catalogue.by_name.get(topic)
        log.begin(1 if known is None else known.end)
        return log

    def extent(self, topic: str) -> Extent:
        """Return the numbers and counts of a topic, as far as this process knows."""
        first, end = self._client.catalogue.end(topic)
        return Extent(first, end, end - 1, end - first)

    async def topics(self) -> list[str]:
        """Return all topics that the change reader has seen."""
        return list(self._client.catalogue.by_name)

    async def remove(self, topic: str) -> bool:
        """Remove a topic. Its messages are deleted later, a few hundred at a time."""
        client = self._client

        def remove(ledger: Ledger, now: float) -> int | None:
            connection = ledger.connection
            row = connection.execute("DELETE FROM telex_topics WHERE name = ? RETURNING id", (topic,)).fetchone()
            if row is None:
                return None
            purge(connection, row[0])
            connection.execute("INSERT INTO telex_orphans VALUES (?)", row)
            connection.execute(
                "INSERT INTO telex_removed VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET times = times + 1", (topic,)
            )
            connection.execute("UPDATE telex_state SET removals = removals + 1")
            ledger.accounts.pop(topic, None)
            client.orphaned()
            return int(row[0])

        def removed(id: int | None) -> None:
            if id is not None and client.catalogue.remove(id, topic):
                client.events.gap(topic, None, "epoch")

        return await client.call(remove, removed, alone=True) is not None

    async def retain(self, rules: Sequence[tuple[str, Retention]]) -> None:
        """Store rules, for all processes."""
        client = self._client
        latest = dict(reversed(dict(reversed(rules)).items()))  # of a pattern that is given twice, the last rule
        wanted = [(pattern, rule.messages, rule.age, rule.bytes) for pattern, rule in latest.items()]

        def set_rules(ledger: Ledger, now: float) -> tuple[list[tuple[Any, ...]], int]:
            connection = ledger.connection
            (version,) = connection.execute("SELECT rules FROM telex_state").fetchone()
            if connection.execute(_RULES).fetchall()[-len(wanted) :] != wanted:
                for number, row in enumerate(wanted, 1 + _highest(connection)):
                    connection.execute("INSERT OR REPLACE INTO telex_rules VALUES (?, ?, ?, ?, ?)", (*row, number))
                version += 1
                connection.execute("UPDATE telex_state SET rules = ?", (version,))
                ledger.rules.refresh(connection, version)
                client.sweep_all()
            return connection.execute(_RULES).fetchall()[::-1], version

        await client.call(set_rules, lambda known: client.catalogue.rules.set(*known))


def _follow_on(numbers: list[Any], first: int) -> bool:
    """Return true when these are consecutive numbers from ``first`` on."""
    return all(type(number) is int for number in numbers) and first <= numbers[0] and numbers == sorted(numbers)


def _page(connection: sqlite3.Connection, topic: int, first: int, end: int, limit: int) -> list[tuple[Any, ...]]:
    found = connection.execute(_FIRST, (topic, first, end)).fetchone()
    if found is None:
        return []
    seq, pos = found
    end = min(end, seq + min(limit, PAGE))
    (last,) = connection.execute(_BEFORE, (topic, end)).fetchone()
    # When the messages lie close together, skipping those of other topics costs less than the index.
    if last - pos < 2 * (end - seq):
        return rows.select(connection, _BY_POS, (topic, pos, last))
    return rows.select(connection, _BY_SEQ, (topic, seq, end))


def _newest(connection: sqlite3.Connection, firsts: dict[int, int], count: int) -> list[tuple[Any, ...]]:
    """Return the last rows of topics, each from its first number on."""
    newest: list[tuple[Any, ...]] = []
    for row in connection.execute(_ALL):
        if len(newest) >= count:
            break
        if row[1] >= firsts.get(row[10], row[1] + 1):
            newest.append(row)
    return newest[::-1]


def _highest(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(ord), 0) FROM telex_rules").fetchone()[0])
