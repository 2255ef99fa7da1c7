"""`EngineFirings`: firings on an engine that processes share. Each is published once, by one of the processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from telex.handlers.signature import name_of
from telex.process.waiters import park
from telex.topics.topic import publisher_of
from telex.triggers.claims import ClaimQueue
from telex.triggers.conditions.evaluator import Fired
from telex.triggers.records import TriggerRecords
from telex.triggers.retiring import Retiring
from telex.triggers.scheduled import ScheduledTrigger
from telex.triggers.time_claims import TimeClaimant
from telex.triggers.values import EngineValue
from telex.triggers.when_claims import WhenClaimant

if TYPE_CHECKING:
    from telex.groups.runner import GroupRunner
    from telex.handlers.runner import HandlerRunner
    from telex.runtime import Runtime
    from telex.triggers.time_trigger import TimeTrigger
    from telex.triggers.timers import Timers
    from telex.triggers.when_trigger import WhenTrigger

T = TypeVar("T")
GROUP = "$triggers"


class EngineFirings:
    """The `Firings` of a hub whose engine stores messages. The functions of triggers are handlers of groups, so another
    process calls them when this one dies. ``finish`` ends a trigger that has fired for the last time.
    """

    needs: tuple[str, ...] = ("records", "groups", "once_per_id", "record_transactions")

    def __init__(
        self,
        runtime: Runtime,
        timers: Timers,
        runner: HandlerRunner,
        groups: GroupRunner,
        finish: Callable[[ScheduledTrigger], None],
    ) -> None:
        self.records: TriggerRecords = TriggerRecords(runtime)
        self.queue: ClaimQueue = ClaimQueue(runtime, self.records)
        self.retiring: Retiring = Retiring(runtime, groups, timers.run)
        self._runtime = runtime
        self._timers = timers
        self._runner = runner
        self._finish = finish
        self._values: list[EngineValue[Any]] = []
        self._times: dict[ScheduledTrigger, TimeClaimant] = {}
        self.whens: dict[ScheduledTrigger, WhenClaimant] = {}

    def start(self) -> None:
        for value in self._values:
            self._timers.run(value.follow)

    async def stop(self) -> None:
        await self.queue.stop()

    async def close(self) -> None:
        await self.retiring.finish()

    def variable(self, name: str, initial: T, type: type[T] | None) -> EngineValue[T]:
        value = EngineValue(self._runtime, name, initial, type)
        self._values.append(value)
        if self._timers.running:
            self._timers.run(value.follow)
        return value

    def handler_options(self, trigger: ScheduledTrigger, function: Callable[..., object]) -> Mapping[str, Any]:
        """Return the options of a handler: each function has a group of its own, so that every function is called."""
        called = re.sub(r"\W", "_", name_of(function).rpartition(".")[2])
        return {"group": f"{GROUP}:{trigger.name}:{called}"}

    def changed(self, trigger: ScheduledTrigger) -> None:
        when = self.whens.get(trigger)
        if when is not None:
            self.queue.add(when)
        elif trigger in self._times:
            trigger.due(self._timers.clock())

    # -- schedules

    def begin_schedule(self, trigger: TimeTrigger) -> None:
        claimant = self._times[trigger] = TimeClaimant(trigger, self._finish)
        self.queue.add_to_batch(claimant)

    def fire_due(self, trigger: TimeTrigger, now: float) -> None:
        claimant = self._times[trigger]
        if self.queue.add_to_batch(claimant):
            claimant.asked = now

    # -- conditions

    def begin_condition(self, trigger: WhenTrigger) -> None:
        claimant = WhenClaimant(trigger, self._runtime, self.records, self.queue, self._finish)
        self.whens[trigger] = claimant
        self.queue.add(claimant)

    def became_true(self, trigger: WhenTrigger, fired: Sequence[Fired]) -> None:
        self.whens[trigger].add(fired)

    def became_false(self, trigger: WhenTrigger) -> None:
        if trigger.rising:
            self.whens[trigger].add([None])

    # -- publishing

    async def fire(self, trigger: ScheduledTrigger) -> None:
        trigger.fired = await self.records.fire(trigger, self._timers.clock())

    # -- the end

    def finished(self, trigger: ScheduledTrigger, *, topic_is_free: bool) -> None:
        self._forget(trigger)
        if not self._timers.running:
            return
        if trigger.handlers:
            self.retiring.settle(trigger.handlers)
        if topic_is_free:
            self._timers.run(partial(self._close_topic, trigger.topic))

    async def _close_topic(self, name: str) -> None:
        """End the readers of a topic after the last stored message, which this process may not have read yet."""
        publisher = publisher_of(self._runtime.topic(name))  # this reference keeps it the topic of the hub
        end, log = (await self._runtime.store("triggers").find(name, "new", self._runtime.clock()))[0], publisher.log
        while log.cursors and log is publisher.log and log.end < end:  # else nobody reads it, or it was removed
            await park(log)
        self._runtime.topics.let_go(name)

    def cancelled(self, trigger: ScheduledTrigger, *, topic_is_free: bool) -> None:
        """Clean up after a trigger that the program has ended. Other processes may still publish to its topic."""
        self._forget(trigger)
        for handler in trigger.handlers:
            if self._timers.running:
                self.retiring.cancel(handler)
            else:
                self._runner.retire(handler, at_once=True)

    def _forget(self, trigger: ScheduledTrigger) -> None:
        claimants = (self._times.pop(trigger, None), self.whens.pop(trigger, None))
        for claimant in claimants:
            if claimant is not None:
                claimant.close()
