"""``memory://``: logs are lists of this process. An acknowledged message survives nothing but is never lost while it
runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from heapq import heappop, heappush
from itertools import count
from secrets import randbits, token_hex
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec
import uuid_utils

from telex.engines.contract import EngineEvents, EngineTransaction, Groups, Guarantees, Records, Store
from telex.engines.contract.records import Record
from telex.engines.memory.groups import MemoryGroups
from telex.engines.memory.records import MemoryRecords
from telex.errors import Closed, EngineFailed, Misuse
from telex.log.log import TUNING, Log, Retention, Tuning

if TYPE_CHECKING:
    from typing import Self

    from telex.message import Message

R = TypeVar("R")
logger: logging.Logger = logging.getLogger("telex")
LONGEST = 3600.0
"""Seconds after which a timer looks again: the clock of the machine may have been set."""


class MemoryEngine:
    """The engine of one process, without a server: the default, and what tests use. It keeps the contract of
    `Engine`.
    """

    guarantees: Guarantees = Guarantees(
        durable=False,
        shared=False,
        ordered=True,
        history=True,
        once_per_id=True,
        groups=True,
        records=True,
        delayed=True,
        transactions=True,
    )

    def __init__(self, tuning: Tuning = TUNING, clock: Callable[[], float] = time) -> None:
        self._tuning = tuning
        self._clock = clock
        self.store: Store | None = None
        self.groups: Groups | None = MemoryGroups(self._stirred)
        self._records = MemoryRecords()
        self.records: Records | None = self._records
        self._feed: EngineEvents | None = None
        self._delayed: list[tuple[float, int, Message[Any], Context]] = []
        self._count = count()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = 0.0

    async def open(self, feed: EngineEvents) -> None:
        """There is nothing to connect to."""
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._began = self._clock() - self._loop.time()

    async def close(self) -> None:
        """The logs go with the hub that holds them."""
        self._feed = None
        self._delayed.clear()
        self._arm()

    def now(self) -> float:
        """The clock of the event loop, from the time of day at which the hub was opened."""
        return self._clock() if self._loop is None else self._began + self._loop.time()

    def log(self, topic: str, retention: Retention) -> Log:
        """A list that begins now."""
        return Log(topic, token_hex(6), retention, randbits(74), tuning=self._tuning)

    def _stirred(self, pattern: str) -> None:
        if self._feed is not None:
            self._feed.stirred(pattern)

    async def later(self, message: Message[Any], due: float) -> Message[Any]:
        """Publish it then, unless the hub is closed first."""
        if not isinstance(message._uid, str):
            msgspec.structs.force_setattr(message, "_uid", str(uuid_utils.uuid7()))
        if due <= self._clock() and self._feed is not None:
            self._feed.publish(message)
            return message
        heappush(self._delayed, (due, next(self._count), message, copy_context()))
        self._arm()
        return message

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            wait = min(max(0.0, self._delayed[0][0] - self._clock()), LONGEST)
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now and self._feed is not None:
            _, _, message, context = heappop(self._delayed)
            try:
                context.run(self._feed.publish, message)
            except Exception as error:  # of one message: the others are due as well
                logger.error(
                    "message %s of %s is due and cannot be published", message.id, message.topic, exc_info=error
                )
        self._arm()

    def transaction(self) -> EngineTransaction:
        """A list of messages that are published when it is left."""
        return MemoryTransaction(self._publish_all, self._records)

    def _publish_all(self, messages: Sequence[Message[Any]]) -> None:
        if self._feed is None:
            raise Closed("the transaction", "its hub was closed before it was left, and nothing of it was published")
        for message in messages:
            self._feed.publish(message)


class MemoryTransaction:
    """See `telex.engines.Transaction`."""

    def __init__(self, publish: Callable[[Sequence[Message[Any]]], None], records: MemoryRecords) -> None:
        self._publish = publish
        self._records = records
        self._puts: dict[tuple[str, str], tuple[int, Record, float | None]] = {}  # with the revision before
        self._messages: list[Message[Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        messages, self._messages = self._messages, []
        puts, self._puts = self._puts, {}
        if kind is not None:
            return
        for (bucket, key), (before, _, _) in puts.items():
            if not self._records.compare(bucket, key, before):
                raise EngineFailed("the transaction", f"record {key!r} of {bucket!r} was changed meanwhile")
        self._publish(messages)
        for (bucket, key), (_, record, expires) in puts.items():
            self._records.set(bucket, key, record, expires)

    async def append(self, message: Message[Any]) -> Message[Any]:
        """Publish it when this is left without an error."""
        if not isinstance(message._uid, str):
            msgspec.structs.force_setattr(message, "_uid", str(uuid_utils.uuid7()))
        self._messages.append(message)
        return message

    async def put(self, bucket: str, key: str, value: bytes, revision: int, expires: float | None = None) -> int | None:
        """Set it when this is left without an error."""
        found = self._puts.get((bucket, key))
        if found is None and not self._records.compare(bucket, key, revision):
            return None
        if found is not None and found[1].revision != revision:
            return None
        record = Record(value, self._records.number())
        self._puts[bucket, key] = (revision if found is None else found[0], record, expires)
        return record.revision

    async def run(self, function: Callable[[Any], R]) -> R:
        """There is no connection."""
        self._refuse()

    async def execute(
        self, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """There is no database."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Misuse("use SQL in a transaction on 'memory://'", "this engine has no database; use sqlite:///file.db")
