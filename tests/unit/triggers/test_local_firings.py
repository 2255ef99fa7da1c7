"""Firings in memory: the last one closes its topic, and a subscriber that blocks holds up no trigger."""

import asyncio

import pytest

import telex
from telex.testing.clock import VirtualClock
from tests.support.internals import set_bounds
from tests.unit.triggers.parts import after


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


def test_many_that_were_missed_leave_others_their_turn(clock: VirtualClock) -> None:
    """However many they are: each is handled, and other triggers are rung meanwhile."""
    hub, handled = telex.Hub(clock=clock), []
    ticks, other = hub.every(1, name="ticks", misfire="all", run_in="loop"), hub.every("10ms", topic="other")
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


def test_an_instant_in_the_past_has_ended_when_it_begins(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.at(after(-5), topic="then", misfire="all")

    async def main() -> None:
        async with hub, hub.topic("then").subscribe() as then:
            assert [message async for message in then] == []
            assert (hub.triggers()[0].ended, hub.triggers()[0].fired) == (True, 0)

    clock.run(main())


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


def test_a_trigger_that_fires_again_keeps_its_firings(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    value = hub.variable("value", 0)
    hub.when(value == 1, topic="ones", rising=True)

    async def main() -> None:
        async with hub:
            for number in (1, 0, 1):
                await asyncio.sleep(1)
                await value.set(number)
            assert len([message async for message in hub.topic("ones").history()]) == 2

    clock.run(main())


def test_the_last_firing_waits_for_room(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.after(5, topic="t")

    async def main() -> None:
        async with hub, hub.topic("t").subscribe(buffer=1, overflow="block") as inbox:
            await hub.topic("t").publish("first")
            await asyncio.sleep(6)
            assert [type(message.content) async for message in inbox] == [str, telex.Firing]

    clock.run(main())


def test_a_trigger_that_ends_with_its_firing_asks_blocking_subscribers(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    async def main() -> None:
        async with hub, hub.topic("t:*").subscribe(buffer=1, overflow="block") as inbox:
            for number in range(3):
                hub.after(1, topic=f"t:{number}")
            await asyncio.sleep(2)
            assert {(await inbox.receive(timeout=5)).topic for _ in range(3)} == {"t:0", "t:1", "t:2"}

    clock.run(main())
