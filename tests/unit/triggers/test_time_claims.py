"""Schedules on a file that programs share: each instant fires once, whoever declares the schedule, and when."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

import telex
from telex.hub import scheduler_of
from telex.triggers.admin import pause_trigger, resume_trigger, stored_triggers
from telex.triggers.conditions.schedule import Cron
from telex.triggers.trigger import state_of
from tests.support.internals import caught_up, set_bounds, state_in
from tests.support.loops import until
from tests.unit.triggers.parts import firing_in, kept

BEGIN = datetime(2026, 6, 1, 3, 0, 10, tzinfo=UTC)
HOUR = 3600.0
Declare = Callable[[telex.Hub], object]


async def run(url: str, hours: float, *declared: Declare) -> list[str]:
    """What a program that runs at ``hours`` after `BEGIN` has published to the topic "t", it and those before it."""
    now = BEGIN.timestamp() + hours * HOUR
    hub = telex.Hub(url, clock=lambda: now)
    for declare in declared:
        declare(hub)
    async with hub:
        await caught_up(hub)
        fired = [msgspec.convert(message.content, telex.Firing) async for message in hub.topic("t").history()]
    return [firing.scheduled.strftime("%d %H:%M:%S") for firing in fired]


def at(hours: float) -> datetime:
    return BEGIN + timedelta(hours=hours)


def cron(expression: str, misfire: telex.Misfire = "once") -> Declare:
    Cron.checked(expression, "UTC")  # reads the time zone from the disk, before there is an event loop
    return lambda hub: hub.cron(expression, topic="t", misfire=misfire)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "then", "fired"),
    [
        (cron("0 3 * * *"), cron("0 9 * * *"), []),
        (cron("0 3 * * *"), cron("0 */6 * * *", "all"), ["01 18:00:00", "02 00:00:00"]),
        (cron("0 3 * * *"), cron("0 3 * * *"), ["02 03:00:00"]),
        (
            lambda hub: hub.every("1d", topic="t"),
            lambda hub: hub.every("11h", topic="t", misfire="once"),
            ["01 23:00:10"],
        ),
        (lambda hub: hub.at(at(40), topic="t"), lambda hub: hub.at(at(5), topic="t"), []),
        (lambda hub: hub.at(at(-1), topic="t"), lambda hub: hub.at(at(20), topic="t"), ["01 23:00:10"]),
        (lambda hub: hub.after("40h", topic="t"), lambda hub: hub.after("13h", topic="t"), ["02 01:00:10"]),
        (
            lambda hub: hub.after("40h", topic="t"),
            lambda hub: hub.every("12h", topic="t", misfire="once"),
            ["02 00:00:10"],
        ),
    ],
)
async def test_a_schedule_counts_from_when_it_was_declared_first(
    tmp_path: Path, before: Declare, then: Declare, fired: list[str]
) -> None:
    url = f"sqlite:///{tmp_path}/triggers.db"
    assert await run(url, 0, before) == []
    assert await run(url, 9, then) == [], "for an instant of which the other schedule knew nothing"
    assert await run(url, 24, then) == fired


@pytest.mark.slow
@pytest.mark.parametrize(
    "again",
    [
        lambda hub: hub.after("9h", topic="t"),
        lambda hub: hub.at(at(10), topic="t"),
        lambda hub: hub.when(hub.variable("heat", 20) >= 20, topic="t"),
    ],
)
async def test_a_name_that_has_fired_for_the_last_time_stays_so(
    tmp_path: Path, again: Declare, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/triggers.db"
    first: Declare = lambda hub: hub.after("1h", topic="t")  # noqa: E731
    assert await run(url, 0, first) == []
    assert await run(url, 2, first) == await run(url, 3, first) == ["01 04:00:10"]
    assert "never fires" not in caplog.text
    assert await run(url, 5, again) == ["01 04:00:10"]
    assert await run(url, 24, again) == ["01 04:00:10"]
    assert "trigger t never fires" in caplog.text
    assert await run(url, 24, lambda hub: hub.every("1h", topic="t")) == ["01 04:00:10"]
    assert len(await run(url, 25, lambda hub: hub.every("1h", topic="t"))) == 2, "one that repeats begins anew"


@pytest.mark.slow
async def test_a_condition_that_was_changed_fires_for_nothing_before(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/triggers.db"

    def above(bound: int) -> Declare:
        return lambda hub: hub.when(hub.variable("heat", 20) > bound, topic="t", rising=True)

    async with telex.Hub(url) as hub:
        above(40)(hub)
        for value in (30, 20):
            await hub.variable("heat", 20).set(value)
    soon = (datetime.now(UTC) - BEGIN).total_seconds() / HOUR + 1
    assert await run(url, soon, above(25)) == []


@pytest.mark.slow
async def test_two_programs_with_two_schedules_under_one_name_both_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As while one after the other is replaced by a newer version."""
    url, ahead = f"sqlite:///{tmp_path}/triggers.db", [0.0]

    def program(period: str) -> telex.Hub:
        hub = telex.Hub(url, clock=lambda: BEGIN.timestamp() + ahead[0])
        hub.every(period, topic="t", misfire="all")
        return hub

    async with program("2h") as old, program("3h") as new:
        for hours in range(1, 7):
            ahead[0] = hours * HOUR
            for hub in (old, new):
                state_in(hub, "t").due(ahead[0] + BEGIN.timestamp())
                await caught_up(hub)
        fired = [message.id async for message in new.topic("t").history()]
    assert [id.partition("T")[2][:5] for id in fired] == ["05:00", "06:00", "07:00", "09:00"]
    assert caplog.text.count("another process has a trigger of this name with another schedule") == 1


