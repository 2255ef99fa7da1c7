"""The triggers that a file keeps: listed, paused, resumed and fired, whoever declares them."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

import telex
from telex.hub import scheduler_of
from telex.triggers.admin import fire_trigger, pause_trigger, resume_trigger, stored_triggers
from telex.triggers.records import BUCKET, FiringClaim
from telex.triggers.trigger import state_of
from tests.support.internals import firings_of, records_of, set_bounds, state_in
from tests.support.loops import until

pytestmark = pytest.mark.slow
HOUR = 3600.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/triggers.db"


@pytest.fixture
def ahead() -> list[float]:
    """The seconds by which the clock of a hub is put forward."""
    return [0.0]


async def fired_in(hub: telex.Hub, topic: str) -> list[telex.Firing]:
    return [msgspec.convert(message.content, telex.Firing) async for message in hub.topic(topic).history()]


@pytest.fixture
def declared(url: str) -> telex.Hub:
    """A hub with triggers of each kind; not in an event loop, since the file of a time zone is read."""
    hub = telex.Hub(url)
    hub.every("50ms", topic="ticks")
    hub.after("10ms", topic="soon", name="reminder")
    hub.cron("0 9 * * *", tz="Europe/Paris")(print)
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
        fired = await fired_in(third, "ticks")
        record = await records_of(third).get(BUCKET, "ticks")
        assert record is not None
        assert record.revision <= 1 + len(fired) + 3, "at most one write a firing, whoever looks; and three by hand"
    assert [firing.number for firing in fired] == list(range(1, len(fired) + 1))
    step, rounding = timedelta(milliseconds=20), timedelta(microseconds=2)
    assert all(abs(late.scheduled - early.scheduled - step) <= rounding for early, late in pairwise(fired))


@pytest.mark.parametrize(("misfire", "hours"), [("skip", []), ("once", [3]), ("all", [1, 2, 3])])
async def test_firings_missed_in_a_pause(
    url: str, ahead: list[float], misfire: telex.Misfire, hours: list[int]
) -> None:
    hub = telex.Hub(url, clock=lambda: time.time() + ahead[0])
    set_bounds(hub, pause_check_seconds=0.01)
    looked = hub.every("1h", topic="ticks", misfire=misfire)
    async with hub:
        await until(lambda: state_of(looked).queue_entry)  # its record is there
        assert await pause_trigger(scheduler_of(hub), "ticks")
        ahead[0] += 3.5 * HOUR
        scheduler_of(hub).timers.arm(state_of(looked), 0.0)
        await until(lambda: hub.triggers()[0].paused)
        assert await fired_in(hub, "ticks") == []
        assert await resume_trigger(scheduler_of(hub), "ticks")
        await until(lambda: not hub.triggers()[0].paused and looked.fired == len(hours))
        fired = await fired_in(hub, "ticks")
        begun = looked.start
        assert looked.next == pytest.approx(begun + 4 * HOUR)
    assert [round((firing.scheduled.timestamp() - begun) / HOUR, 3) for firing in fired] == hours


@pytest.mark.parametrize(("given", "fired"), [({"misfire": "skip"}, 0), ({"misfire": "once"}, 1), ({}, 1)])
async def test_one_that_fires_once_is_paused_over_its_time(
    url: str, ahead: list[float], given: dict[str, telex.Misfire], fired: int
) -> None:
    hub = telex.Hub(url, clock=lambda: time.time() + ahead[0])
    set_bounds(hub, pause_check_seconds=0.01)
    once = hub.at(datetime.now(UTC) + timedelta(hours=1), topic="then", **given)
    async with hub:
        await until(lambda: state_of(once).queue_entry)  # its record is there
        assert await pause_trigger(scheduler_of(hub), "then")
        ahead[0] += 2 * HOUR
        scheduler_of(hub).timers.arm(state_of(once), 0.0)
        await until(lambda: hub.triggers()[0].paused)
        assert not once.ended
        assert await resume_trigger(scheduler_of(hub), "then")
        await until(lambda: once.ended)
    async with telex.Hub(url) as other:  # in the one above the topic is closed
        assert len(await fired_in(other, "then")) == fired
        (kept,) = await stored_triggers(scheduler_of(other))
        assert (kept.ended, kept.next, kept.fired) == (True, None, fired)


async def test_a_pause_between_a_look_and_the_claim_wins(url: str) -> None:
    hub = telex.Hub(url)
    ticks = hub.every("1h", topic="ticks")
    async with hub:
        await until(lambda: state_of(ticks).queue_entry)  # its record is there
        shared = firings_of(hub).records
        kept, revision = await shared.read("ticks", 0.0)
        assert await pause_trigger(scheduler_of(hub), "ticks")
        told = msgspec.structs.replace(kept, last=1.0, fired=1)
        assert not await shared.commit(ticks, FiringClaim(told, [(1.0, 1)]), revision)
        assert await fired_in(hub, "ticks") == []


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


async def test_paused_here_before_it_began(url: str) -> None:
    hub = telex.Hub(url)
    ticks = hub.every("10ms", topic="ticks")
    ticks.pause()
    hub.every("10ms", topic="others")
    async with hub:
        await until(lambda: hub.trigger("others").fired >= 3)
        assert ticks.fired == 0
        ticks.resume()
        await until(lambda: ticks.fired)


async def test_one_that_cannot_be_read_holds_up_nobody(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with telex.Hub(url) as hub:
        set_bounds(hub, engine_retry_seconds=0.01)
        revision = await records_of(hub).put(BUCKET, "bad", b"[]", 0)
        assert revision is not None
        hub.every("10ms", topic="bad")
        hub.every("10ms", topic="good")
        await until(lambda: hub.trigger("good").fired >= 3)
        assert "trigger bad cannot be claimed" in caplog.text
        await records_of(hub).delete(BUCKET, "bad", revision)
        await until(lambda: hub.trigger("bad").fired)
