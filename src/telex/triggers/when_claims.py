"""`WhenClaimant`: claims the firings of a condition. Every process evaluates it, and one process publishes each
firing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from telex.errors import BadOption, ContentError
from telex.topics.subscription import Subscription, leave
from telex.triggers.conditions.evaluator import Fired
from telex.triggers.records import KEY_KEPT_SECONDS, FiringClaim, TriggerRecord, TriggerRecords
from telex.triggers.scheduled import ScheduledTrigger
from telex.triggers.time_claims import warn_ended

if TYPE_CHECKING:
    from telex.runtime import Runtime
    from telex.triggers.claims import ClaimQueue
    from telex.triggers.when_trigger import WhenTrigger

logger: logging.Logger = logging.getLogger("telex.triggers")


class WhenClaimant:
    """The `Claimant` of a `WhenTrigger`. Each firing is claimed by its instant. A polled function that was true in one
    process does not fire again, in any process, until a process has found it false.
    """

    def __init__(
        self,
        trigger: WhenTrigger,
        runtime: Runtime,
        records: TriggerRecords,
        queue: ClaimQueue,
        finish: Callable[[ScheduledTrigger], None],
    ) -> None:
        self.name: str = trigger.name
        self.topic: str = trigger.topic
        self._trigger = trigger
        self._runtime = runtime
        self._records = records
        self._queue = queue
        self._finish = finish
        self._closed = False
        self.pending: deque[Fired | None] = deque()  # the firings to claim; None: the function was found false
        self._replaced_at = -inf  # until this time another condition of the same name fired
        self._stale = False  # True when another process may have changed the record
        self.pause_check: asyncio.TimerHandle | None = None
        self._firings: Subscription[Any] | None = None  # the firings of all processes

    def add(self, fired: Sequence[Fired | None]) -> None:
        """Queue firings to be claimed, in this order; None stands for "false again"."""
        self.pending += fired
        if self._trigger.watching:
            self._queue.add(self)

    def close(self) -> None:
        """Stop claiming: the trigger has ended."""
        self._closed = True
        if self._firings is not None:
            leave(self._firings)
        if self.pause_check is not None:
            self.pause_check.cancel()

    async def claim(self) -> bool:
        """Claim the due firings. Return false when another process was first and `claim` has to be called again."""
        trigger = self._trigger
        if self._closed:
            return True
        if not trigger.watching and not await self._begin():
            return False
        if self._stale:
            self._stale = False
            record, _ = await self._records.read(self.name, trigger.start)
            trigger.take(record)
            if self._is_over(record):
                return True
        if not await self.claim_pending():
            return False
        if trigger.paused_elsewhere and not self._closed and self.pause_check is None:
            seconds = self._runtime.bounds.pause_check_seconds
            self.pause_check = asyncio.get_running_loop().call_later(seconds, self._look_again)
        return True

    def _look_again(self) -> None:
        if self.pause_check is not None:
            self.pause_check.cancel()
        self.pause_check, self._stale = None, True
        self._queue.add(self)

    async def claim_pending(self) -> bool:
        while self.pending and not self._closed:
            first = self.pending[0]
            try:
                settled = await (self._claim_false() if first is None else self.claim_one(first))
            except (BadOption, ContentError, UnicodeEncodeError) as error:
                settled = True  # the firing can never be published, such as one for a key that cannot be encoded
                logger.error("trigger %s does not publish its firing: %s", self.name, error)
            if not settled:
                return False
            if self.pending:  # `_is_over` empties it
                self.pending.popleft()
        return True

    async def _begin(self) -> bool:
        trigger, source = self._trigger, self._trigger.source
        record, revision = await self._records.read(self.name, trigger.start)
        fresh = record.last is None  # the trigger has never fired by itself
        mine = replace(record, schedule=trigger.describe(), topic=trigger.topic)
        if record.schedule not in ("", mine.schedule):
            if not trigger.rising and record.ended:
                warn_ended(trigger, record)
                mine = record
            else:
                mine = replace(mine, start=trigger.start)  # until now the other condition applied
            self._replaced_at = -inf if record.last is None else record.last
        if (mine != record or not revision) and not await self._records.commit(self, FiringClaim(mine, []), revision):
            return False
        trigger.take(mine)
        if self._is_over(mine):
            return True
        await source.resume(trigger, mine.start, fresh=fresh)
        since = max(mine.start, source.known)
        self.pending = deque(
            each
            for each in self.pending
            if each is not None and (each.instant > since or (fresh and each.instant == mine.start))
        )
        if self._closed:
            source.close()  # the trigger was cancelled while this task waited
            return True
        if source.is_polled and not trigger.rising:
            trigger.run(self._follow_firings)
        trigger.watch()
        return True

    async def _follow_firings(self) -> None:
        """Read the record again when another process has fired, since the function may be false in this process."""
        while not self._closed and not self._runtime.closed:
            topic = self._runtime.topic(self.topic)
            async with topic.subscribe(overflow="latest", buffer=1) as self._firings:
                self._look_again()  # for firings before the subscription
                async for _ in self._firings:
                    self._look_again()

    async def _claim_false(self) -> bool:
        record, revision = await self._records.read(self.name, self._trigger.start)
        if not record.true:
            return True
        return await self._records.commit(self, FiringClaim(replace(record, true=False), []), revision)

    async def claim_one(self, fired: Fired) -> bool:
        """Claim a firing. Return true when this process, or another one, has settled it."""
        trigger, polled, (instant, key, since, value) = self._trigger, self._trigger.source.is_polled, fired
        record, revision = await self._records.read(self.name, trigger.start)
        if self._is_over(record):
            return True
        if polled:
            stale = record.true
        else:
            last = record.last if key is None else await self._records.last_of(self.name, key)
            # A firing of another process, after the last time at which this process found the condition false, is the
            # same change seen at another instant. Changes before the first stored firing count as fired.
            stale = last is not None and (instant <= last or since < last > self._replaced_at)
            stale = stale or (key is not None and instant <= trigger.timers.clock() - KEY_KEPT_SECONDS)
        trigger.take(record)
        if stale or record.paused:
            return True
        late = trigger.timers.clock() - instant
        claimed = record.after(instant, late, true=polled, ended=not trigger.rising)
        if not await self._records.commit(self, FiringClaim(claimed, [(instant, claimed.fired)], key, value), revision):
            return False
        trigger.take(claimed)
        self._is_over(claimed)
        return True

    def _is_over(self, record: TriggerRecord) -> bool:
        """Return true when a trigger that fires once has fired, in any process, and end the trigger."""
        trigger = self._trigger
        if trigger.rising or not record.ended:
            return False
        trigger.take(record)
        self.pending.clear()
        trigger.watching = True
        self._finish(trigger)
        return True
