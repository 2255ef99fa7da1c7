"""`LocalFirings`: firings of triggers that run in this process alone, on the memory engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from telex.errors import TelexError, WouldBlock
from telex.message import id_text
from telex.topics.publisher import FAIR
from telex.topics.topic import publisher_of
from telex.triggers.conditions.evaluator import Fired
from telex.triggers.conditions.firing import Firing, by_hand, moment
from telex.triggers.conditions.schedule import GRACE
from telex.triggers.scheduled import ScheduledTrigger, TopicUse
from telex.triggers.values import LocalValue

if TYPE_CHECKING:
    from telex.handlers.runner import HandlerRunner
    from telex.runtime import Runtime
    from telex.triggers.time_trigger import TimeTrigger
    from telex.triggers.timers import Timers
    from telex.triggers.when_trigger import WhenTrigger

T = TypeVar("T")
logger: logging.Logger = logging.getLogger("telex.triggers")
CATCH_UP_SECONDS = 0.001
"""The pause between two batches of missed firings of one trigger."""
FUNCTION_BUFFER = 100_000
"""The buffer of a function of a trigger: the number of firings that may wait for it."""


class LocalFirings:
    """The `Firings` of a hub on the memory engine. ``finish`` ends a trigger that has fired for the last time."""

    needs: tuple[str, ...] = ()

    def __init__(
        self,
        runtime: Runtime,
        timers: Timers,
        runner: HandlerRunner,
        topics: TopicUse,
        finish: Callable[[ScheduledTrigger], None],
    ) -> None:
        self._runtime = runtime
        self._timers = timers
        self._runner = runner
        self._topics = topics
        self._finish = finish

    def start(self) -> None:
        """Do nothing: triggers begin one by one."""

    async def stop(self) -> None:
        """Do nothing: the timers have stopped."""

    async def close(self) -> None:
        """Do nothing: there are no groups."""

    def variable(self, name: str, initial: T, type: type[T] | None) -> LocalValue[T]:
        return LocalValue(self._runtime, name, initial, type)

    def handler_options(self, trigger: ScheduledTrigger, function: Callable[..., object]) -> Mapping[str, Any]:
        return {"buffer": FUNCTION_BUFFER}

    def changed(self, trigger: ScheduledTrigger) -> None:
        """Do nothing: there are no records."""

    # -- schedules

    def begin_schedule(self, trigger: TimeTrigger) -> None:
        trigger.next = trigger.schedule.after(trigger.start, trigger.start)
        if trigger.next is None:  # not yet: the next line of the program may subscribe
            asyncio.get_running_loop().call_soon(self._finish, trigger)
        else:
            trigger.arm()

    def fire_due(self, trigger: TimeTrigger, now: float) -> None:
        at = trigger.next
        following = None if at is None else trigger.schedule.after(at, trigger.start)
        if (
            at is not None
            and at <= now
            and (following is None or following > now)
            and (now <= at + GRACE or trigger.misfire != "skip")
        ):
            trigger.next = following  # the result of `instants` when one instant is due and fires
            self._fire(trigger, at, now, last=following is None)
        else:
            instants, trigger.next = trigger.instants(trigger.last, now, FAIR)
            for instant in instants:
                self._fire(trigger, instant, now)
        if trigger.next is None:
            self._finish(trigger)
        elif trigger.next <= now:
            self._timers.arm(trigger, now + CATCH_UP_SECONDS)  # other triggers and the handlers get their turn
        elif trigger.jitter:
            trigger.arm()
        else:
            self._timers.arm(trigger, trigger.next)

    # -- conditions

    def begin_condition(self, trigger: WhenTrigger) -> None:
        trigger.source.begin(trigger, trigger.start)
        trigger.watch()
        # Not yet: the next line of the program may subscribe, or decorate a function.
        asyncio.get_running_loop().call_soon(trigger.look)

    def became_true(self, trigger: WhenTrigger, fired: Sequence[Fired]) -> None:
        now = self._timers.clock()
        for instant, key, _, value in fired if trigger.rising else fired[:1]:
            self._fire(trigger, instant, now, key, value, last=not trigger.rising)
        if not trigger.rising:
            self._finish(trigger)

    def became_false(self, trigger: WhenTrigger) -> None:
        """Do nothing: the condition itself has the state."""

    # -- publishing

    async def fire(self, trigger: ScheduledTrigger) -> None:
        trigger.fired += 1
        firing, id = by_hand(trigger.name, self._timers.clock(), trigger.fired)
        await self._runtime.topic(trigger.topic).publish(firing, id=id)

    def _fire(
        self,
        trigger: ScheduledTrigger,
        instant: float,
        now: float,
        key: str | None = None,
        value: object = None,
        *,
        last: bool = False,
    ) -> None:
        """Publish the firing of ``instant`` without waiting. ``last``: the trigger fires no more."""
        again = trigger.last == instant and key is None
        trigger.last, trigger.late = instant, now - instant
        trigger.fired += 1
        firing = Firing(trigger.name, moment(instant), trigger.fired, key, value)
        # The id is made when it is read: making it costs more than publishing, and most ids are never read.
        id: str | Firing = firing
        if again:
            id = f"{id_text(firing)}#{trigger.fired}"  # otherwise it would be a duplicate of the firing before
        try:
            publisher = trigger.publisher
            if publisher is None or publisher.reason:
                topics = self._runtime.topics
                alone = last and self._topics.is_free_of_others(trigger)
                if alone and topics.publish_once(trigger.topic, firing, id):
                    return
                publisher = trigger.publisher = publisher_of(self._runtime.topic(trigger.topic))
            publisher.publish_new(firing, id)
        except WouldBlock as error:
            if trigger.waiting >= self._runtime.bounds.waiting_firings:
                _log_unpublished(trigger, instant, error)
                return
            trigger.waiting += 1
            self._timers.run(partial(self._fire_slowly, trigger, firing, id_text(id)))
        except TelexError as error:
            _log_unpublished(trigger, instant, error)

    async def _fire_slowly(self, trigger: ScheduledTrigger, firing: Firing, id: str) -> None:
        """Publish a firing when a subscriber with ``overflow="block"`` has room."""
        try:
            await self._runtime.topic(trigger.topic).publish(firing, id=id)
        except TelexError as error:
            _log_unpublished(trigger, firing.scheduled.timestamp(), error)
        finally:
            trigger.waiting -= 1
            if trigger.ended and not trigger.waiting and self._topics.is_free_of_others(trigger):
                self._runtime.topics.let_go(trigger.topic)

    # -- the end

    def finished(self, trigger: ScheduledTrigger, *, topic_is_free: bool) -> None:
        for handler in trigger.handlers:
            self._runner.retire(handler, at_once=False)
        if topic_is_free and not trigger.waiting:
            self._runtime.topics.let_go(trigger.topic)

    def cancelled(self, trigger: ScheduledTrigger, *, topic_is_free: bool) -> None:
        for handler in trigger.handlers:
            self._runner.retire(handler, at_once=True)
        if topic_is_free and self._timers.running:
            self._runtime.topics.let_go(trigger.topic)


def _log_unpublished(trigger: ScheduledTrigger, instant: float, error: TelexError) -> None:
    logger.error("trigger %s did not publish its firing of %s: %s", trigger.name, moment(instant), error)
