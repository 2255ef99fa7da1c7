"""`ServerStore`: the `telex.engines.Store` of the schema."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from telex.engines.contract.groups import Unreadable
from telex.engines.contract.store import PAGE, Extent, FoundStart
from telex.engines.forms import readable, shape_of
from telex.engines.postgres import sql
from telex.engines.postgres.catalogue import uid_of
from telex.log.log import Log, Retention, cached
from telex.log.start import ROUNDING, Start, find
from telex.message import Lost, Message
from telex.names import Pattern

if TYPE_CHECKING:
    from telex.engines.postgres.delayed import DelayedTimer
    from telex.engines.postgres.link import ServerLink
    from telex.engines.postgres.live import LiveReader
    from telex.engines.postgres.upkeep import RetentionSweeper
    from telex.engines.postgres.writer import AppendWriter
    from telex.message import Draft

logger: logging.Logger = logging.getLogger("telex")


class VisibleTopic:
    """A topic of the schema with the attributes and methods that `telex.log.start.find` uses of a log."""

    def __init__(self, row: tuple[Any, ...], epoch: str, at: int) -> None:
        id, own_epoch, first, end, trimmed = row[:5]
        self.there: bool = id is not None
        self.epoch: str = own_epoch if self.there else epoch
        self.end: int = end if self.there else 1
        self.trimmed_time: float | None = trimmed
        self._first: int = first if self.there else 1
        self._at = at

    def keep(self, now: float | None = None) -> int:
        """Return the oldest number that is kept."""
        return self._first

    def find_time(self, moment: float) -> int:
        """Return the number of the first kept message at or after the requested time."""
        return self._at if self.there else 1


class ServerStore:
    """The logs of the topics in the schema."""

    def __init__(
        self,
        link: ServerLink,
        writer: AppendWriter,
        live: LiveReader,
        upkeep: RetentionSweeper,
        delayed: DelayedTimer,
    ) -> None:
        self._link = link
        self._writer = writer
        self._live = live
        self._upkeep = upkeep
        self._delayed = delayed
        self._ruling = asyncio.Lock()  # held while rules are set
        schema = link.address.quoted
        self._page = f"SELECT * FROM {schema}.read_page(%s, %s::bigint, %s::bigint, %s::float8)".encode()
        self._last = f"SELECT * FROM {schema}.read_last(%s::text[], %s, %s::bigint, %s::float8)".encode()
        self._visible = (
            f"SELECT v.o_id, v.o_epoch, v.o_first, v.o_end, v.o_trimmed, CASE WHEN v.o_id IS NOT NULL AND "
            f"%s::float8 IS NOT NULL THEN {schema}.search(v.o_id, v.o_first, v.o_end, %s::float8, NULL) END "
            f"FROM {schema}.visible(%s, %s::float8) v"
        ).encode()
        self._remove = f"SELECT {schema}.remove_topic(%s)".encode()
        self._rule = f"SELECT {schema}.put_rule(%s, %s, %s::bigint, %s::float8, %s::bigint)".encode()
        self._rules = sql.rules(schema)
        self._known_rules: list[tuple[Pattern, Retention]] = []  # the rule that applies comes first

    def append(
        self, drafts: Sequence[Draft], due: float | None = None, *, adopt: bool = False
    ) -> Awaitable[Sequence[Message[Any]]]:
        """Store messages, in one transaction with other waiting messages."""
        if due is not None and due > self._link.clock.now():
            return self._delayed.keep(drafts, due)
        return self._writer.append(drafts, adopt=adopt)

    async def cancel(self, topic: str, id: str) -> bool:
        """Discard a delayed message."""
        return await self._delayed.cancel(topic, id)

    def follow(self, name: str) -> None:
        """Have new messages delivered."""
        self._live.interest.follow(name)

    def unfollow(self, name: str) -> None:
        """Have no more messages delivered."""
        self._live.interest.unfollow(name)

    async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any] | Lost]:
        """Return a page of a topic."""
        await self._rules_are_set()
        first, end, now = min(first, 1 << 62), min(end, 1 << 62), self._link.clock.now()
        near = min(end, first + limit)  # the numbers of a topic follow one another
        found = await self._link.execute(f"reading {topic!r}", self._page, topic, first, near, now)
        if not found and near < end:  # retention has deleted messages from `first` on
            found = await self._link.execute(f"reading {topic!r}", self._page, topic, first, end, now)
            found = found[:limit]
        if not found:
            return []
        shape = shape_of(self._link.decoder, topic, found)
        messages = sql.decode(found, topic, uid_of(found[0][0], topic), shape)
        return readable(messages) if type(messages) is not list else messages

    async def read_pattern(self, patterns: Sequence[str], count: int) -> Sequence[Message[Any]]:
        """Return the last messages of the topics that match, among those that the hub has received."""
        matches = Pattern(*patterns).matches
        topics = [name for name in self._link.catalogue.by_name if matches(name)]
        if not topics or count <= 0:
            return []
        parameters = (list(topics), count, self._live.delivered, self._link.clock.now())
        found = await self._link.execute("reading several topics", self._last, *parameters)
        messages: list[Message[Any]] = []
        for name, *row in found:
            (message,) = sql.decode([tuple(row)], name, uid_of(row[0], name), self._link.decoder.decode)
            if message.content.__class__ is Unreadable:
                logger.error("message %d of %s cannot be read: %s", message.seq, name, message.content.problem)
            else:
                messages.append(message)
        return messages

    async def find(self, topic: str, start: Start, now: float, end: int = 0) -> FoundStart:
        """Return the first message for ``start``. The numbers of a topic follow one another."""
        await self._rules_are_set()
        moment: float | None = None
        if isinstance(start, (datetime, timedelta)):
            moment = now - start.total_seconds() if isinstance(start, timedelta) else start.timestamp() - ROUNDING
        ((*row, at),) = await self._link.execute(f"reading {topic!r}", self._visible, moment, moment, topic, now)
        catalogue = self._link.catalogue
        view = VisibleTopic(tuple(row), catalogue.identity(topic)[0], at)
        if view.there:  # the hub may not have received it yet
            known = catalogue.learn(row[0], topic, row[1])
            known.first, known.seen = max(known.first, row[2]), max(known.seen, row[3])
        number, lost = find(cast("Log", view), start, now)
        return FoundStart(number, lost, max(0, end - number))

    def log(self, topic: str, retention: Retention) -> Log:
        """Make a local log that begins after the messages that were delivered."""
        epoch, uid = self._link.catalogue.identity(topic)
        log = Log(topic, epoch, cached(retention), uid, remote=True)
        log.begin(self._link.catalogue.end(topic))
        return log

    def extent(self, topic: str) -> Extent:
        """Return the numbers and counts of a topic, as far as this process knows."""
        known = self._link.catalogue.by_name.get(topic)
        if known is None:
            return Extent(1, 1, 0, 0)
        kept = next((rule for pattern, rule in self._known_rules if pattern.matches(topic)), Retention()).messages
        end = max(known.end, known.seen)
        first = known.first if kept is None else max(known.first, end - kept)
        return Extent(first, end, end - 1, end - first)

    async def topics(self) -> list[str]:
        """Return all topics that the reader has seen."""
        return list(self._link.catalogue.by_name)

    async def remove(self, topic: str) -> bool:
        """Remove a topic. Its messages are deleted later, a part at a time."""
        ((id,),) = await self._link.execute(f"removing {topic!r}", self._remove, topic, repeat=False)
        if id is None:
            return False
        catalogue = self._link.catalogue
        known = id in catalogue.by_id
        catalogue.forget(id)
        catalogue.removed[topic] = catalogue.removed.get(topic, 0) + 1
        if known:
            self._link.events.gap(topic, None, "epoch")
        return True

    async def _rules_are_set(self) -> None:
        """Wait until the rules that this process is setting are stored, so that readers see their effect."""
        if self._ruling.locked():
            async with self._ruling:
                pass

    async def retain(self, rules: Sequence[tuple[str, Retention]]) -> None:
        """Store rules, for all processes."""
        async with self._ruling:
            await self._set_rules(rules)

    async def _set_rules(self, rules: Sequence[tuple[str, Retention]]) -> None:
        latest = dict(reversed(dict(reversed(rules)).items()))  # of a pattern that is given twice, the last rule
        wanted = [(pattern, rule.messages, rule.age, rule.bytes) for pattern, rule in latest.items()]
        found = await self._link.execute("reading the rules of retention", self._rules)
        if found[-len(wanted) :] != wanted:
            for pattern, *rest in wanted:
                fits = sql.regular_expression(pattern) or f"^{sql.escaped(pattern)}$"
                await self._link.execute("setting a rule of retention", self._rule, pattern, fits, *rest)
            found = await self._link.execute("reading the rules of retention", self._rules)
            matches = [Pattern(pattern).matches for pattern in latest]
            self._upkeep.due(name for name in self._link.catalogue.by_name if any(match(name) for match in matches))
        self.learn_rules(found)

    def learn_rules(self, found: Sequence[tuple[Any, ...]]) -> None:
        """Cache the rules; the rule that applies comes last."""
        self._known_rules = [(Pattern(row[0]), Retention(*row[1:])) for row in reversed(found)]
