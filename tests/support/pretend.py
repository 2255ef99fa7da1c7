"""An engine that promises everything and keeps it all in a `Server`, an object of this process: what the conformance
suite is tried on, whole and broken, and the shortest example of an engine with a store."""

import asyncio
import copy
import inspect
import itertools
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from secrets import randbits, token_hex
from time import time
from types import TracebackType
from typing import Any, Self, cast

import msgspec

from telex.engines import (
    Decoder,
    EngineEvents,
    EngineTransaction,
    Extent,
    FoundStart,
    Groups,
    Guarantees,
    Record,
    Records,
    Settlement,
    Store,
    TransactionOutbox,
)
from telex.engines.contract.store import PAGE
from telex.engines.fetching import FetchWaiters
from telex.engines.interest import Interest
from telex.errors import ConnectFailed, EngineFailed
from telex.log.log import Log, Retention
from telex.log.start import Start, find
from telex.message import Draft, Lost, Message, Position, time_of
from telex.names import Pattern, is_pattern
from tests.support.pretend_groups import Group, PretendGroups

PATIENCE = 5.0
"""The longest time in seconds that a call waits for a server that is down."""


def copied(message: Message[Any]) -> Message[Any]:
    """The message as a reader of another process has it."""
    return msgspec.structs.replace(message, content=copy.deepcopy(message.content), _type=message.type)


