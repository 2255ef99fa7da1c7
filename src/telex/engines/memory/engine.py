"""``memory://``: logs are lists of this process. No message survives the process, and none is lost while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = 0.0

    async def open(self, events: EngineEvents, decoder: Decoder) -> None:
        """Start the clock of leases. There is no connection, and there are no events."""
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        self._began = self._clock() - self._loop.time()

    async def close(self) -> None:
        """End the waiting fetches."""
        self._is_open = False
        self._groups.close()

    def now(self) -> float:
        """Return the time of the event loop's clock, plus the time of day at which the hub was opened."""
        return self._clock() if self._loop is None else self._began + self._loop.time()

    def log(self, topic: str, retention: Retention) -> Log:
        """Return a new empty log."""
        return Log(topic, token_hex(6), retention, randbits(74), tuning=self._tuning)

    def transaction(self, publish: Callable[[Draft], object]) -> EngineTransaction:
        """Return a transaction that publishes its messages when it commits."""
        return MemoryTransaction(publish, lambda: self._is_open, self._records, self._groups)


class MemoryTransaction:
    """A transaction that keeps its writes in lists until it commits; see
    `telex.engines.contract.store.EngineTransaction`.
    """

    blocks: object = None

    def __init__(
        self,
        publish: Callable[[Draft], object],
        is_open: Callable[[], bool],
        records: MemoryRecords,
        groups: MemoryGroups,
    ) -> None:
        self._publish = publish
        self._is_open = is_open
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
        if not self._is_open():
            raise Closed("the transaction", "its hub was closed before it was left, and nothing of it was published")
        for draft in drafts:
            self._publish(draft)
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
