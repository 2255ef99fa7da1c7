"""`Scheduler`: the one loop of a hub that drives all its triggers. It wakes only when something is due."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from telex.errors import BadOption, Closed, TelexError, WouldBlock
from telex.handlers.signature import name_of
from telex.message import id_text
from telex.process.supervision import is_end, keep_doing
from telex.process.tasks import start_task
from telex.topics.topic import publisher_of
from telex.topics.waiters import park
from telex.triggers.conditions.condition import Condition, Moment
from telex.triggers.conditions.firing import Firing, by_hand, moment
from telex.triggers.firings import TRIES, FiringCoordinator
from telex.triggers.monitor import ConditionMonitor
from telex.triggers.retiring import Retiring
from telex.triggers.timer_queue import TimerQueue
from telex.triggers.trigger import Trigger, TriggerStatistics
from telex.triggers.variable import Variable

if TYPE_CHECKING:
    from telex.groups.runner import GroupRunner
    from telex.handlers.runner import HandlerRunner
    from telex.runtime import Runtime

T = TypeVar("T")
logger: logging.Logger = logging.getLogger("telex.triggers")
REMEMBERED = 100
"""Of so many triggers that have ended it is told what they were."""
AT_ONCE = 1000
"""How many are rung, or firings of one that missed many, before the event loop gets its turn."""
LONGEST = 60.0
"""Seconds after which it looks again: the clock of the machine may have been set."""
UNHEARD = 1000
"""So many firings of a trigger may wait for a subscriber with ``overflow="block"``; those beyond are told as errors."""
GROUP = "$triggers"
Handle = Callable[..., Callable[[Callable[..., object]], object]]
"""Declares a handler of a topic, as `telex.Hub.on`."""


class Scheduler:
    """All triggers of a hub. ``clock`` gives seconds since 1970. ``claims`` is there once the hub is open, on an engine
    that processes share.
    """

    def __init__(self, runtime: Runtime, runner: HandlerRunner, groups: GroupRunner, handle: Handle) -> None:
        self.clock: Callable[[], float] = runtime.clock
        self.claims: FiringCoordinator | None = None if runtime.engine.store is None else FiringCoordinator(runtime)
        self.chance: Callable[[], float] = runtime.chance
        self.runtime: Runtime = runtime
        self._runner = runner
        self._handle = handle
        self._triggers: dict[str, Trigger] = {}
        self._by_topic: dict[str, int] = {}  # how many triggers publish there that have not ended
        self._variables: dict[str, Variable[Any]] = {}
        self._agenda = TimerQueue()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = inf  # for which instant the timer is
        self._chores: set[asyncio.Task[None]] = set()
        self._rings = False
        self._ended: deque[Trigger] = deque()
        self.retiring: Retiring = Retiring(runtime, groups, self.do)
        self._open = False

    # -- declaring

    def add(self, trigger: Trigger) -> None:
        """One more. Raises `BadOption` when there is one of its name."""
        if self.runtime.closed:
            raise Closed("this hub", "it was closed; make another with telex.Hub()")
        self.runtime.check_thread()
        known = self._triggers.get(trigger.name)
        if known is not None and not known.ended:
            raise BadOption("name", trigger.name, "there is a trigger of this name; give another, name='...'")
        self._triggers[trigger.name] = trigger
        self._by_topic[trigger.topic] = self._by_topic.get(trigger.topic, 0) + 1
        if self._open:
            trigger.begin()

    def remove(self, trigger: Trigger) -> None:
        """One less, in this process; its functions are not called any more."""
        if self._triggers.get(trigger.name) is trigger:
            del self._triggers[trigger.name]
        ended = trigger.ended
        trigger.end()
        for handler in trigger.handlers:
            if handler.group is not None and self._open:
                self.retiring.cancel(handler)
            else:
                self._runner.retire(handler, at_once=True)
        if not ended and self.claims is None and self._open and not self._shares_topic(trigger):
            self.runtime.topics.let_go(trigger.topic)

    def variable(self, name: str, initial: T, type: type[T] | None) -> Variable[T]:
        """The variable of a name, made if it is new. Raises `BadOption`, `BadName`, `ContentError`."""
        found = self._variables.get(name)
        if found is None:
            found = self._variables[name] = Variable(self.runtime, name, initial, type)
            if self._open and self.claims is not None:
                self.do(found.follow)
        elif found.initial != initial:
            raise BadOption("initial", initial, f"the variable {name!r} is there and begins as {found.initial!r}")
        return found

    def watch(self, condition: Condition, keys: int) -> ConditionMonitor:
        """A condition, to be watched. Raises `BadOption` when it cannot be looked at."""
        variables = [self._variables[name] for name in sorted(condition.variables) if name in self._variables]
        if len(variables) < len(condition.variables):
            strange = ", ".join(sorted(condition.variables - self._variables.keys()))
            raise BadOption("condition", condition, f"it is about variables of another hub: {strange}")
        values = {each.name: each.value for each in variables}
        try:
            condition.step(condition.begin(0.0), Moment(0.0, values))
        except TypeError as error:
            raise BadOption("condition", condition, f"it cannot be looked at: {error}") from None
        return ConditionMonitor(condition, self.runtime, variables, keys)

    def handle(self, trigger: Trigger, function: Callable[..., object]) -> None:
        """Have a function called at each firing: it is a handler of the trigger's topic."""
        if self.claims is not None:
            # A group for each function, so that all are called.
            called = re.sub(r"\W", "_", name_of(function).rpartition(".")[2])
            group = f"{GROUP}:{trigger.name}:{called}"
            self._handle(trigger.topic, group=group, middleware=trigger.middleware)(function)
        else:
            self._handle(trigger.topic, buffer=100_000, middleware=trigger.middleware)(function)
        trigger.handlers.append(self._runner.declarations[-1])

    # -- life

    def start(self) -> None:
        """Begin. In the event loop of the hub."""
        self._open = True
        if self.claims is not None:
            for variable in self._variables.values():
                self.do(variable.follow)
        for trigger in list(self._triggers.values()):
            trigger.begin()

    async def stop(self) -> None:
        """Fire nothing more."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._wakes = None, inf
        if self.claims is not None:
            await self.claims.stop()
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)

    def do(self, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do what takes a while, at most until `stop`."""
        task = start_task(keep_doing("the triggers of a hub", chore), name="telex triggers")
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    # -- waiting

    def arm(self, trigger: Trigger, at: float | None) -> None:
        """Have a trigger rung at ``at``, and at no other time any more."""
        if at is None or trigger.paused or trigger.ended or not self._open:
            self._agenda.drop(trigger)
            return
        self._agenda.put(at, trigger)
        if at < self._wakes and not self._rings:
            self._set_timer()

    def leave_topic(self, trigger: Trigger) -> None:
        """It publishes nothing more."""
        left = self._by_topic.pop(trigger.topic, 0) - 1
        if left > 0:
            self._by_topic[trigger.topic] = left

    def disarm(self, trigger: Trigger) -> None:
        """Have a trigger not rung."""
        self._agenda.drop(trigger)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wakes = first = self._agenda.first() if self._open else inf
        if first < inf:
            wait = min(max(first - self.clock(), 0.0), LONGEST)
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        now, left, take = self.clock(), AT_ONCE, self._agenda.take
        self._rings = True
        try:
            while left > 0 and (trigger := take(now)) is not None:
                if trigger.paused:
                    continue
                fired = trigger.fired
                try:
                    trigger.ring(now)
                except BaseException as error:  # whatever one of them does, the others are rung
                    trigger.failed += 1
                    logger.error("trigger %s raised", trigger.name, exc_info=error)
                    self._agenda.put(now + TRIES, trigger)
                    if is_end(error):
                        raise
                left -= max(1, trigger.fired - fired)
        finally:
            self._rings = False
            self._set_timer()

    # -- firing, in this process alone

    def fire(
        self,
        trigger: Trigger,
        instant: float,
        now: float,
        key: str | None = None,
        value: object = None,
        *,
        last: bool = False,
    ) -> None:
        """Publish a firing that was meant for ``instant``, the ``last`` one or not. Never waits."""
        again = trigger.last == instant and key is None
        trigger.last, trigger.late = instant, now - instant
        trigger.fired += 1
        firing = Firing(trigger.name, moment(instant), trigger.fired, key, value)
        # Of most firings nobody reads the id, and writing it down costs more than publishing.
        id: str | Firing = firing
        if again:
            id = f"{id_text(firing)}#{trigger.fired}"  # or it would be taken for the one before
        try:
            topic = trigger.outlet
            if topic is None or topic.ended:
                if (
                    last
                    and not self._shares_topic(trigger)
                    and self.runtime.topics.publish_once(trigger.topic, firing, id)
                ):
                    return
                topic = trigger.outlet = self.runtime.topic(trigger.topic)
            publisher_of(topic).publish_new(firing, id)
        except WouldBlock as error:
            if trigger.unheard >= UNHEARD:
                self._unheard(trigger, instant, error)
                return
            trigger.unheard += 1
            text = id_text(id)
            self.do(partial(self._fire_slowly, trigger, firing, text))
        except TelexError as error:
            self._unheard(trigger, instant, error)

    async def _fire_slowly(self, trigger: Trigger, firing: Firing, id: str) -> None:
        """A subscriber with ``overflow="block"`` has no room: this firing waits for it, and nothing else does."""
        try:
            await self.runtime.topic(trigger.topic).publish(firing, id=id)
        except TelexError as error:
            self._unheard(trigger, firing.scheduled.timestamp(), error)
        finally:
            trigger.unheard -= 1
            if trigger.ended and not trigger.unheard and self._finished(trigger):
                self.runtime.topics.let_go(trigger.topic)

    def _unheard(self, trigger: Trigger, instant: float, error: TelexError) -> None:
        logger.error("trigger %s did not publish its firing of %s: %s", trigger.name, moment(instant), error)

    def finish(self, trigger: Trigger) -> None:
        """A trigger has fired for the last time. Whoever iterates over its topic comes to the end."""
        trigger.end()
        self._ended.append(trigger)
        while len(self._ended) > REMEMBERED:
            oldest = self._ended.popleft()
            if self._triggers.get(oldest.name) is oldest:
                del self._triggers[oldest.name]
        if self.claims is None:
            for handler in trigger.handlers:
                self._runner.retire(handler, at_once=False)
        elif self._open and trigger.handlers:
            self.retiring.settle(trigger.handlers)
        if self._shares_topic(trigger):
            return  # another one publishes there still
        if self.claims is None:
            if not trigger.unheard:
                self.runtime.topics.let_go(trigger.topic)
        elif self._open:
            self.do(partial(self._close_topic, trigger.topic, self.claims))

    def _shares_topic(self, trigger: Trigger) -> bool:
        others = self._by_topic.get(trigger.topic, 0)
        return others > (0 if trigger.ended else 1)

    def _finished(self, trigger: Trigger) -> bool:
        return self._triggers.get(trigger.name) in (trigger, None) and not self._shares_topic(trigger)

    async def _close_topic(self, topic: str, claims: FiringCoordinator) -> None:
        """What is kept stays for those who come later: here, those who read now end after it."""
        read = self.runtime.topic(topic)  # in hand, so that the hub has the same one while this waits there
        log = publisher_of(read).log
        end = await claims.end(topic)
        while log.end < end:
            await park(log)
        self.runtime.topics.let_go(topic)

    async def fire_by_hand(self, trigger: Trigger) -> None:
        """Publish a firing that is meant for now."""
        if self.claims is not None:
            trigger.fired = await self.claims.fire(trigger, self.clock())
            return
        trigger.fired += 1
        firing, id = by_hand(trigger.name, self.clock(), trigger.fired)
        await self.runtime.topic(trigger.topic).publish(firing, id=id)

    # -- looking

    def statistics(self) -> tuple[TriggerStatistics, ...]:
        """All triggers, in the order of declaration."""
        return tuple(trigger.statistics() for trigger in self._triggers.values())

    def find(self, name: str) -> Trigger | None:
        """The trigger of a name."""
        return self._triggers.get(name)