class Server:
    """What would be a file or a program on another machine: it outlives the engines that are open on it."""

    def __init__(self, seed: int | None = None) -> None:
        """With a seed, the numbers of messages have gaps: all topics share one counter, whose steps are random."""
        self.steps = None if seed is None else random.Random(seed)
        self.seq = 0
        self.seqs: dict[str, list[int]] = {}  # by topic, the numbers of all its messages, also of trimmed ones
        self.engines: list[PretendEngine] = []
        self.down = False
        self._up = asyncio.Event()
        self.kept: dict[str, Log] = {}
        self.ids: dict[str, dict[str, Message[Any]]] = {}
        self.order: dict[tuple[str, str, int], int] = {}  # of being kept, by topic, epoch and number
        self.rules: dict[str, Retention] = {}
        self.records: dict[tuple[str, str], Record] = {}
        self.expiring: dict[tuple[str, str], float] = {}
        self.revisions = itertools.count(1)
        self.groups: dict[tuple[str, str], Group] = {}
        self.delayed: list[tuple[float, int, Draft]] = []
        self.count = itertools.count()
        self.ahead = 0.0
        """Seconds by which the clock of leases was set forward."""

    def now(self) -> float:
        return time() + self.ahead

    def stop(self) -> None:
        """Answer no more, and keep everything: as if the network had failed."""
        self.down = True
        self._up.clear()
        for engine in self.engines:
            assert engine.events is not None
            engine.events.disconnected("its server is down; start it")

    def start(self) -> None:
        """Answer again, first what was asked meanwhile."""
        self.down = False
        self._up.set()
        for engine in self.engines:
            assert engine.events is not None
            engine.events.connected()
            engine.arm()

    async def reached(self) -> None:
        """Wait until the server answers, at most `PATIENCE` seconds."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self.down:
                    await self._up.wait()
        except TimeoutError:
            raise EngineFailed("asking the server", "its server is down; start it") from None

    def has(self, bucket: str, key: str, revision: int) -> bool:
        known = self.records.get((bucket, key))
        return (known.revision if known else 0) == revision

    def set(self, bucket: str, key: str, record: Record, expires: float | None) -> None:
        self.records[bucket, key] = record
        self.expiring.pop((bucket, key), None)
        if expires is not None:
            self.expiring[bucket, key] = expires

    def log(self, topic: str) -> Log:
        log = self.kept.get(topic)
        if log is None:
            self.kept[topic] = log = Log(topic, token_hex(6), self.rule(topic), randbits(74))
            self.ids[topic], self.seqs[topic] = {}, []
        return log

    def next_seq(self, topic: str) -> int:
        """The number of the next message of a topic."""
        if self.steps is None:
            return len(self.seqs[topic]) + 1
        self.seq += self.steps.choice((1, 1, 2, 7))
        return self.seq

    def number(self, topic: str, place: int) -> int:
        """The number of the message at a place of the log; after the last message, the smallest that the next may
        get.
        """
        seqs = self.seqs[topic]
        return seqs[place - 1] if place <= len(seqs) else seqs[-1] + 1 if seqs else 1

    def find(self, topic: str, start: Start, now: float) -> tuple[int, Lost | None]:
        """As `telex.log.start.find`, by numbers instead of places in the log."""
        log, seqs = self.log(topic), self.seqs[topic]
        if isinstance(start, Position) and start.epoch == log.epoch:
            passed = bisect_right(seqs, start.seq)
            start = Position(passed + (start.seq >= self.number(topic, log.end)), log.epoch)
        place, lost = find(log, start, now)
        if lost is not None:
            before = self.number(topic, lost.first - 1) if lost.first > 1 else 0
            lost = Lost(lost.count, before + 1, self.number(topic, lost.last + 1) - 1, lost.reason)
        return self.number(topic, place), lost

    def rule(self, topic: str) -> Retention:
        fitting = [rule for pattern, rule in self.rules.items() if Pattern(pattern).matches(topic)]
        return fitting[-1] if fitting else Retention()

    def keep(
        self, drafts: Sequence[Draft], own: "PretendEngine | None", *, adopted: bool = False
    ) -> list[Message[Any]]:
        for draft in drafts:
            refuse_what_has_no_form(draft)
        returned, new = [], []
        for draft in drafts:
            log, ids = self.log(draft.topic), self.ids[draft.topic]
            known = None if draft.id is None else ids.get(draft.id)
            if known is not None:
                if not adopted:
                    returned.append(copied(known))
                continue
            message = draft.numbered(self.next_seq(draft.topic), log.uid)
            self.seqs[draft.topic].append(message.seq)
            kept = copied(message)
            log.append(kept, time_of(kept))
            ids[kept.id] = kept
            self.order[kept.topic, log.epoch, kept.seq] = next(self.count)
            for group in self.groups.values():
                group.offer(kept)
            returned.append(message)
            new.append(message)
        for engine in list(self.engines):
            engine.tell(new, decode=engine is not own)
        return returned

    def keep_until(self, drafts: Sequence[Draft], due: float) -> list[Message[Any]]:
        for draft in drafts:
            refuse_what_has_no_form(draft)
        kept = [draft.with_id() for draft in drafts]
        self.delayed += [(due, next(self.count), draft) for draft in kept]
        self.publish_due()
        return [draft.numbered(0, 0) for draft in kept]

    def in_order(self, topics: Sequence[str], now: float) -> list[Message[Any]]:
        """What is kept of several topics, in the order of being kept."""
        logs = [self.kept[topic] for topic in topics if topic in self.kept]
        found = [(self.order[log.name, log.epoch, m.seq], m) for log in logs for m in log.history(now)]
        return [message for _, message in sorted(found, key=lambda pair: pair[0])]

    def stir(self) -> None:
        for engine in list(self.engines):
            engine.fetches.stir()

    def publish_due(self) -> None:
        """Each engine calls this at the moments that it was told of; whoever is first publishes."""
        if self.down:
            return
        now = time()
        due = sorted(item for item in self.delayed if item[0] <= now)
        self.delayed = [item for item in self.delayed if item[0] > now]
        if due:
            self.keep([draft for _, _, draft in due], None)
        for engine in self.engines:
            engine.arm()


def refuse_what_has_no_form(draft: Draft) -> None:
    if type(draft.content) is object:
        raise EngineFailed("keeping a message", "its content has no form outside of this process")


def server_that_is_down() -> Server:
    server = Server()
    server.down = True
    return server


class Asked:
    """A part of an engine whose coroutines are answered by a server that may be down."""

    def __init__(self, server: Server, part: Any) -> None:
        self._server = server
        self._part = part

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def ask(*arguments: Any, **options: Any) -> Any:
            await self._server.reached()
            return await found(*arguments, **options)

        return ask


class PretendStore:
    """`telex.engines.Store`, on a server."""

    def __init__(self, server: Server, engine: "PretendEngine") -> None:
        self.server = server
        self.engine = engine

    async def append(
        self, drafts: Sequence[Draft], due: float | None = None, *, adopt: bool = False
    ) -> Sequence[Message[Any]]:
        await asyncio.sleep(0)
        if due is None or due <= time():
            return self.server.keep(drafts, self.engine, adopted=adopt)
        return self.server.keep_until(drafts, due)

    async def cancel(self, topic: str, id: str) -> bool:
        kept = [item for item in self.server.delayed if (item[2].topic, item[2].id) != (topic, id)]
        found, self.server.delayed = len(kept) < len(self.server.delayed), kept
        return found

    def follow(self, name: str) -> None:
        self.engine.interest.follow(name)

    def unfollow(self, name: str) -> None:
        self.engine.interest.unfollow(name)

    async def read(self, topic: str, first: int, end: int, limit: int = PAGE) -> Sequence[Message[Any]]:
        log = self.server.kept.get(topic)
        if log is None:
            return []
        return [copied(message) for message in log.history(time()) if first <= message.seq < end][: min(limit, PAGE)]

    async def read_pattern(self, patterns: Sequence[str], count: int) -> Sequence[Message[Any]]:
        topics = [topic for topic in self.server.kept if Pattern(*patterns).matches(topic)]
        return [copied(message) for message in self.server.in_order(topics, time())[-count:]] if count else []

    async def find(self, topic: str, start: Start, now: float, end: int = 0) -> FoundStart:
        number, lost = self.server.find(topic, start, now)
        log = self.server.kept.get(topic)
        count = 0 if log is None else sum(number <= message.seq < end for message in log.history(time()))
        return FoundStart(number, lost, count)

    def extent(self, topic: str) -> Extent:
        log, number = self.server.log(topic), self.server.number
        first = log.keep(time())
        return Extent(number(topic, first), number(topic, log.end), log.end - 1, log.end - first)

    async def topics(self) -> list[str]:
        return sorted(name for name, log in self.server.kept.items() if log.end > 1)

    async def remove(self, topic: str) -> bool:
        found = topic in await self.topics()
        if found:
            del self.server.kept[topic], self.server.ids[topic]
            for engine in self.server.engines:
                if engine.events is not None:
                    engine.events.gap(topic, None, "epoch")
        return found

    async def retain(self, rules: Sequence[tuple[str, Retention]]) -> None:
        for pattern, rule in rules:
            self.server.rules.pop(pattern, None)  # what is set last holds, so it goes to the end
            self.server.rules[pattern] = rule
        for topic, log in self.server.kept.items():
            log.retain(self.server.rule(topic))


class PretendRecords:
    """`telex.engines.Records`, on a server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def get(self, bucket: str, key: str) -> Record | None:
        return self.server.records.get((bucket, key))

    async def put(
        self, bucket: str, key: str, value: bytes | None, revision: int, expires: float | None = None
    ) -> int | None:
        await asyncio.sleep(0)
        for at, when in list(self.server.expiring.items()):
            if when <= time():
                del self.server.expiring[at]
                self.server.records.pop(at, None)
        if not self.server.has(bucket, key, revision):
            return None
        if value is None:
            return revision if self.server.records.pop((bucket, key), None) else None
        number = next(self.server.revisions)
        self.server.set(bucket, key, Record(value, number), expires)
        return number

    async def keys(self, bucket: str) -> list[str]:
        return sorted(key for b, key in self.server.records if b == bucket)


