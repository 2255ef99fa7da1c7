"""Triggers of time: on a virtual clock in memory, and on a file that processes share."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

import telex
from telex.hub import scheduler_of
from telex.testing.clock import BEGIN, VirtualClock
from telex.triggers.conditions.schedule import Cron
from tests.support.internals import set_bounds


def firing_in(message: telex.Message[object]) -> telex.Firing:
    """What another process, or an earlier one, has published is plain data."""
    return msgspec.convert(message.content, telex.Firing)


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


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


def test_a_one_shot_trigger_closes_its_topic(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.after("5m", topic="soon")
    hub.at(after(30), topic="then")

    async def main() -> None:
        async with hub, hub.topic("soon").subscribe() as soon, hub.topic("then").subscribe() as then:
            heard = [(message.content, message.id) async for message in then]
            assert heard == [(telex.Firing("then", after(30), 1), "then@2026-01-01T00:00:30+00:00")]
            assert [message.content.scheduled async for message in soon] == [after(300)]
            assert clock.now == after(300)
            assert all(trigger.ended for trigger in hub.triggers())

    clock.run(main())


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


def test_many_that_were_missed_leave_others_their_turn(clock: VirtualClock) -> None:
    """However many they are: each is handled, and other triggers are rung meanwhile."""
    hub, handled = telex.Hub(clock=clock), []
    ticks, other = hub.every(1, name="ticks", misfire="all"), hub.every("10ms", topic="other")
    ticks(lambda firing: handled.append(firing.number))

    async def main() -> None:
        async with hub:
            ticks.pause()
            other.pause()
            await asyncio.sleep(300_000)
            ticks.resume()
            other.resume()
            at_once, before = 0, ticks.fired
            while ticks.fired < 3000:
                await asyncio.sleep(0.001)
                at_once, before = max(at_once, ticks.fired - before), ticks.fired
                assert ticks.fired - len(handled) < 1000, "it is not faster than who handles it"
            assert at_once <= 2 * 64
            assert other.fired > 1

    clock.run(main())
    assert handled[:3000] == list(range(1, 3001))


@pytest.mark.parametrize(
    ("name", "match"),
    [("x" * 129, "at most 128"), ("x:" * 90 + "x", "at most 128"), ("family\u200dname", "printable")],
)
def test_a_name_that_no_id_can_begin_with_is_refused(name: str, match: str) -> None:
    hub = telex.Hub()
    declarations: tuple[Callable[[], object], ...] = (
        lambda: hub.every(1, topic=name),
        lambda: hub.after(1, topic="t", name=name),
        lambda: hub.when(hub.variable("v", 0) > 1, name=name),
    )
    for declare in declarations:
        with pytest.raises(telex.BadName, match=match):
            declare()
    assert hub.triggers() == ()
    hub.every(1, topic=name, name="short")


def test_by_hand(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    trigger = hub.every(10, topic="ticks")

    async def main() -> None:
        async with hub, hub.topic("ticks").subscribe() as ticks:
            await asyncio.sleep(25)
            assert hub.trigger("ticks") is trigger
            trigger.pause()
            await asyncio.sleep(30)
            assert hub.triggers()[0].paused
            await trigger.fire()
            trigger.resume()
            await asyncio.sleep(20)
            trigger.cancel()
            await asyncio.sleep(100)
            heard = [(m.content.scheduled - BEGIN).total_seconds() for m in await ticks.receive_many()]
            assert heard == [10, 20, 55, 60, 70]
            assert hub.triggers() == ()

    clock.run(main())


async def test_the_id_of_a_firing_is_known_to_who_publishes_it_again() -> None:
    # On the clock of the machine, where a firing is published without writing its id down.
    async with (
        telex.Hub("memory://") as hub,
        hub.topic("ticks").subscribe() as ticks,
        hub.topic("once:*").subscribe() as ends,
    ):
        hub.every("10ms", topic="ticks")
        hub.after("10ms", topic="once:1")
        first, second = await ticks.receive(timeout=20), await ticks.receive(timeout=20)
        assert first.id == f"ticks@{first.content.scheduled.isoformat()}" != second.id
        assert await hub.topic("ticks").publish(first.content, id=first.id) is first
        assert await hub.topic("ticks").publish(second.content, id=second.id) is second
        end = await ends.receive(timeout=20)
        assert end.id == f"once:1@{end.content.scheduled.isoformat()}"


def test_by_hand_at_the_instant_of_another_firing(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    trigger = hub.every(10, topic="ticks")

    async def main() -> None:
        async with hub, hub.topic("ticks").subscribe() as ticks:
            while trigger.fired < 1:
                await ticks.receive()
            await trigger.fire()
            await trigger.fire()
            assert [(await ticks.receive()).content for _ in range(2)] == [
                telex.Firing("ticks", after(10), number) for number in (2, 3)
            ]

    clock.run(main())


def test_an_instant_in_the_past_has_ended_when_it_begins(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.at(after(-5), topic="then", misfire="all")

    async def main() -> None:
        async with hub, hub.topic("then").subscribe() as then:
            assert [message async for message in then] == []
            assert (hub.triggers()[0].ended, hub.triggers()[0].fired) == (True, 0)

    clock.run(main())


def test_one_that_raises_stops_nobody(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub(clock=clock)
    seen = []

    @hub.every(10)
    def bad() -> None:
        raise ZeroDivisionError

    @hub.every(10)
    def good(firing: telex.Firing) -> None:
        seen.append(firing.number)

    async def main() -> None:
        async with hub:
            await asyncio.sleep(35)
            assert [handler.failed for handler in hub.statistics().handlers] == [3, 0]

    clock.run(main())
    assert seen == [1, 2, 3]
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 3


def test_a_subscriber_that_blocks_publishers_blocks_no_trigger(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.every(10, topic="slow")
    hub.every(10, topic="quick")

    async def main() -> None:
        async with (
            hub,
            hub.topic("slow").subscribe(buffer=1, overflow="block"),
            hub.topic("quick").subscribe() as quick,
        ):
            await asyncio.sleep(45)
            assert len(await quick.receive_many()) == 4

    clock.run(main())


def test_firings_that_wait_for_a_subscriber_are_bounded(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub(clock=clock)
    set_bounds(hub, waiting_firings=2)
    hub.every(1, topic="ticks")

    async def main() -> list[int]:
        async with hub, hub.topic("ticks").subscribe(buffer=1, overflow="block") as ticks:
            await asyncio.sleep(10.5)
            return [(await ticks.receive()).content.number for _ in range(4)]

    assert clock.run(main()) == [1, 2, 3, 11]
    assert caplog.text.count("trigger ticks did not publish its firing") == 7


def test_declared_on_a_hub_that_is_open(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    async def main() -> None:
        async with hub:
            await asyncio.sleep(7)
            hub.every(10, topic="ticks")
            async with hub.topic("ticks").subscribe() as ticks:
                assert (await ticks.receive()).content.scheduled == after(17)

    clock.run(main())


def test_mistakes() -> None:
    hub = telex.Hub()
    hub.every(10, topic="ticks")
    with pytest.raises(telex.BadOption, match="another trigger has this name"):
        hub.every(20, topic="ticks")
    with pytest.raises(telex.BadOption, match="at least"):
        hub.every(0)
    with pytest.raises(telex.BadOption, match="'skip', 'once' or 'all'"):
        hub.every(10, misfire="never")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(telex.BadOption, match="aware datetime"):
        hub.at(datetime(2026, 1, 1))  # noqa: DTZ001  # on purpose
    with pytest.raises(telex.BadOption, match="five fields"):
        hub.cron("every day")
    with pytest.raises(telex.BadOption, match="the triggers are ticks"):
        hub.trigger("tick")
    with pytest.raises(telex.BadHandler, match="decorate a function"):
        hub.every(10)(5)  # type: ignore[type-var]  # on purpose


def test_one_that_does_nothing_says_so() -> None:
    hub = telex.Hub()
    with pytest.warns(RuntimeWarning, match="every 10 s, does nothing: decorate a function with the trigger"):
        hub.every(10)
    with pytest.warns(RuntimeWarning, match="when signups >= 3, does nothing"):
        hub.when(hub.variable("signups", 0) >= 3)


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


def test_after_nothing_is_soon(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.after(0, topic="soon")

    async def main() -> None:
        async with hub, hub.topic("soon").subscribe() as soon:
            assert len([message async for message in soon]) == 1

    clock.run(main())
