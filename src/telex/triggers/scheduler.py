"""`Scheduler`: the one loop of a hub that drives all its triggers, from a heap. It wakes only when something is due."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from telex.errors import BadOption, Closed, TelexError
from telex.triggers.trigger import Trigger, TriggerStatistics, firing_of

if TYPE_CHECKING:
    from telex.hub import Hub

logger: logging.Logger = logging.getLogger("telex.triggers")
LONGEST = 60.0
"""Seconds after which it looks again: the clock of the machine may have been set."""
BUCKET = "$triggers"
GROUP = "$triggers"
TRIES = 5.0
"""Seconds until an engine that failed is asked again."""


class Kept(msgspec.Struct, frozen=True):
    """What an engine that keeps and shares knows of a trigger."""

    start: float
    last: float | None = None
    fired: int = 0


class Scheduler:
    """All triggers of a hub. ``clock`` gives seconds since 1970.

    On an engine that keeps messages, a firing is claimed by compare-and-set on the trigger's record, in the transaction
    that publishes it: so however many processes have the trigger, each instant is fired once, and by a handler of a
    group, to which it comes again when the process that has it dies.
    """

    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self.clock: Callable[[], float] = clock
        self._hub = hub
        self._triggers: dict[str, Trigger] = {}
        self._heap: list[tuple[float, int, Trigger]] = []
        self._entries = count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._due: list[Trigger] = []
        self._claiming: asyncio.Task[None] | None = None
        self._open = False
        self.chance: Callable[[], float] = random.random

    # -- declaring

    def add(self, trigger: Trigger) -> None:
        """One more. Raises `BadOption` when there is one of its name."""
        if trigger.name in self._triggers:
            raise BadOption("name", trigger.name, "there is a trigger of this name; give another, name='...'")
        self._triggers[trigger.name] = trigger
        if self._open:
            self._begin(trigger)

    def remove(self, trigger: Trigger) -> None:
        """One less, in this process."""
        if self._triggers.get(trigger.name) is trigger:
            del self._triggers[trigger.name]
        trigger.ended, trigger.next, trigger.entry = True, None, 0

    def handle(self, trigger: Trigger, function: Callable[..., object]) -> None:
        """Have a function called at each firing: it is a handler of the trigger's topic."""
        if self._shared:
            self._hub.on(trigger.topic, group=GROUP)(function)
        else:
            self._hub.on(trigger.topic, buffer=100_000)(function)

    @property
    def _shared(self) -> bool:
        return self._hub._engine.store is not None

    # -- life

    def start(self) -> None:
        """Begin. In the event loop of the hub."""
        self._open = True
        for trigger in list(self._triggers.values()):
            self._begin(trigger)

    async def stop(self) -> None:
        """Fire nothing more."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._claiming is not None:
            self._claiming.cancel()
            await asyncio.gather(self._claiming, return_exceptions=True)

    def _begin(self, trigger: Trigger) -> None:
        trigger.start = self.clock()
        if self._shared:
            self._claim_soon(trigger)
        else:
            trigger.next = trigger.schedule.after(trigger.start, trigger.start)
            self.arm(trigger)

    # -- waiting

    def arm(self, trigger: Trigger) -> None:
        """Wait for the next instant of a trigger."""
        if trigger.next is None or trigger.paused or trigger.ended or not self._open:
            return
        trigger.at = trigger.next + (trigger.jitter * self.chance() if trigger.jitter else 0.0)
        trigger.entry = next(self._entries)
        heappush(self._heap, (trigger.at, trigger.entry, trigger))
        if self._heap[0][1] == trigger.entry:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap and self._open:
            wait = min(max(self._heap[0][0] - self.clock(), 0.0), LONGEST)
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        heap, now = self._heap, self.clock()
        while heap and heap[0][0] <= now:
            _, entry, trigger = heappop(heap)
            if trigger.entry != entry or trigger.paused or trigger.ended:
                continue  # it was armed anew, paused or removed
            if self._shared:
                self._claim_soon(trigger)
            else:
                self._fire(trigger, now)
        self._set_timer()

    # -- firing, in this process alone

    def _fire(self, trigger: Trigger, now: float) -> None:
        instants, trigger.next = trigger.due(trigger.last, now)
        for instant in instants:
            trigger.last, trigger.late = instant, now - instant
            trigger.fired += 1
            self._publish(trigger, instant)
        if trigger.next is None:
            trigger.ended = True
            asyncio.get_running_loop().create_task(self._close_topic(trigger))
        else:
            self.arm(trigger)

    def _publish(self, trigger: Trigger, instant: float) -> None:
        firing, id = firing_of(trigger, instant, trigger.fired)
        try:
            self._hub.topic(trigger.topic).publish_nowait(firing, id=id)
        except TelexError as error:
            logger.error("trigger %s did not publish its firing of %s: %s", trigger.name, firing.scheduled, error)

    async def _close_topic(self, trigger: Trigger) -> None:
        """Whoever iterates over what happens once comes to the end."""
        await self._hub.remove(trigger.topic)

    async def fire_by_hand(self, trigger: Trigger) -> None:
        """Publish a firing that is meant for now."""
        trigger.fired += 1
        firing, id = firing_of(trigger, self.clock(), trigger.fired)
        await self._hub.topic(trigger.topic).publish(firing, id=id)

    # -- firing, once for all processes

    def _claim_soon(self, trigger: Trigger) -> None:
        self._due.append(trigger)
        if self._claiming is None or self._claiming.done():
            self._claiming = asyncio.create_task(self._claim_all(), name="telex triggers")

    async def _claim_all(self) -> None:
        while self._due:
            trigger = self._due.pop(0)
            try:
                await self._claim(trigger)
            except Closed:
                return
            except TelexError as error:
                logger.error("trigger %s cannot be claimed: %s", trigger.name, error)
                asyncio.get_running_loop().call_later(TRIES, self._claim_soon, trigger)

    async def _claim(self, trigger: Trigger) -> None:
        records = self._hub._engine.records
        if records is None:
            raise BadOption("use of triggers", self._hub.url, "its engine has no records")
        record = await records.get(BUCKET, trigger.name)
        now = self.clock()
        kept = Kept(trigger.start) if record is None else msgspec.json.decode(record.value, type=Kept)
        trigger.start, trigger.last, trigger.fired = kept.start, kept.last, kept.fired
        instants, trigger.next = trigger.due(kept.last, now)
        if record is None or instants:
            fired = kept.fired + len(instants)
            value = msgspec.json.encode(Kept(kept.start, instants[-1] if instants else kept.last, fired))
            if not await self._commit(trigger, instants, value, 0 if record is None else record.revision, kept.fired):
                self._due.append(trigger)  # another process was first: see what it has left
                return
            if instants:
                trigger.last, trigger.late, trigger.fired = instants[-1], now - instants[-1], fired
        if trigger.next is None:
            trigger.ended = True
        self.arm(trigger)

    async def _commit(self, trigger: Trigger, instants: list[float], value: bytes, revision: int, fired: int) -> bool:
        """The record and the firings together."""
        async with self._hub.transaction() as tx:
            if await tx._engine.put(BUCKET, trigger.name, value, revision) is None:
                return False
            for number, instant in enumerate(instants, fired + 1):
                firing, id = firing_of(trigger, instant, number)
                await tx.publish(trigger.topic, firing, id=id)
        return True

    # -- looking

    def statistics(self) -> tuple[TriggerStatistics, ...]:
        """All triggers, in the order of declaration."""
        return tuple(trigger.statistics() for trigger in self._triggers.values())

    def find(self, name: str) -> Any:
        """The trigger of a name, or None."""
        return self._triggers.get(name)
