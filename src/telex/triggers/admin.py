"""The triggers that the engine stores, for ``telex triggers``: also those that no running program declares.

Changes apply in all processes. Another process sees a pause when it claims its next firing, and a resumption within a
second. The process that makes the change sees it at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from telex.triggers.conditions.firing import moment
from telex.triggers.records import BUCKET, TriggerRecord, TriggerRecords
from telex.triggers.trigger import TriggerStatistics

if TYPE_CHECKING:
    from telex.engines.contract import Records
    from telex.triggers.scheduler import Scheduler


class _Named(msgspec.Struct, frozen=True):
    name: str
    topic: str


async def stored_triggers(scheduler: Scheduler) -> list[TriggerStatistics]:
    """Return all triggers that the engine stores, by name; in memory none. ``next`` of a firing that was due while no
    process ran is in the past until a program that declares the trigger runs. Raises `Misuse` on an engine without
    records, `EngineFailed`, `Closed`.
    """
    records = _records(scheduler)
    names = await records.keys(BUCKET)
    found = await asyncio.gather(*[records.get(BUCKET, name) for name in names])
    return [
        _statistics(name, msgspec.json.decode(record.value, type=TriggerRecord))
        for name, record in zip(names, found, strict=True)
        if record is not None
    ]


async def pause_trigger(scheduler: Scheduler, name: str) -> bool:
    """Pause a trigger in all processes until `resume_trigger`. Its ``misfire`` decides about the missed instants.
    Return false when no trigger has this name. Raises as `stored_triggers`.
    """
    return await _set_paused(scheduler, name, paused=True)


async def resume_trigger(scheduler: Scheduler, name: str) -> bool:
    """Resume a trigger that `pause_trigger` has paused. Return false when no trigger has this name. Raises as
    `stored_triggers`.
    """
    return await _set_paused(scheduler, name, paused=False)


async def fire_trigger(scheduler: Scheduler, name: str) -> int | None:
    """Publish a firing by hand, in addition to the schedule and also during a pause. Return the number of the firing,
    or None when no trigger has this name. Raises as `stored_triggers`.
    """
    record = await _records(scheduler).get(BUCKET, name)
    if record is None:
        return None
    topic = msgspec.json.decode(record.value, type=TriggerRecord).topic
    return await TriggerRecords(scheduler.runtime).fire(_Named(name, topic), scheduler.timers.clock())


async def _set_paused(scheduler: Scheduler, name: str, *, paused: bool) -> bool:
    records = _records(scheduler)
    while (record := await records.get(BUCKET, name)) is not None:
        kept = msgspec.json.decode(record.value, type=TriggerRecord)
        value = msgspec.json.encode(msgspec.structs.replace(kept, paused=paused))
        if kept.paused is paused or await records.put(BUCKET, name, value, record.revision) is not None:
            scheduler.paused_elsewhere(name, paused=paused)
            return True
    return False


def _records(scheduler: Scheduler) -> Records:
    return scheduler.runtime.records("triggers")


def _statistics(name: str, kept: TriggerRecord) -> TriggerStatistics:
    return TriggerStatistics(
        name,
        kept.schedule,
        kept.topic,
        None if kept.next is None else moment(kept.next),
        None if kept.last is None else moment(kept.last),
        kept.fired,
        kept.late,
        kept.paused,
        kept.ended,
    )