@pytest.mark.slow
async def test_on_a_file_each_instant_is_fired_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/triggers.db"
    handled: list[int] = []
    enough = asyncio.Event()

    def program() -> telex.Hub:
        hub = telex.Hub(url)

        @hub.every("50ms", misfire="all")
        async def look(firing: telex.Firing) -> None:
            handled.append(firing.number)
            if len(handled) >= 10:
                enough.set()

        return hub

    async with program(), program(), program():
        await enough.wait()
    assert len(handled) == len(set(handled)), "three programs, and each firing is one's"
    before = max(handled)
    enough.clear()
    handled.clear()
    async with program() as hub:  # what was missed while nothing ran comes now
        await enough.wait()
        topic = hub.topic("$trigger:look")
        fired = [firing_in(message) async for message in topic.history()]
    assert [firing.number for firing in fired] == list(range(1, len(fired) + 1)), "each once, and none left out"
    assert len(fired) > before
    step, rounding = timedelta(milliseconds=50), timedelta(microseconds=2)
    assert all(abs(late.scheduled - early.scheduled - step) <= rounding for early, late in pairwise(fired))


@pytest.mark.slow
async def test_on_a_file_once_is_once_for_ever(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/triggers.db"
    for run in range(2):
        hub = telex.Hub(url)
        hub.after("50ms", topic="soon")
        async with hub, hub.topic("soon").subscribe(start="earliest") as soon:
            assert firing_in(await soon.receive(timeout=20)).number == 1
            assert hub.topic("soon").statistics().published == 1, f"run {run}"


async def test_a_trigger_that_has_not_fired_is_not_late(tmp_path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{tmp_path}/triggers.db?synchronous=normal")
    hub.after("1h", topic="soon")
    hub.when(hub.variable("count", 0) >= 10, topic="full", rising=True)
    async with hub:
        await caught_up(hub)
        assert [(found.fired, found.late, found.last) for found in hub.triggers()] == [(0, 0.0, None)] * 2
        assert [(found.fired, found.late, found.last) for found in await stored_triggers(scheduler_of(hub))] == [
            (0, 0.0, None)
        ] * 2


@pytest.mark.slow
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
        assert await kept(hub, "ticks") == []
        assert await resume_trigger(scheduler_of(hub), "ticks")
        await until(lambda: not hub.triggers()[0].paused and looked.fired == len(hours))
        fired = await kept(hub, "ticks")
        begun = looked.start
        assert looked.next == pytest.approx(begun + 4 * HOUR)
    assert [round((firing.scheduled.timestamp() - begun) / HOUR, 3) for firing in fired] == hours


@pytest.mark.slow
@pytest.mark.parametrize(("given", "fired"), [({"misfire": "skip"}, 0), ({"misfire": "once"}, 1), ({}, 1)])
async def test_one_that_fires_once_is_paused_over_its_time(
    url: str, ahead: list[float], given: dict[str, telex.Misfire], fired: int
) -> None:
    hub = telex.Hub(url, clock=lambda: time.time() + ahead[0])
    set_bounds(hub, pause_check_seconds=0.01)
    once = hub.at(datetime.now(UTC) + timedelta(hours=1), topic="then", **given)  # type: ignore[arg-type]  # only misfire
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
        assert len(await kept(other, "then")) == fired
        (stored,) = await stored_triggers(scheduler_of(other))
        assert (stored.ended, stored.next, stored.fired) == (True, None, fired)


@pytest.mark.slow
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
