"""`Scheduler`: the triggers and variables of a hub."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from telex.errors import BadOption, Closed
from telex.names import check_topic
from telex.triggers.conditions.condition import Condition, Moment
from telex.triggers.engine_firings import EngineFirings
from telex.triggers.firings import Firings
from telex.triggers.local_firings import LocalFirings
from telex.triggers.monitor import ConditionMonitor
from telex.triggers.scheduled import ScheduledTrigger, TopicUse
from telex.triggers.timers import Timers
from telex.triggers.trigger import Trigger, TriggerStatistics, state_of
from telex.triggers.variable import Variable, value_of

if TYPE_CHECKING:
    from telex.groups.runner import GroupRunner
    from telex.handlers.runner import HandlerRunner
    from telex.runtime import Runtime

T = TypeVar("T")
MAX_ENDED_TRIGGERS = 100
"""The number of ended triggers that `Scheduler.statistics` still returns."""
Handle = Callable[..., Callable[[Callable[..., object]], object]]
"""Declares a handler of a topic, as `telex.Hub.on`."""


class Scheduler:
    """All triggers of a hub. It chooses the `Firings`: in this process alone, or once in all processes that share an
    engine.
    """

    def __init__(self, runtime: Runtime, runner: HandlerRunner, groups: GroupRunner, handle: Handle) -> None:
        self.runtime: Runtime = runtime
        self.timers: Timers = Timers(runtime)
        self._topics = TopicUse()
        self.firings: Firings = (
            LocalFirings(runtime, self.timers, runner, self._topics, self._finish)
            if runtime.engine.store is None
            else EngineFirings(runtime, self.timers, runner, groups, self._finish)
        )
        self._runner = runner
        self._handle = handle
        self._triggers: dict[str, Trigger] = {}
        self._ended: deque[ScheduledTrigger] = deque()
        self._variables: dict[str, Variable[Any]] = {}

    # -- declaring

    def add(self, trigger: Trigger) -> None:
        """Add a trigger that has a name. Raises `BadOption` when another trigger has the name."""
        if self.runtime.closed:
            raise Closed("this hub", "it was closed; make another with telex.Hub()")
        self.runtime.check_thread()
        state = state_of(trigger)
        self.runtime.require(f"the trigger {state.name!r}", *self.firings.needs)
        known = self._triggers.get(state.name)
        if known is not None and not known.ended:
            raise BadOption("name", state.name, "another trigger has this name; give another name, name='...'")
        self._triggers[state.name] = trigger
        self._topics.add(state.topic)
        if self.timers.running:
            state.begin()

    def remove(self, trigger: Trigger) -> None:
        """End a trigger in this process; its functions are not called again."""
        if self._triggers.get(trigger.name) is trigger:
            del self._triggers[trigger.name]
        state, ended = state_of(trigger), trigger.ended
        self._end(state)
        self.firings.cancelled(state, topic_is_free=not ended and self._topics.is_free_of_others(state))

    def handle(self, trigger: ScheduledTrigger, function: Callable[..., object]) -> None:
        """Register a function that is called at each firing, as a handler of the trigger's topic."""
        options = self.firings.handler_options(trigger, function)
        self._handle(trigger.topic, middleware=trigger.middleware, run_in=trigger.run_in, **options)(function)
        trigger.handlers = (*trigger.handlers, self._runner.declarations[-1])

    def variable(self, name: str, initial: T, type: type[T] | None) -> Variable[T]:
        """Return the variable of a name; create it if it is new. Raises `BadOption`, `BadName`, `ContentError`."""
        found = self._variables.get(check_topic(name))
        if found is None:
            self.runtime.require(f"the variable {name!r}", *self.firings.needs)
            found = self._variables[name] = Variable(self.firings.variable(name, initial, type))
        elif found.initial != initial:
            raise BadOption(
                "initial",
                initial,
                f"the variable {name!r} was declared with the initial value {found.initial!r}; give the same",
            )
        return found

    def monitor(self, condition: Condition, keys: int) -> ConditionMonitor:
        """Return a new monitor of a condition. Raises `BadOption` for a condition that raises, or of another hub."""
        known = self._variables
        values = [value_of(known[name]) for name in sorted(condition.variables) if name in known]
        if len(values) < len(condition.variables):
            strange = ", ".join(sorted(condition.variables - known.keys()))
            raise BadOption("condition", condition, f"it uses variables of another hub: {strange}")
        try:
            condition.step(condition.begin(0.0), Moment(0.0, {each.name: each.value for each in values}))
        except TypeError as error:
            raise BadOption("condition", condition, f"evaluating it raises: {error}") from None
        return ConditionMonitor(condition, self.runtime, values, keys)

    # -- life

    def start(self) -> None:
        """Start. Called in the event loop of the hub."""
        self.timers.start()
        self.firings.start()
        for trigger in list(self._triggers.values()):
            state_of(trigger).begin()

    async def stop(self) -> None:
        """Stop firing."""
        self.timers.stop()
        await self.firings.stop()
        await self.timers.cancel_tasks()

    async def close(self) -> None:
        """Clean up after triggers that have ended. Called when the hub's handlers have ended."""
        await self.firings.close()

    async def fire(self, trigger: ScheduledTrigger) -> None:
        """Publish a firing by hand, now."""
        await self.firings.fire(trigger)

    def _end(self, trigger: ScheduledTrigger) -> None:
        if not trigger.ended:
            self._topics.remove(trigger.topic)
        trigger.end()

    def _finish(self, trigger: ScheduledTrigger) -> None:
        """End a trigger that has fired for the last time. Subscriptions to its topic end after the last message."""
        self._end(trigger)
        self._ended.append(trigger)
        while len(self._ended) > MAX_ENDED_TRIGGERS:
            oldest = self._ended.popleft()
            known = self._triggers.get(oldest.name)
            if known is not None and state_of(known) is oldest:
                del self._triggers[oldest.name]
        self.firings.finished(trigger, topic_is_free=self._topics.is_free_of_others(trigger))

    # -- statistics

    def statistics(self) -> tuple[TriggerStatistics, ...]:
        """Return the statistics of all triggers, in the order of declaration."""
        return tuple(trigger.statistics() for trigger in self._triggers.values())

    def find(self, name: str) -> Trigger | None:
        """Return the trigger of a name, or None."""
        return self._triggers.get(name)

    def paused_elsewhere(self, name: str, *, paused: bool) -> None:
        """Note that a trigger was paused or resumed in all processes."""
        trigger = self._triggers.get(name)
        if trigger is not None:
            state_of(trigger).paused_elsewhere = paused
            self.firings.changed(state_of(trigger))
