"""`FiringCoordinator`: triggers that several processes have fire once, however many they are."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from telex.errors import BadName, BadOption, ContentError
from telex.process.supervision import describe, is_end
from telex.process.tasks import start_task
from telex.topics.transaction import engine_of
from telex.triggers.conditions.firing import by_hand, firing_of
from telex.triggers.conditions.schedule import MOST

if TYPE_CHECKING:
    from telex.runtime import Runtime
    from telex.topics.transaction import Transaction

logger: logging.Logger = logging.getLogger("telex.triggers")
BUCKET = "$triggers"
BY_KEY = "$triggers-by-key"
KEY_KEPT = 7 * 86400.0
"""Seconds for which it is known when a condition with keys fired last for one of them. What became true longer ago, and
was seen by nobody since, is not fired any more."""
TRIES = 5.0
"""Seconds until an engine that failed is asked again."""
MISTAKES = (BadName, BadOption, ContentError, UnicodeError)
"""Errors of what is published, which come again however often it is tried."""
TOGETHER = 64
"""So many triggers of time are claimed in one transaction, at most: others wait while it has the file."""


class TriggerRecord(msgspec.Struct, frozen=True):
    """What an engine that keeps and shares knows of a trigger: what firings are claimed by, and what is told of it.
    Change it with `msgspec.structs.replace`, so that what others have put there stays."""

    start: float
    last: float | None = None
    fired: int = 0
    schedule: str = ""  # for people
    topic: str = ""
    next: float | None = None
    late: float = 0.0
    paused: bool = False  # in all processes
    ended: bool = False
    true: bool = False  # a function that is looked at was that, and nobody has found it false since
    plan: str = ""  # which schedule `start` is of

    def after(self, instant: float, late: float, *, true: bool, ended: bool) -> TriggerRecord:
        """What is known after one more firing."""
        last = instant if self.last is None else max(self.last, instant)
        return msgspec.structs.replace(self, last=last, late=late, fired=self.fired + 1, true=true, ended=ended)


class NamedTrigger(Protocol):
    """What publishes firings under a name."""

    @property
    def name(self) -> str: ...
    @property
    def topic(self) -> str: ...


class Claimant(NamedTrigger, Protocol):
    """A trigger with something to claim by itself."""

    async def claim(self) -> bool:
        """Claim what is due; False when another process was first, and it has to look again."""


class FiringClaim(msgspec.Struct, frozen=True):
    """What is known of a trigger once its firings are published: the instant and the number of each."""

    kept: TriggerRecord
    firings: list[tuple[float, int]]
    key: str | None = None  # all are for it
    value: object = None  # that made a condition true


class Timed(NamedTrigger, Protocol):
    """A trigger whose claims are decided at once, so that those of many are one transaction."""

    @property
    def start(self) -> float: ...

    def decide(self, kept: TriggerRecord) -> FiringClaim | None:
        """What it claims, by what is known of it; None when it claims nothing now."""

    def settle(self, kept: TriggerRecord) -> None:
        """That is known of it now."""

    def pass_over(self) -> None:
        """What it has claimed can never be published."""


class FiringCoordinator:
    """A firing is claimed by compare-and-set on the trigger's record, in the transaction that publishes it: so each
    instant is fired once, and by a handler of a group, to which it comes again when the process that has it dies.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._due: deque[Claimant] = deque()
        self._timed: deque[Timed] = deque()
        self._waiting: set[Claimant | Timed] = set()  # both
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def soon(self, trigger: Claimant) -> None:
        """Have a trigger claim what is due. Never waits."""
        if not self._stopped and trigger not in self._waiting:
            self._due.append(trigger)
            self._begin(trigger)

    def now(self, trigger: Timed) -> bool:
        """Have a trigger of time claim what is due; False when it is to do that already. Never waits."""
        if self._stopped or trigger in self._waiting:
            return False
        self._timed.append(trigger)
        self._begin(trigger)
        return True

    def _begin(self, trigger: Claimant | Timed) -> None:
        self._waiting.add(trigger)
        if self._task is None or self._task.done():
            self._task = start_task(self._claim_all(), name="telex triggers")

    async def end(self, topic: str) -> int:
        """The number that the next message of a topic will get, by what the engine has: this process may not have heard
        of all of it yet."""
        store = self._runtime.engine.store
        return 0 if store is None else (await store.find(topic, "new", self._runtime.clock()))[0]

    async def stop(self) -> None:
        """Claim nothing more."""
        self._stopped = True
        self._due.clear()
        self._timed.clear()
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _claim_all(self) -> None:
        while self._due or self._timed:
            if self._timed:
                timed = [self._timed.popleft() for _ in range(min(TOGETHER, len(self._timed)))]
                self._waiting.difference_update(timed)
                await self._claim_timed(timed)
            if self._due:
                trigger = self._due.popleft()
                self._waiting.discard(trigger)
                await self._claim_one(trigger)

    async def _claim_one(self, trigger: Claimant) -> None:
        try:
            if not await trigger.claim():
                self.soon(trigger)
        except BaseException as error:  # whatever it is, it may have passed when it is asked again
            if is_end(error):
                raise
            self._again(partial(self.soon, trigger), trigger, error)

    async def _claim_timed(self, triggers: Sequence[Timed]) -> None:
        try:
            for trigger in await self._claim_together(triggers):
                self.now(trigger)
        except BaseException as error:  # as above
            if is_end(error):
                raise
            if len(triggers) == 1 and isinstance(error, MISTAKES):
                logger.error("trigger %s cannot be claimed, and what is due is left out: %s", triggers[0].name, error)
                triggers[0].pass_over()
            elif len(triggers) == 1:
                self._again(partial(self.now, triggers[0]), triggers[0], error)
            else:
                for trigger in triggers:  # one of them may be what cannot be claimed
                    await self._claim_timed([trigger])

    def _again(self, ask: Callable[[], object], trigger: NamedTrigger, error: BaseException) -> None:
        if self._runtime.closed:
            return
        logger.error("trigger %s cannot be claimed: %s", trigger.name, describe(error))
        asyncio.get_running_loop().call_later(TRIES, ask)

    async def _claim_together(self, triggers: Sequence[Timed]) -> list[Timed]:
        """Claim what is due for these; those for which another process was first, and that have to look again."""
        known = await asyncio.gather(*[self.read(trigger.name, trigger.start) for trigger in triggers])
        wanted: list[tuple[Timed, FiringClaim, int]] = []
        left: list[Timed] = []
        firings = 0
        for trigger, (kept, revision) in zip(triggers, known, strict=True):
            claim = trigger.decide(kept)
            if claim is None:
                continue
            if revision and claim.kept == kept:
                trigger.settle(kept)
            elif wanted and firings + len(claim.firings) > MOST:
                left.append(trigger)  # in a transaction of its own: others wait while this one has the file
            else:
                wanted.append((trigger, claim, revision))
                firings += len(claim.firings)
        if not wanted:
            return left
        async with self._runtime.transaction() as tx:
            # All at once, so that none waits until another was heard of; and none is left at it when one has failed.
            asked = [self._put(tx, trigger, claim, revision) for trigger, claim, revision in wanted]
            won = await asyncio.gather(*asked, return_exceptions=True)
            for each in won:
                if isinstance(each, BaseException):
                    raise each
        for (trigger, claim, _), mine in zip(wanted, won, strict=True):
            if mine:
                trigger.settle(claim.kept)
        return left + [trigger for (trigger, _, _), mine in zip(wanted, won, strict=True) if not mine]

    async def read(self, name: str, start: float) -> tuple[TriggerRecord, int]:
        """What is known of a trigger, and the revision of that: 0 when nothing is, and it began at ``start``."""
        record = await self._runtime.records("triggers").get(BUCKET, name)
        if record is None:
            return TriggerRecord(start), 0
        return msgspec.json.decode(record.value, type=TriggerRecord), record.revision

    async def last_of(self, name: str, key: str) -> float | None:
        """For which instant a trigger fired last for a key, if that is known."""
        records = self._runtime.engine.records
        record = None if records is None else await records.get(BY_KEY, f"{name} {key}")
        return None if record is None else msgspec.json.decode(record.value, type=float)

    async def commit(self, trigger: NamedTrigger, claim: FiringClaim, revision: int) -> bool:
        """Keep a record and publish firings, together; whether nobody else was first."""
        async with self._runtime.transaction() as tx:
            won = await self._put(tx, trigger, claim, revision)
            if won and claim.key is not None:
                for instant, _ in claim.firings:
                    await self._keep_key(tx, f"{trigger.name} {claim.key}", instant)
        return won

    async def _put(self, tx: Transaction, trigger: NamedTrigger, claim: FiringClaim, revision: int) -> bool:
        if await engine_of(tx).put(BUCKET, trigger.name, msgspec.json.encode(claim.kept), revision) is None:
            return False
        for instant, number in claim.firings:
            firing, id = firing_of(trigger.name, instant, number, claim.key, claim.value)
            await tx.publish(trigger.topic, firing, id=id)
        return True

    async def _keep_key(self, tx: Transaction, name: str, instant: float) -> None:
        """Nobody else writes it meanwhile: that the trigger's own record was not changed is checked before."""
        records = self._runtime.engine.records
        record = None if records is None else await records.get(BY_KEY, name)
        revision = 0 if record is None else record.revision
        await engine_of(tx).put(BY_KEY, name, msgspec.json.encode(instant), revision, instant + KEY_KEPT)

    async def fire(self, trigger: NamedTrigger, now: float) -> int:
        """Publish a firing by hand, beside the schedule; its number."""
        while True:
            kept, revision = await self.read(trigger.name, now)
            kept = msgspec.structs.replace(kept, fired=kept.fired + 1)
            firing, id = by_hand(trigger.name, now, kept.fired)
            async with self._runtime.transaction() as tx:
                if await engine_of(tx).put(BUCKET, trigger.name, msgspec.json.encode(kept), revision) is not None:
                    await tx.publish(trigger.topic, firing, id=id)
                    return kept.fired