class PretendTransaction:
    """A `telex.engines.EngineTransaction`, whose messages are kept here until it commits."""

    def __init__(self, server: Server, engine: "PretendEngine") -> None:
        self.server = server
        self.engine = engine
        self.drafts: list[Draft] = []
        self.puts: list[tuple[str, str, int, Record, float | None]] = []
        self.settlements: list[tuple[Group, Settlement]] = []
        self.blocks: object = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        await self.server.reached()
        if not all(self.server.has(bucket, key, before) for bucket, key, before, _, _ in self.puts):
            raise EngineFailed("the transaction", "a record was changed meanwhile")
        if not all(group.holds(settlement) for group, settlement in self.settlements):
            raise EngineFailed("the transaction", "a delivery was settled meanwhile")
        for group, settlement in self.settlements:
            group.settle(settlement, self.server.now())
        self.server.stir()
        self.server.keep(self.drafts, self.engine)
        for bucket, key, _, record, expires in self.puts:
            self.server.set(bucket, key, record, expires)

    async def settle(self, group: str, pattern: str, settlement: Settlement) -> bool:
        found = self.server.groups.get((group, pattern))
        if found is None or not found.holds(settlement):
            return False
        self.settlements.append((found, settlement))
        return True

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        if not self.server.has(bucket, key, revision):
            return None
        record = Record(value, next(self.server.revisions))
        self.puts.append((bucket, key, revision, record, expires))
        return record.revision

    async def append(self, draft: Draft) -> Message[Any]:
        refuse_what_has_no_form(draft)
        draft = draft.with_id()
        self.drafts.append(draft)
        log = self.server.log(draft.topic)
        return draft.numbered(self.server.number(draft.topic, log.end), 0)


