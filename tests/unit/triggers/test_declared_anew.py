"""A trigger on a file that is declared again, with the same schedule or another one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

import telex
from telex.triggers.conditions.schedule import Cron
from tests.support.internals import caught_up, state_in

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
async def test_two_programs_with_two_schedules_under_one_name_both_go_on(tmp_path: Path) -> None:
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
