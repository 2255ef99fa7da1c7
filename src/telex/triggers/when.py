"""`WhenTrigger`: a trigger that fires when something becomes true."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from telex.errors import BadOption, ContentError
from telex.topics.subscription import Subscription, leave
from telex.triggers.conditions.evaluator import Fired
from telex.triggers.firings import KEY_KEPT, FiringClaim, FiringCoordinator, TriggerRecord
from telex.triggers.monitor import ConditionMonitor
from telex.triggers.poll import Poll
from telex.triggers.trigger import LOOK, Trigger

if TYPE_CHECKING:
    from telex.triggers.scheduler import Scheduler


logger: logging.Logger = logging.getLogger("telex.triggers")


class WhenTrigger(Trigger):
    """Made by ``hub.when``: it fires once, or with ``rising`` each time.

    On an engine that processes share, each process watches, and each firing is claimed by its instant; a `Poll` that
    has fired in one of them fires in none until one has found it false.
    """

    def __init__(
        self, scheduler: Scheduler, what: ConditionMonitor | Poll, name: str | None, topic: str | None, *, rising: bool
    ) -> None:
        self.what = what
        self.rising = rising
        self._begun = False
        self._pending: deque[Fired | None] = deque()  # what it is to claim; None: it was found false
        self._other: float = -inf  # until then it fired for another condition
        self._stale = False  # whether what is kept of it may have been changed by another process
        self._again: asyncio.TimerHandle | None = None
        self._firings: Subscription[Any] | None = None  # of all processes
        super().__init__(scheduler, name, topic)

    def describe(self) -> str:
        """What it waits for, for people."""
        return self.what.describe()

    def missed(self) -> tuple[int, int]:
        """See `Trigger`."""
        return (self.what.lost, self.what.forgotten) if isinstance(self.what, ConditionMonitor) else (0, 0)

    # -- what the scheduler does

    def begin(self) -> None:
        """See `Trigger`."""
        self.start: float = self._scheduler.clock()
        if self._scheduler.claims is not None:
            self._scheduler.claims.soon(self)
            return
        self._begun = True
        if isinstance(self.what, Poll):
            self.what.begin(self, self.start, self.start)
            return
        self.what.begin(self, self.start)
        self._read(self.what)
        # Not yet: who subscribes, and which function is called, may be said by the next line of the program.
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        if isinstance(self.what, ConditionMonitor) and not self.ended:
            self.what.look()

    def _read(self, watch: ConditionMonitor) -> None:
        for reader in watch.readers():
            self._scheduler.do(reader)
        watch.rearm(self.start)

    def ring(self, now: float) -> None:
        """See `Trigger`."""
        self.what.ring(now)

    def look(self) -> None:
        """See `Trigger`."""
        self._shared.soon(self)

    def end(self) -> None:
        """See `Trigger`."""
        super().end()
        if isinstance(self.what, ConditionMonitor):
            self.what.close()
        if self._firings is not None:
            leave(self._firings)
        if self._again is not None:
            self._again.cancel()

    def resume(self) -> None:
        """Go on. What became true meanwhile is not told."""
        now, running = self._scheduler.clock(), self._begun and not self.ended
        if running and isinstance(self.what, ConditionMonitor):
            self.what.ring(now)  # while it is paused still
        super().resume()
        if running:
            self.what.rearm(now)

    # -- what the watch and the poll do

    def alarm(self, at: float | None) -> None:
        """Be told the time at ``at``."""
        self._scheduler.arm(self, at)

    def do(self, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do what takes a while."""
        self._scheduler.do(chore)

    def tell(self, fired: Sequence[Fired]) -> None:
        """It has become true, at these instants."""
        if self.paused or self.ended:
            return
        if self._scheduler.claims is not None:
            self._pending += fired
            if self._begun:
                self._scheduler.claims.soon(self)
            return
        now = self._scheduler.clock()
        for instant, key, _, value in fired if self.rising else fired[:1]:
            self._scheduler.fire(self, instant, now, key, value, last=not self.rising)
        if not self.rising:
            self._scheduler.finish(self)

    def fell(self) -> None:
        """What is looked at is false again."""
        if self._scheduler.claims is not None and self.rising:
            self._pending.append(None)
            self._scheduler.claims.soon(self)

    # -- once for all processes

    async def claim(self) -> bool:
        """See `telex.triggers.firings.Claimant`."""
        if self.ended:
            return True
        if not self._begun and not await self._begin_shared():
            return False
        if self._stale:
            self._stale = False
            kept, _ = await self._shared.read(self.name, self.start)
            self._take(kept)
            if self._over(kept):
                return True
        if not await self._claim_pending():
            return False
        if self.held and not self.ended and self._again is None:
            # It is paused for all processes, and nobody tells when it goes on.
            self._again = asyncio.get_running_loop().call_later(LOOK, self._look_again)
        return True

    def _look_again(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again, self._stale = None, True
        self._shared.soon(self)

    async def _claim_pending(self) -> bool:
        while self._pending and not self.ended:
            first = self._pending[0]
            try:
                settled = await (self._let_rise() if first is None else self._claim_one(first))
            except (BadOption, ContentError, UnicodeEncodeError) as error:
                settled = True  # it can never be published, such as for a key that is no text that can be written
                logger.error("trigger %s does not publish its firing: %s", self.name, error)
            if not settled:
                return False
            if self._pending:  # it is empty when that was the end of it
                self._pending.popleft()
        return True

    async def _begin_shared(self) -> bool:
        claims = self._shared
        kept, revision = await claims.read(self.name, self.start)
        fresh = kept.last is None  # it has never fired by itself
        told = replace(kept, schedule=self.describe(), topic=self.topic)
        if kept.schedule not in ("", told.schedule):
            if not self.rising and kept.ended:
                self.warn_ended(kept)
                told = kept
            else:
                told = replace(told, start=self.start)  # until now the other one was in force
            self._other = -inf if kept.last is None else kept.last
        if (told != kept or not revision) and not await claims.commit(self, FiringClaim(told, []), revision):
            return False
        self._take(told)
        if self._over(told):
            return True
        if isinstance(self.what, Poll):
            self.what.begin(self, told.start, self._scheduler.clock())
            if not self.rising:
                self._scheduler.do(self._hear_firings)
        else:
            await self.what.resume(self, told.start, fresh=fresh)
            since = max(told.start, self.what.known)
            self._pending = deque(
                each
                for each in self._pending
                if each is not None and (each.instant > since or (fresh and each.instant == told.start))
            )
            if self.ended:
                self.what.close()  # it was cancelled meanwhile
                return True
            self._read(self.what)
        self._begun = True
        return True

    async def _hear_firings(self) -> None:
        """That another process has fired is seen by nothing else when the function is not true in this one."""
        runtime = self._scheduler.runtime
        while not self.ended and not runtime.closed:
            async with runtime.topic(self.topic).subscribe(overflow="latest", buffer=1) as self._firings:
                self._look_again()  # what was fired before this
                async for _ in self._firings:
                    self._look_again()

    async def _let_rise(self) -> bool:
        kept, revision = await self._shared.read(self.name, self.start)
        return not kept.true or await self._shared.commit(self, FiringClaim(replace(kept, true=False), []), revision)

    async def _claim_one(self, fired: Fired) -> bool:
        """Whether it is settled whose firing that is."""
        claims, (instant, key, since, value) = self._shared, fired
        kept, revision = await claims.read(self.name, self.start)
        if self._over(kept):
            return True
        if isinstance(self.what, Poll):
            stale = kept.true
        else:
            last = kept.last if key is None else await claims.last_of(self.name, key)
            # What others found true later than this process knows it to have been false is the same rise, seen at
            # another instant. What is so long ago that nobody knows is taken for fired.
            stale = last is not None and (instant <= last or since < last > self._other)
            stale = stale or (key is not None and instant <= self._scheduler.clock() - KEY_KEPT)
        self._take(kept)
        if stale or kept.paused:
            return True
        late = self._scheduler.clock() - instant
        told = kept.after(instant, late, true=isinstance(self.what, Poll), ended=not self.rising)
        if not await claims.commit(self, FiringClaim(told, [(instant, told.fired)], key, value), revision):
            return False
        self._take(told)
        self._over(told)
        return True

    def _over(self, kept: TriggerRecord) -> bool:
        """Whether it fires no more, since it fires once and has, in whichever process."""
        if self.rising or not kept.ended:
            return False
        self._take(kept)
        self._pending.clear()
        self._begun = True
        self._scheduler.finish(self)
        return True

    @property
    def _shared(self) -> FiringCoordinator:
        claims = self._scheduler.claims
        if claims is None:
            raise AssertionError("only on an engine that processes share is anything claimed")
        return claims
