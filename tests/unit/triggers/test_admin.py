"""The triggers that a file keeps: listed, paused, resumed and fired, whoever declares them."""

import asyncio
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

import telex
from telex.hub import scheduler_of
from telex.triggers.admin import fire_trigger, pause_trigger, resume_trigger, stored_triggers
from telex.triggers.records import BUCKET
from telex.triggers.trigger import state_of
from tests.support.internals import caught_up, records_of, set_bounds, state_in
from tests.support.loops import until
from tests.unit.triggers.parts import kept

pytestmark = pytest.mark.slow
HOUR = 3600.0


@pytest.fixture
def declared(url: str) -> telex.Hub:
    """A hub with triggers of each kind; not in an event loop, since the file of a time zone is read."""
    hub = telex.Hub(url)
    hub.every("50ms", topic="ticks")
    hub.after("10ms", topic="soon", name="reminder")
    hub.cron("0 9 * * *", tz="Europe/Paris", run_in="loop")(print)
    return hub


async def test_stored_triggers_are_listed_when_no_program_runs(url: str, declared: telex.Hub) -> None:
    async with declared as hub:
        await until(lambda: all(t.fired for t in hub.triggers()[:2]) and hub.triggers()[2].next)
        await until(lambda: state_in(hub, "print").queue_entry)
        now = {t.trigger: t for t in hub.triggers()}
    async with telex.Hub(url) as other:
        cron, soon, ticks = await stored_triggers(scheduler_of(other))
        assert other.triggers() == ()
    assert [t.trigger for t in (cron, soon, ticks)] == ["print", "reminder", "ticks"]
    assert (cron.schedule, cron.topic) == ("cron '0 9 * * *' in Europe/Paris", "$trigger:print")
    assert (cron.next, cron.last, cron.fired, cron.ended) == (now["print"].next, None, 0, False)
    assert (soon.schedule, soon.topic, soon.fired, soon.ended) == ("0.01 s after it began", "soon", 1, True)
    assert (soon.next, soon.last, soon.late) == (None, now["reminder"].last, now["reminder"].late)
    assert (ticks.schedule, ticks.ended, ticks.paused) == ("every 0.05 s", False, False)
    assert ticks.fired >= now["ticks"].fired
    assert ticks.next is not None
    assert ticks.last is not None
    assert abs(ticks.next - ticks.last - timedelta(milliseconds=50)) < timedelta(milliseconds=1)


async def test_in_memory_none_is_kept() -> None:
    hub = telex.Hub("memory://")
    hub.every(1, topic="ticks")
    async with hub:
        assert await stored_triggers(scheduler_of(hub)) == []
        assert not await pause_trigger(scheduler_of(hub), "ticks")
        assert not await resume_trigger(scheduler_of(hub), "ticks")
        assert await fire_trigger(scheduler_of(hub), "ticks") is None


async def test_a_pause_is_for_all_processes(url: str) -> None:
    def program() -> telex.Hub:
        hub = telex.Hub(url)
        set_bounds(hub, pause_check_seconds=0.01)
        hub.every("20ms", topic="ticks", misfire="all")
        return hub

    async with program() as one, program() as other, telex.Hub(url) as third:
        await until(lambda: one.triggers()[0].fired >= 3)
        assert await pause_trigger(scheduler_of(third), "ticks")
        (paused,) = await stored_triggers(scheduler_of(third))
        assert paused.paused
        await until(lambda: one.triggers()[0].paused and other.triggers()[0].paused)
        (still,) = await stored_triggers(scheduler_of(third))
        assert still == paused, "nothing was claimed since"
        assert await pause_trigger(scheduler_of(third), "ticks"), "twice is fine"
        assert await resume_trigger(scheduler_of(third), "ticks")
        await until(lambda: one.triggers()[0].fired >= paused.fired + 3)
        assert not one.triggers()[0].paused
        assert await pause_trigger(scheduler_of(third), "ticks")  # so that nothing is fired while it is counted
        fired = await kept(third, "ticks")
        record = await records_of(third).get(BUCKET, "ticks")
        assert record is not None
        assert record.revision <= 1 + len(fired) + 3, "at most one write a firing, whoever looks; and three by hand"
    assert [firing.number for firing in fired] == list(range(1, len(fired) + 1))
    step, rounding = timedelta(milliseconds=20), timedelta(microseconds=2)
    assert all(abs(late.scheduled - early.scheduled - step) <= rounding for early, late in pairwise(fired))


async def test_by_hand_takes_the_next_number(url: str) -> None:
    hub = telex.Hub(url)
    ticks = hub.every("20ms", topic="ticks")
    async with hub, telex.Hub(url) as other:
        await until(lambda: ticks.fired >= 2)
        numbers = await asyncio.gather(*[fire_trigger(scheduler_of(other), "ticks") for _ in range(5)])
        await asyncio.gather(*[ticks.fire() for _ in range(5)])
        await until(lambda: ticks.fired > 14)
        messages = [message async for message in hub.topic("ticks").history()]
    fired = [msgspec.convert(message.content, telex.Firing) for message in messages]
    assert [firing.number for firing in fired] == list(range(1, len(fired) + 1))
    assert len({message.id for message in messages}) == len(messages)
    assert sum("#" in message.id for message in messages) == 10
    assert None not in numbers


async def test_by_hand_while_it_is_paused(url: str) -> None:
    hub = telex.Hub(url)
    ticks = hub.every("1h", topic="ticks", misfire="all")
    async with hub:
        await until(lambda: state_of(ticks).queue_entry)  # its record is there
        assert await pause_trigger(scheduler_of(hub), "ticks")
        assert await fire_trigger(scheduler_of(hub), "ticks") == 1
        (kept,) = await stored_triggers(scheduler_of(hub))
        assert (kept.paused, kept.fired, kept.last) == (True, 1, None), "the schedule is where it was"


async def test_by_hand_a_stored_trigger_publishes_to_its_topic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/triggers.db?synchronous=normal"
    hub = telex.Hub(url)
    hub.every("1h", topic="ticks", name="clock")
    async with hub:
        await caught_up(hub)
    async with telex.Hub(url) as other:
        assert await fire_trigger(scheduler_of(other), "clock") == 1
        assert [(firing.trigger, firing.number) for firing in await kept(other, "ticks")] == [("clock", 1)]
        assert await fire_trigger(scheduler_of(other), "ticks") is None