class PretendEngine:
    """The contract of `telex.engines.Engine`, on a server."""

    guarantees: Guarantees = Guarantees(
        durable=True,
        shared=True,
        ordered=True,
        history=True,
        counted_gaps=True,
        once_per_id=True,
        groups=True,
        key_order=True,
        fenced_settle=True,
        backlog_kept=True,
        records=True,
        delayed=True,
        transactions=True,
        record_transactions=True,
        sql=False,
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self.store: Store | None = cast("Store", Asked(server, PretendStore(server, self)))
        self.outbox: TransactionOutbox | None = None
        self.decoded = 0
        self.fetches = FetchWaiters()
        groups = PretendGroups(
            server.groups, self.fetches, server.stir, server.in_order, lambda: server.kept, server.now, self.decode
        )
        self.groups: Groups | None = cast("Groups", Asked(server, groups))
        self.records: Records | None = cast("Records", Asked(server, PretendRecords(server)))
        self.events: EngineEvents | None = None
        self.interest = Interest()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: list[asyncio.TimerHandle] = []

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        await asyncio.sleep(0)
        if self.server.down:
            raise ConnectFailed("pretend://", "its server is down; start it")
        self.events = events
        self._loop = asyncio.get_running_loop()
        self.server.engines.append(self)
        self.arm()

    async def close(self) -> None:
        if self in self.server.engines:
            self.server.engines.remove(self)
        self.fetches.close()
        self._disarm()

    def now(self) -> float:
        return self.server.now()

    def log(self, topic: str, retention: Retention) -> Log:
        log = Log(topic, token_hex(6), retention, randbits(74), remote=True)
        if self.events is not None and not is_pattern(topic):
            kept = self.server.log(topic)
            log.epoch, log.uid = kept.epoch, kept.uid
            log.begin(self.server.number(topic, kept.end))
        return log

    def transaction(self, publish: Callable[[Draft], object]) -> EngineTransaction:
        return PretendTransaction(self.server, self)

    def tell(self, messages: Sequence[Message[Any]], *, decode: bool) -> None:
        assert self.events is not None
        wanted = [message for message in messages if self.interest.has(message.topic)]
        if decode:
            wanted = [self.decode(message) for message in wanted]
        if wanted:
            self.events.deliver(wanted)
        self.fetches.published({message.topic for message in messages})

    def decode(self, message: Message[Any]) -> Message[Any]:
        """The message as this process has it."""
        self.decoded += 1
        return copied(message)

    def arm(self) -> None:
        self._disarm()
        if self._loop is not None:
            for due, _, _ in self.server.delayed:
                self._timers.append(self._loop.call_later(max(0.0, due - time()), self.server.publish_due))

    def _disarm(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
