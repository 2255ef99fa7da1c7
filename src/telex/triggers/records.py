"""`TriggerRecords`: the stored records of triggers, on an engine that processes share.

A process claims a firing by compare-and-set on the trigger's record, in the transaction that publishes the firing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from telex.topics.transaction import engine_of
from telex.triggers.conditions.firing import by_hand, firing_of

if TYPE_CHECKING:
    from telex.runtime import Runtime
    from telex.topics.transaction import Transaction

BUCKET = "$triggers"
BY_KEY = "$triggers-by-key"
KEY_KEPT_SECONDS = 7 * 86400.0
"""The time for which the last firing of a key is stored. A condition that became true longer ago, and that no process
has evaluated since, does not fire.
"""


class TriggerRecord(msgspec.Struct, frozen=True):
    """The state of a trigger that all processes share. Change it with `msgspec.structs.replace`, which keeps the
    fields that other processes have set.
    """

    start: float
    last: float | None = None
    fired: int = 0
    schedule: str = ""  # for people
    topic: str = ""
    next: float | None = None
    late: float = 0.0
    paused: bool = False  # in all processes
    ended: bool = False
    true: bool = False  # true while the last result of a polled function was true
    plan: str = ""  # the schedule to which `start` belongs

    def after(self, instant: float, late: float, *, true: bool, ended: bool) -> TriggerRecord:
        """Return the record after one more firing."""
        last = instant if self.last is None else max(self.last, instant)
        return msgspec.structs.replace(self, last=last, late=late, fired=self.fired + 1, true=true, ended=ended)


class NamedTrigger(Protocol):
    """A name and a topic under which firings are published."""

    @property
    def name(self) -> str: ...
    @property
    def topic(self) -> str: ...


class FiringClaim(msgspec.Struct, frozen=True):
    """The next record of a trigger, and the instants and numbers of the firings that are published with it."""

    record: TriggerRecord
    firings: list[tuple[float, int]]
    key: str | None = None  # of all these firings
    value: object = None  # the value of the condition


class TriggerRecords:
    """The stored records of triggers. Every method raises the exceptions of the engine."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def read(self, name: str, start: float) -> tuple[TriggerRecord, int]:
        """Return the record of a trigger and its revision; without a record, a new one from ``start`` on and 0."""
        stored = await self._runtime.records("triggers").get(BUCKET, name)
        if stored is None:
            return TriggerRecord(start), 0
        return msgspec.json.decode(stored.value, type=TriggerRecord), stored.revision

    async def last_of(self, name: str, key: str) -> float | None:
        """Return the instant of the last firing of a trigger for a key, or None when none is stored."""
        stored = await self._runtime.records("triggers").get(BY_KEY, f"{name} {key}")
        return None if stored is None else msgspec.json.decode(stored.value, type=float)

    async def commit(self, trigger: NamedTrigger, claim: FiringClaim, revision: int) -> bool:
        """Write a record and publish its firings in one transaction. Return false when another process has changed the
        record.
        """
        async with self._runtime.transaction() as tx:
            won = await self.put(tx, trigger, claim, revision)
            if won and claim.key is not None:
                for instant, _ in claim.firings:
                    await self._put_key(tx, f"{trigger.name} {claim.key}", instant)
        return won

    async def commit_all(self, claims: Sequence[tuple[NamedTrigger, FiringClaim, int]]) -> list[bool]:
        """Commit the claims of several triggers, without keys, in one transaction. Return the result of each, as
        `commit`.
        """
        async with self._runtime.transaction() as tx:
            # All requests are sent at once. None may be left running when another one has failed.
            requests = [self.put(tx, trigger, claim, revision) for trigger, claim, revision in claims]
            won = await asyncio.gather(*requests, return_exceptions=True)
            for result in won:
                if isinstance(result, BaseException):
                    raise result
        return [result is True for result in won]

    async def fire(self, trigger: NamedTrigger, now: float) -> int:
        """Publish a firing by hand, in addition to the schedule, and return its number."""
        while True:
            record, revision = await self.read(trigger.name, now)
            record = msgspec.structs.replace(record, fired=record.fired + 1)
            firing, id = by_hand(trigger.name, now, record.fired)
            async with self._runtime.transaction() as tx:
                if await engine_of(tx).put(BUCKET, trigger.name, msgspec.json.encode(record), revision) is not None:
                    await tx.publish(trigger.topic, firing, id=id)
                    return record.fired

    async def put(self, tx: Transaction, trigger: NamedTrigger, claim: FiringClaim, revision: int) -> bool:
        if await engine_of(tx).put(BUCKET, trigger.name, msgspec.json.encode(claim.record), revision) is None:
            return False
        for instant, number in claim.firings:
            firing, id = firing_of(trigger.name, instant, number, claim.key, claim.value)
            await tx.publish(trigger.topic, firing, id=id)
        return True

    async def _put_key(self, tx: Transaction, name: str, instant: float) -> None:
        # No other process writes this record: the transaction has checked the trigger's record.
        stored = await self._runtime.records("triggers").get(BY_KEY, name)
        revision = 0 if stored is None else stored.revision
        await engine_of(tx).put(BY_KEY, name, msgspec.json.encode(instant), revision, instant + KEY_KEPT_SECONDS)
