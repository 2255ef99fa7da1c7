"""``memory://``: logs are lists of this process. No message survives the process, and none is lost while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from heapq import heappop, heappush
from itertools import count
from secrets import randbits, token_hex
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from telex.engines.contract import (
    Decoder,
    EngineEvents,
    EngineTransaction,
    Groups,
    Guarantees,
    Records,
    Store,
    TransactionOutbox,
)
from telex.engines.contract.groups import Settlement
from telex.engines.contract.records import Record
from telex.engines.memory.groups import MemoryGroups
from telex.engines.memory.records import MemoryRecords
from telex.errors import Closed, EngineFailed
from telex.log.log import TUNING, Log, Retention, Tuning

if TYPE_CHECKING:
    from typing import Self

    from telex.message import Draft, Message

logger: logging.Logger = logging.getLogger("telex")
LONGEST = 3600.0
"""The seconds after which a timer checks the clock again, since the clock of the machine may be set."""


class MemoryEngine:
    """The engine of one process, without a server: the default, also for tests. Implements `Engine`."""

    guarantees: Guarantees = Guarantees(
        durable=False,
        shared=False,
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

    def __init__(self, tuning: Tuning = TUNING, clock: Callable[[], float] = time) -> None:
        self._tuning = tuning
        self._clock = clock
        self.store: Store | None = None
        self.outbox: TransactionOutbox | None = None
        self._groups = MemoryGroups(self.now)
        self.groups: Groups | None = self._groups
        self._records = MemoryRecords()
        self.records: Records | None = self._records
        self._events: EngineEvents | None = None
        self._delayed: list[tuple[float, int, Draft, Context]] = []
        self._count = count()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = 0.0

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        """Keep ``events``, the events of the hub. There is no connection."""
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._began = self._clock() - self._loop.time()

    async def close(self) -> None:
        """Stop the timer of delayed messages."""
        self._events = None
        self._groups.close()
        self._delayed.clear()
        self._arm()

    def now(self) -> float:
        """Return the time of the event loop's clock, plus the time of day at which the hub was opened."""
        return self._clock() if self._loop is None else self._began + self._loop.time()

    def log(self, topic: str, retention: Retention) -> Log:
        """Return a new empty log."""
        return Log(topic, token_hex(6), retention, randbits(74), tuning=self._tuning)

    async def later(self, draft: Draft, due: float) -> Message[Any]:
        """Publish at ``due``, unless the hub is closed before."""
        draft = draft.with_id()
        if due <= self._clock() and self._events is not None:
            return self._events.publish(draft)
        heappush(self._delayed, (due, next(self._count), draft, copy_context()))
        self._arm()
        return draft.numbered(0, 0)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            wait = min(max(0.0, self._delayed[0][0] - self._clock()), LONGEST)
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now and self._events is not None:
            _, _, draft, context = heappop(self._delayed)
            try:
                context.run(self._events.publish, draft)
            except Exception as error:  # the error of one message; the others are due as well
                logger.error("message %s of %s is due and cannot be published", draft.id, draft.topic, exc_info=error)
        self._arm()

    def transaction(self) -> EngineTransaction:
        """Return a transaction that publishes its messages when it commits."""
        return MemoryTransaction(self._publish_all, self._records, self._groups)

    def _publish_all(self, drafts: Sequence[Draft]) -> None:
        if self._events is None:
            raise Closed("the transaction", "its hub was closed before it was left, and nothing of it was published")
        for draft in drafts:
            self._events.publish(draft)


class MemoryTransaction:
    """A transaction that keeps its writes in lists until it commits; see
    `telex.engines.contract.store.EngineTransaction`.
    """

    blocks: object = None

    def __init__(
        self, publish: Callable[[Sequence[Draft]], None], records: MemoryRecords, groups: MemoryGroups
    ) -> None:
        self._publish = publish
        self._records = records
        self._groups = groups
        self._settlements: list[tuple[str, str, Settlement]] = []
        self._puts: dict[tuple[str, str], tuple[int, Record, float | None]] = {}  # with the revision before
        self._drafts: list[Draft] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        drafts, self._drafts = self._drafts, []
        puts, self._puts = self._puts, {}
        if kind is not None:
            return
        for (bucket, key), (before, _, _) in puts.items():
            if not self._records.compare(bucket, key, before):
                raise EngineFailed("the transaction", f"record {key!r} of {bucket!r} was changed meanwhile")
        for group, pattern, settlement in self._settlements:
            if not self._groups.holds(group, pattern, settlement):
                raise EngineFailed("the transaction", f"a delivery to group {group!r} was settled meanwhile")
        self._publish(drafts)
        for group, pattern, settlement in self._settlements:
            self._groups.settle_now(group, pattern, (settlement,))
        for (bucket, key), (_, record, expires) in puts.items():
            self._records.set(bucket, key, record, expires)

    async def append(self, draft: Draft) -> Message[Any]:
        """Publish ``draft`` when the transaction commits."""
        draft = draft.with_id()
        self._drafts.append(draft)
        return draft.numbered(0, 0)

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """Put a record when the transaction commits."""
        found = self._puts.get((bucket, key))
        if found is None and not self._records.compare(bucket, key, revision):
            return None
        if found is not None and found[1].revision != revision:
            return None
        record = Record(value, self._records.number())
        self._puts[bucket, key] = (revision if found is None else found[0], record, expires)
        return record.revision

    async def settle(self, group: str, pattern: str, settlement: Settlement) -> bool:
        """Settle a delivery when the transaction commits."""
        if not self._groups.holds(group, pattern, settlement):
            return False
        self._settlements.append((group, pattern, settlement))
        return True
