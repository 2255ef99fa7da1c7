"""`LiveReader`: delivers every message of the schema to the hub once, in the order of ``pos``.

Messages of this process are the objects that its publishers get; messages of other processes are read. A notification
names the topics with new messages. Every `poll` seconds the reader also checks the last place, for messages without a
notification.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from operator import attrgetter, itemgetter
from time import monotonic
from typing import Any

from psycopg import Error

from telex.engines.interest import Interest, deliver
from telex.engines.postgres import problems, sql
from telex.engines.postgres.catalogue import uid_of
from telex.engines.postgres.connections import ServerConnection, connect
from telex.engines.postgres.delayed import DelayedTimer
from telex.engines.postgres.link import PAUSES, ServerLink
from telex.engines.postgres.problems import Verdict
from telex.engines.postgres.upkeep import RetentionSweeper
from telex.engines.postgres.writer import AppendJob, AppendWriter, StoredBatch
from telex.message import Message

logger: logging.Logger = logging.getLogger("telex")
ROWS, BYTES = 1024, 16 * 1024 * 1024
"""The most messages, and bytes of their content, that are read at once."""
LOOK_SECONDS = 10.0
"""The seconds that the server may take to answer a poll."""
LANDING_SECONDS = 1.0
"""The seconds for which reading waits for a batch of this process that is in flight."""


class LiveReader:
    """The reader of new messages, with its own connection. Used in the event loop.

    Invariant: the events have received all messages up to the place `delivered`, and none above it.
    """

    def __init__(self, link: ServerLink, writer: AppendWriter, delayed: DelayedTimer, upkeep: RetentionSweeper) -> None:
        self._link = link
        self._writer = writer
        self._delayed = delayed
        self._upkeep = upkeep
        self.on_rules: Callable[[Sequence[tuple[Any, ...]]], None] | None = None
        """A callback with the retention rules when they have changed."""
        self.interest: Interest = Interest()
        self.delivered: int = 0
        self._sql = sql.LiveStatements(link.address.quoted)
        self._connection: ServerConnection | None = None
        self._own: deque[StoredBatch] = deque()  # committed, and not delivered yet
        self._seen = 0  # messages exist up to this place
        self._hinted = 0  # up to this place the topics with messages are known
        self._heads: dict[int, int] = {}  # these topics, with their last numbers
        self.told: dict[int, int] = {}
        """By the id of a topic: the last number of which waiting fetches know."""
        self._removals = self._rules = -1
        self._xmin = "3"  # of the snapshot of the last poll: later changes of groups were not seen
        self._wake = asyncio.Event()
        self._polled_at = 0.0
        self._reading = False
        self._closing = False

    # -- hints

    def hint(self, before: int, last: int, heads: dict[int, int] | None) -> None:
        """Note that messages were committed above the place ``before`` up to ``last``: in these topics, or in any
        topic.
        """
        if last <= self.delivered:
            return
        self._seen = max(self._seen, last)
        self._tell_fetches(heads or {})
        if heads is not None and before <= self._hinted:
            self._heads.update(heads)
            self._hinted = max(self._hinted, last)
        self._wake.set()

    def look(self) -> None:
        """Poll at once: notifications may have been lost, or the catalogue has changed."""
        self._polled_at = 0.0
        self._wake.set()

    def committed(self, batch: StoredBatch) -> None:
        """Add a committed batch of this process, and deliver it if all earlier messages were delivered."""
        self._own.append(batch)
        if self._closing:
            self.close()
        elif not self._reading:
            self._tell_own()
        if self._own:
            self._seen = max(self._seen, batch.before)
            self._wake.set()

    def close(self) -> None:
        """Stop reading. The batches of this process are still delivered."""
        self._closing = True
        while self._own:
            self._deliver(self._own.popleft())
        self._wake.set()

    def drop(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    # -- the task

    async def begin(self, connection: ServerConnection) -> None:
        """Read the topics, whose messages were published before."""
        self._connection = connection
        await self._poll(first=True)

    async def run(self) -> None:
        """Read new messages until `close`. A broken connection is replaced."""
        attempt = 0
        while not self._closing:
            try:
                await self._turn()
            except (Error, TimeoutError, OSError) as error:
                self.drop()
                self._hinted, self._heads = self.delivered, {}  # hinted messages may not have been delivered
                if self._closing or self._link.closed is not None:
                    return
                if problems.judge(error) in {Verdict.FATAL, Verdict.REFUSED}:
                    self._link.fail(problems.failure(f"reading {self._link.address.shown}", error))
                    return
                if attempt or isinstance(error, TimeoutError):  # a connection that only broke is replaced at once
                    self._link.lost(error)
                await self._pause(PAUSES[min(attempt, len(PAUSES) - 1)])
                attempt += 1
                self._polled_at = 0.0
            else:
                attempt = 0
                self._link.reached()

    async def _pause(self, seconds: float) -> None:
        """Wait before the next attempt, or until another part of the engine has reached the server."""
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _turn(self) -> None:
        left = self._polled_at + self._link.address.poll - monotonic()
        if left > 0 and not self._wake.is_set():
            timer = self._link.loop.call_later(left, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
        self._wake.clear()
        if self._closing:
            return
        if monotonic() >= self._polled_at + self._link.address.poll:
            await self._poll()
        await self._advance()

    async def _execute(self, statement: bytes, *parameters: object) -> list[tuple[Any, ...]]:
        async with asyncio.timeout(LOOK_SECONDS):
            if self._connection is None:
                self._connection = await connect(self._link.address)
            cursor = await self._connection.execute(statement, parameters, binary=True)
            return await cursor.fetchall()

    async def _poll(self, *, first: bool = False) -> None:
        """Read the clock, the last place and other changes, with one cheap statement."""
        link, asked = self._link, monotonic()
        ((now, epoch, removals, rules, last, due, xmin, stirred),) = await self._execute(self._sql.state, self._xmin)
        self._polled_at = monotonic()
        link.clock.answered(now, asked, self._polled_at)
        link.catalogue.epoch = epoch
        self._seen = max(self._seen, last)
        self._xmin = xmin
        if first:  # not later: a notification may come before the topics are loaded, and its messages have to be read
            self.delivered = self._hinted = last
        if removals != self._removals:
            await self._load(removals, first=first)
        if rules != self._rules:
            found = await self._execute(self._sql.rules)
            if self.on_rules is not None:
                self.on_rules(found)
            self._rules = rules
        self._delayed.arm(due)
        if not first:
            for pattern in stirred or ():
                link.fetches.stir(pattern)

    async def _load(self, removals: int, *, first: bool = False) -> None:
        before = list(self._link.catalogue.by_id)
        topics = await self._execute(self._sql.topics)
        removed = await self._execute(self._sql.removed)
        self._removals = removals
        for name in self._link.catalogue.load(topics, dict(removed), before, first=first):
            self._link.events.gap(name, None, "epoch")
        self.told = {id: head for id, head in self.told.items() if id in self._link.catalogue.by_id}

    # -- delivering

    async def _advance(self) -> None:
        self._reading = True
        try:
            self._tell_own()
            while not self._closing and self.delivered < (limit := self._limit()):
                await self._writer.landed(LANDING_SECONDS)
                self._tell_own()
                limit = min(limit, self._limit())
                if self.delivered < limit:
                    await self._read(limit)
                self._tell_own()
        finally:
            self._reading = False

    def _limit(self) -> int:
        """Return the place up to which to read: own messages are not read."""
        return self._own[0].before if self._own else self._seen

    async def _read(self, limit: int) -> None:
        heads = dict(self._heads)
        if limit >= self._hinted:  # the rest of them is for the next read
            self._heads = {}
        known = self._link.catalogue.by_id
        if limit > self._hinted or any(id not in known for id in heads):
            heads = await self._changed(limit)
        self._hinted = max(self._hinted, limit)
        self._tell_fetches(heads)
        wanted = self._followed(heads)
        if wanted:
            rows = await self._execute(self._sql.messages, self.delivered, limit, wanted)
            more = len(rows) == ROWS or (rows and rows[-1][-1] >= BYTES)
            if more:
                limit, self._hinted = rows[-1][0], rows[-1][0]
            if self._closing:
                return
            if self._followed(heads) != wanted:
                self._heads = {**heads, **self._heads}  # topics are followed since: everything is read again
                return
            self._tell(rows)
        for id, head in heads.items():
            topic = known.get(id)
            if topic is not None and id not in wanted:
                topic.end = max(topic.end, head + 1)
        self.delivered = max(self.delivered, limit)

    def _tell_fetches(self, heads: dict[int, int]) -> None:
        """Wake the fetches that wait for messages of these topics, once for each new last number. ``heads`` has the
        last number of each topic by its id.
        """
        known = self._link.catalogue.by_id
        new = {id: head for id, head in heads.items() if id in known and self.told.get(id, 0) < head}
        if new:
            self.told |= new
            self._link.fetches.published([known[id].name for id in new])

    def _followed(self, heads: Iterable[int]) -> list[int]:
        """Return those of these topics whose messages are delivered."""
        known = self._link.catalogue.by_id
        return [id for id in heads if id in known and self.interest.has(known[id].name)]

    async def _changed(self, limit: int) -> dict[int, int]:
        """Return the topics that have messages above `delivered`, and add new topics to the catalogue."""
        rows = await self._execute(self._sql.changed, self.delivered, limit)
        if rows and rows[0][0] != self._removals:
            await self._load(rows[0][0])
        for _, id, name, epoch, _ in rows:
            if id > self._link.catalogue.last_id or id in self._link.catalogue.by_id:
                self._learn(id, name, epoch)
        return {row[1]: row[4] for row in rows}

    def _learn(self, id: int, name: str, epoch: str) -> None:
        catalogue = self._link.catalogue
        known = catalogue.by_name.get(name)
        if known is not None and known.id != id:  # the topic was removed and recreated
            catalogue.forget(known.id)
            self._link.events.gap(name, None, "epoch")
        catalogue.learn(id, name, epoch)

    def _tell(self, rows: list[tuple[Any, ...]]) -> None:
        """Deliver messages that were read."""
        events = self._link.events
        for id, run in groupby(rows, itemgetter(1)):
            topic = self._link.catalogue.by_id[id]
            messages = sql.decode([row[1:10] for row in run], topic.name, topic.uid, self._link.decoder.decode)
            before = topic.end
            if messages[0].seq < before:  # published while the topics were loaded, or before the topic was followed
                messages = [message for message in messages if message.seq >= before]
            if messages:
                topic.end = messages[-1].seq + 1
                deliver(events, messages, before)

    def _tell_own(self) -> None:
        while self._own and self._own[0].before <= self.delivered:
            self._deliver(self._own.popleft())

    def _deliver(self, batch: StoredBatch) -> None:
        try:
            self._deliver_or_raise(batch)
        except BaseException as error:
            self._link.broke(error)
            for job in batch.jobs:
                if not job.future.done():
                    job.future.set_exception(self._link.refusal())
            if not isinstance(error, Exception):
                raise

    def _deliver_or_raise(self, batch: StoredBatch) -> None:
        catalogue, events = self._link.catalogue, self._link.events
        followed: dict[str, int] = {}  # the ends of these topics before
        if any(batch.places):
            for id, name, epoch, head in batch.topics:
                if id not in catalogue.by_id and id <= catalogue.last_id:
                    continue  # another process removed the topic right after
                self._learn(id, name, epoch)
                topic = catalogue.by_id[id]
                if self.interest.has(name):
                    followed[name] = topic.end
                topic.end = max(topic.end, head + 1)
        pairs = zip(batch.messages, batch.places, strict=True)
        new = [m for m, place in pairs if m is not None and place > self.delivered and m.topic in followed]
        self.delivered = max(self.delivered, batch.last)
        self._hinted = max(self._hinted, self.delivered)
        for name, run in groupby(new, attrgetter("topic")):
            together = list(run)
            deliver(events, together, followed[name])
            followed[name] = together[-1].seq + 1
        self._link.fetches.published([name for _, name, *_ in batch.topics] if any(batch.places) else [])
        if any(batch.places):
            self._upkeep.wrote(message.topic for message in batch.messages if message is not None)
        position = 0
        for job in batch.jobs:
            count = len(job.drafts)
            messages = batch.messages[position : position + count]
            known = {at - position: seq for at, seq in batch.known.items() if position <= at < position + count}
            self._settle(job, messages, known)
            position += count

    def _settle(self, job: AppendJob, messages: Sequence[Message[Any] | None], known: dict[int, int]) -> None:
        if job.future.done():
            return
        if job.adopt or not known:
            job.future.set_result([message for message in messages if message is not None])
        else:
            reading = self._link.start("reading messages of known ids", self._read_known(job, messages, known))
            reading.add_done_callback(partial(self._read_or_refused, job))

    def _read_or_refused(self, job: AppendJob, reading: asyncio.Task[None]) -> None:
        if not job.future.done():  # the engine was closed meanwhile
            job.future.set_exception(self._link.refusal())

    async def _read_known(self, job: AppendJob, messages: Sequence[Message[Any] | None], known: dict[int, int]) -> None:
        """Give a publisher the stored messages of known ids."""
        found = list(messages)
        try:
            for index, seq in known.items():
                draft = job.drafts[index]
                kept = await self._read_one(draft.topic, seq)
                found[index] = draft.numbered(seq, 0) if kept is None else kept  # None: retention has deleted it
        except Exception as error:  # noqa: BLE001  # the publisher gets it
            if not job.future.done():
                job.future.set_exception(error)
            return
        if not job.future.done():
            job.future.set_result([message for message in found if message is not None])

    async def _read_one(self, topic: str, seq: int) -> Message[Any] | None:
        """Return one stored message, also one that readers no longer see; None when it was deleted."""
        found = await self._link.execute(f"reading {topic!r}", self._sql.one, topic, seq)
        return sql.decode(found, topic, uid_of(found[0][0], topic), self._link.decoder.decode)[0] if found else None
