"""The handle of a trigger: firing by hand, functions that are refused, and triggers that do nothing."""

import asyncio
import logging
from math import inf

import pytest

import telex
from telex.testing.clock import BEGIN, VirtualClock
from tests.support.internals import timers_of
from tests.unit.triggers.parts import after


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


def test_one_that_raises_stops_nobody(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub(clock=clock)
    seen = []

    @hub.every(10, run_in="loop")
    def bad() -> None:
        raise ZeroDivisionError

    @hub.every(10, run_in="loop")
    def good(firing: telex.Firing) -> None:
        seen.append(firing.number)

    async def main() -> None:
        async with hub:
            await asyncio.sleep(35)
            assert [handler.failed for handler in hub.statistics().handlers] == [3, 0]

    clock.run(main())
    assert seen == [1, 2, 3]
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 3


def test_one_that_does_nothing_says_so() -> None:
    hub = telex.Hub()
    with pytest.warns(RuntimeWarning, match="every 10 s, does nothing: decorate a function with the trigger"):
        hub.every(10)
    with pytest.warns(RuntimeWarning, match="when signups >= 3, does nothing"):
        hub.when(hub.variable("signups", 0) >= 3)


def test_a_function_that_is_refused_leaves_nothing(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    def look(one: int, other: int) -> None: ...

    with pytest.raises(telex.BadHandler):
        hub.every(1, run_in="loop")(look)
    called = []

    def mended() -> None:
        called.append(1)

    mended.__qualname__ = "look"
    hub.every(1, run_in="loop")(mended)

    async def main() -> None:
        async with hub:
            await asyncio.sleep(1.5)

    clock.run(main())
    assert called == [1]


def test_a_trigger_that_has_ended_waits_for_nothing_when_it_is_resumed(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.when(hub.silence("beats", longer_than="10s"), topic="silent", rising=True)

    async def main() -> None:
        async with hub:
            await asyncio.sleep(1)
            found = hub.trigger("silent")
            assert found is not None
            assert timers_of(hub).first() < inf
            found.cancel()
            assert timers_of(hub).first() == inf
            found.resume()
            assert timers_of(hub).first() == inf

    clock.run(main())
