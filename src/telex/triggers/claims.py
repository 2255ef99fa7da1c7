"""`ClaimQueue`: claims the firings of this process's triggers. Those of schedules are claimed many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from telex.errors import BadName, BadOption, ContentError, EngineFailed, reason_of
from telex.process.supervision import is_end
from telex.process.tasks import start_task
from telex.triggers.records import FiringClaim, NamedTrigger, TriggerRecord, TriggerRecords

if TYPE_CHECKING:
    from telex.runtime import Runtime

logger: logging.Logger = logging.getLogger("telex.triggers")
PERMANENT_ERRORS = (BadName, BadOption, ContentError, UnicodeError)
"""Errors of the published content. Trying again does not help."""


QUICK_RETRY_SECONDS = 0.1
"""The time until the first claim after an error of the engine, which may be that of one broken connection."""


class Claimant(NamedTrigger, Protocol):
    """A trigger that claims each firing in a transaction of its own, such as one of a condition."""

    async def claim(self) -> bool:
        """Claim the due firings. Return false when another process was first and `claim` has to be called again."""


class BatchClaimant(NamedTrigger, Protocol):
    """A trigger that decides about its firings without waiting, so that one transaction claims the firings of many."""

    @property
    def start(self) -> float: ...

    def decide(self, record: TriggerRecord) -> FiringClaim | None:
        """Return the claim of the due firings, given the stored record, or None when no firing is due."""

    def settle(self, record: TriggerRecord) -> None:
        """Continue from ``record``, which is stored now."""

    def pass_over(self) -> None:
        """Skip the claimed firings, which can never be published."""


class ClaimQueue:
    """The triggers of this process that have firings to claim."""

    def __init__(self, runtime: Runtime, records: TriggerRecords) -> None:
        self._runtime = runtime
        self._records = records
        self._single: deque[Claimant] = deque()
        self._batched: deque[BatchClaimant] = deque()
        self._queued: set[Claimant | BatchClaimant] = set()  # the triggers of both queues
        self.task: asyncio.Task[None] | None = None
        self._stopped = False
        self._failing: set[str] = set()  # names of triggers whose last claim the engine did not take

    def add(self, trigger: Claimant) -> None:
        """Queue a trigger whose firings are claimed alone."""
        if not self._stopped and trigger not in self._queued:
            self._single.append(trigger)
            self._begin(trigger)

    def add_to_batch(self, trigger: BatchClaimant) -> bool:
        """Queue a trigger whose firings are claimed together with others. Return false when it was queued already."""
        if self._stopped or trigger in self._queued:
            return False
        self._batched.append(trigger)
        self._begin(trigger)
        return True

    def _begin(self, trigger: Claimant | BatchClaimant) -> None:
        self._queued.add(trigger)
        if self.task is None or self.task.done():
            self.task = start_task(self.claim_all(), name="telex triggers")

    async def stop(self) -> None:
        """Stop claiming."""
        self._stopped = True
        self._single.clear()
        self._batched.clear()
        self._queued.clear()
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def claim_all(self) -> None:
        while self._single or self._batched:
            if self._batched:
                size = min(self._runtime.bounds.claim_batch, len(self._batched))
                batch = [self._batched.popleft() for _ in range(size)]
                self._queued.difference_update(batch)
                await self._claim_batch(batch)
            if self._single:
                trigger = self._single.popleft()
                self._queued.discard(trigger)
                await self._claim_one(trigger)

    async def _claim_one(self, trigger: Claimant) -> None:
        try:
            if not await trigger.claim():
                self.add(trigger)
            self._failing.discard(trigger.name)
        except BaseException as error:
            if is_end(error):
                raise
            self._retry(partial(self.add, trigger), trigger, error)

    async def _claim_batch(self, triggers: Sequence[BatchClaimant]) -> None:
        try:
            for trigger in await self._try_batch(triggers):
                self.add_to_batch(trigger)
            self._failing.difference_update(trigger.name for trigger in triggers)
        except BaseException as error:
            if is_end(error):
                raise
            if len(triggers) > 1:
                for trigger in triggers:  # one trigger alone may have caused the error
                    await self._claim_batch([trigger])
            elif isinstance(error, PERMANENT_ERRORS):
                logger.error(
                    "trigger %s cannot be claimed, and its due firings are skipped: %s", triggers[0].name, error
                )
                triggers[0].pass_over()
            else:
                self._retry(partial(self.add_to_batch, triggers[0]), triggers[0], error)

    def _retry(self, add: Callable[[], object], trigger: NamedTrigger, error: BaseException) -> None:
        if self._runtime.closed:
            return
        later = asyncio.get_running_loop().call_later
        if isinstance(error, EngineFailed) and trigger.name not in self._failing:
            self._failing.add(trigger.name)  # a broken connection is replaced, or known to be lost by then
            later(QUICK_RETRY_SECONDS, add)
            return
        if self._runtime.connection.connected:
            logger.error("trigger %s cannot be claimed: %s", trigger.name, reason_of(error))
        later(self._runtime.bounds.engine_retry_seconds, add)

    async def _try_batch(self, triggers: Sequence[BatchClaimant]) -> list[BatchClaimant]:
        """Claim the due firings of these triggers in one transaction. Return the triggers that have to try again."""
        known = await asyncio.gather(*[self._records.read(trigger.name, trigger.start) for trigger in triggers])
        claims: list[tuple[BatchClaimant, FiringClaim, int]] = []
        again: list[BatchClaimant] = []
        firings = 0
        for trigger, (record, revision) in zip(triggers, known, strict=True):
            claim = trigger.decide(record)
            if claim is None:
                continue
            if revision and claim.record == record:
                trigger.settle(record)
            elif claims and firings + len(claim.firings) > self._runtime.bounds.claimed_firings:
                # in another transaction: other writers of a file wait while this one holds the write lock
                again.append(trigger)
            else:
                claims.append((trigger, claim, revision))
                firings += len(claim.firings)
        if claims:
            for (trigger, claim, _), won in zip(claims, await self._records.commit_all(claims), strict=True):
                if won:
                    trigger.settle(claim.record)
                else:
                    again.append(trigger)
        return again
