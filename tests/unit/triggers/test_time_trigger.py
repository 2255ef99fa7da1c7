"""Triggers of time: instants, misfires and jitter, on a virtual clock."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import cycle
from zoneinfo import ZoneInfo

import pytest

import telex
from telex.hub import scheduler_of
from telex.testing.clock import BEGIN, VirtualClock
from telex.triggers.conditions.schedule import Cron
from tests.unit.triggers.parts import after


def test_every_fires_at_start_and_n_periods(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    fired: list[tuple[telex.Firing, datetime]] = []

    @hub.every("10s")
    async def look(firing: telex.Firing) -> None:
        fired.append((firing, clock.now))
        await asyncio.sleep(3)  # what a firing leads to takes time, and puts off nothing

    async def main() -> None:
        async with hub:
            await asyncio.sleep(3605)
            (found,) = hub.triggers()
            assert (found.trigger, found.fired, found.late) == ("look", 360, 0.0)
            assert (found.last, found.next) == (after(3600), after(3610))

    clock.run(main())
    assert [firing.scheduled for firing, _ in fired] == [after(10 * n) for n in range(1, 361)]
    assert [firing.number for firing, _ in fired] == list(range(1, 361))
    assert all(at - firing.scheduled < timedelta(milliseconds=1) for firing, at in fired)


def test_a_week_takes_no_time(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.cron("0 9 * * mon-fri", tz="Europe/Paris", topic="mornings")

    async def main() -> list[datetime]:
        async with hub, hub.topic("mornings").subscribe() as mornings:
            await asyncio.sleep(7 * 86400)
            return [message.content.scheduled for message in await mornings.receive_many()]

    paris = ZoneInfo("Europe/Paris")
    days = (1, 2, 5, 6, 7)
    assert clock.run(main()) == [datetime(2026, 1, day, 9, tzinfo=paris).astimezone(UTC) for day in days]


@pytest.mark.parametrize(
    ("misfire", "fired"),
    [("skip", [10, 70, 80]), ("once", [10, 60, 70, 80]), ("all", [10, 20, 30, 40, 50, 60, 70, 80])],
)
def test_missed_instants_fire_as_declared(clock: VirtualClock, misfire: telex.Misfire, fired: list[int]) -> None:
    hub = telex.Hub(clock=clock)
    hub.every(10, topic="ticks", misfire=misfire)

    async def main() -> list[datetime]:
        async with hub, hub.topic("ticks").subscribe() as ticks:
            await asyncio.sleep(15)
            clock.advance(50)  # the machine sleeps
            await asyncio.sleep(20)
            return [message.content.scheduled for message in await ticks.receive_many()]

    assert clock.run(main()) == [after(seconds) for seconds in fired]


def test_jitter_puts_off_and_does_not_add_up(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.every(10, topic="ticks", jitter=4)
    scheduler_of(hub).timers.chance = iter([0.5, 0.0, 1.0, 0.25]).__next__

    async def main() -> list[tuple[float, float]]:
        async with hub, hub.topic("ticks").subscribe() as ticks:
            heard = []
            for _ in range(3):
                message = await ticks.receive()
                heard.append(((message.content.scheduled - BEGIN).total_seconds(), (clock.now - BEGIN).total_seconds()))
            return heard

    heard = clock.run(main())
    assert [scheduled for scheduled, _ in heard] == [10, 20, 30]
    assert [at for _, at in heard] == pytest.approx([12, 20, 34])


@pytest.mark.parametrize(
    ("expression", "jitter"),
    [("0,1 9 * * *", "10m"), ("0,20,21,59 9-10 * * *", "1d"), ("*/20 * 9 * * *", "1h"), ("0 */7 * * *", "25h")],
)
def test_jitter_leaves_out_no_firing(clock: VirtualClock, expression: str, jitter: str) -> None:
    """Whatever the time until the next one is, each is put off by less."""
    hub = telex.Hub(clock=clock)
    hub.cron(expression, topic="t", jitter=jitter)
    chances = cycle([0.0, 0.999, 0.5, 0.999, 0.999])
    scheduler_of(hub).timers.chance = chances.__next__
    cron = Cron.checked(expression, "UTC")

    async def main() -> tuple[telex.Message[telex.Firing], ...]:
        async with hub, hub.topic("t").subscribe(buffer=10_000) as firings:
            await asyncio.sleep(2 * 86400)
            return await firings.receive_many(10_000)

    found, instants, at = clock.run(main()), [], BEGIN.timestamp()
    while (following := cron.after(at, BEGIN.timestamp())) is not None and following < at_end(found):
        instants.append(following)
        at = following
    assert [message.content.scheduled.timestamp() for message in found] == instants
    assert len({message.timestamp - message.content.scheduled for message in found}) > 1


def at_end(found: tuple[telex.Message[telex.Firing], ...]) -> float:
    """Just after the last firing that was heard of."""
    return found[-1].content.scheduled.timestamp() + 1
