"""`TimeClaimant`: decides from the stored record which instants of a schedule this process claims."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from telex.triggers.records import FiringClaim, TriggerRecord
from telex.triggers.scheduled import ScheduledTrigger

if TYPE_CHECKING:
    from telex.triggers.time_trigger import TimeTrigger

logger: logging.Logger = logging.getLogger("telex.triggers")


class TimeClaimant:
    """The `BatchClaimant` of a `TimeTrigger`. ``finish`` ends a trigger that has fired for the last time."""

    def __init__(self, trigger: TimeTrigger, finish: Callable[[ScheduledTrigger], None]) -> None:
        self.name: str = trigger.name
        self.topic: str = trigger.topic
        self.asked: float = trigger.start
        """The time when it was due. The later wait in the queue does not make an instant missed."""
        self._closed = False
        self._trigger = trigger
        self._finish = finish
        self._declared = trigger.start
        self._joined = False  # True when the stored record is of this schedule
        self._warned = False

    @property
    def start(self) -> float:
        """The instant at which the schedule began."""
        return self._trigger.start

    def decide(self, record: TriggerRecord) -> FiringClaim | None:
        """Return the record to write and the firings to publish for the instants that are due, continuing from the
        stored ``record``. Return None when there is nothing to write, as when the trigger is closed or paused.
        """
        trigger, now = self._trigger, self.asked
        if self._closed or trigger.paused:
            return None
        known = self._joined_to(record)
        trigger.take(known)
        if trigger.paused_elsewhere:
            self._check_pause_later(now)
            return None
        if trigger.schedule.is_single and known.ended and known.last is not None:
            warn_ended(trigger, record)
            trigger.next = None
            return FiringClaim(record, [])
        instants, trigger.next = trigger.instants(record.last, now)
        claimed = known if known.plan == repr(trigger.schedule) else record
        claimed = replace(
            claimed,
            schedule=trigger.describe(),
            topic=trigger.topic,
            next=trigger.next,
            ended=trigger.next is None,
        )
        if instants:
            last = instants[-1]
            claimed = replace(claimed, last=last, fired=record.fired + len(instants), late=now - last)
        return FiringClaim(claimed, [(instant, number) for number, instant in enumerate(instants, record.fired + 1)])

    def settle(self, record: TriggerRecord) -> None:
        """Continue from ``record``, which is stored now."""
        self._joined = True
        self._trigger.take(self._joined_to(record))
        self._go_on()

    def pass_over(self) -> None:
        """Skip the claimed firings, which can never be published."""
        self._trigger.failed += 1
        self._go_on()

    def close(self) -> None:
        """Stop claiming: the trigger has ended."""
        self._closed = True

    def _go_on(self) -> None:
        trigger = self._trigger
        if self._closed:
            return
        if trigger.next is None:
            self._finish(trigger)
        else:
            trigger.arm()

    def _joined_to(self, record: TriggerRecord) -> TriggerRecord:
        """Return the record for this schedule. When the stored record is of another schedule of the same name, this
        schedule begins at its declaration: the other schedule applied until then.
        """
        plan = repr(self._trigger.schedule)
        if record.plan == plan or (not record.plan and record.schedule in ("", self._trigger.describe())):
            return replace(record, plan=plan)
        if self._joined:  # another process has declared another schedule since
            self._warn_shared(record)
            return replace(record, start=self.start)
        return replace(record, plan=plan, start=self._declared)

    def _warn_shared(self, record: TriggerRecord) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "trigger %s: another process has a trigger of this name with another schedule (%s; here %s), and both "
                "share their firings; unless that program replaces this one, give one of them another name=",
                *(self.name, record.plan, self._trigger.describe()),
            )

    def _check_pause_later(self, now: float) -> None:
        trigger = self._trigger
        again = now + trigger.timers.runtime.bounds.pause_check_seconds
        trigger.next = trigger.schedule.after(now, trigger.start)
        trigger.timers.arm(trigger, again if trigger.next is None else min(again, trigger.next))


def warn_ended(trigger: ScheduledTrigger, record: TriggerRecord) -> None:
    """Log a warning for a trigger that never fires: the schedule declared before under its name has fired for the last
    time.
    """
    if record.schedule != trigger.describe():
        logger.warning(
            "trigger %s never fires: its name belongs to a schedule that has fired for the last time (%s); "
            "for the schedule %s give it another name",
            *(trigger.name, record.schedule, trigger.describe()),
        )
