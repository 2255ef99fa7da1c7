"""The triggers of a hub: declared, cancelled, ended, and listed for a time."""

import asyncio

import pytest

import telex
from telex.testing.clock import VirtualClock
from tests.support.internals import timers_of
from tests.unit.triggers.parts import after


def test_cancelled_triggers_leave_nothing(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    async def main() -> None:
        async with hub:
            kept = hub.after("1h", topic="kept")
            for number in range(5000):
                hub.after("1h", topic=f"t:{number}").cancel()
            assert len(timers_of(hub)) < 200
            assert len(hub.triggers()) == 1
            async with hub.topic("kept").subscribe() as inbox:
                assert len([message async for message in inbox]) == 1
            kept.cancel()
            assert not len(timers_of(hub))

    clock.run(main())


def test_ended_triggers_are_forgotten_in_time(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    async def main() -> None:
        async with hub, hub.topic("t:*").subscribe(buffer=1000) as inbox:
            for number in range(500):
                hub.after(number / 1000, topic=f"t:{number}")
            hub.after(2, topic="last")
            await asyncio.sleep(1)
            assert [message.topic for message in inbox.receive_many_nowait()] == [f"t:{n}" for n in range(500)]
            assert len(hub.triggers()) == 101, "one that waits, and the last hundred of those that have ended"
            hub.after(1, topic="t:499")  # its name is free again
            await asyncio.sleep(2)
            assert inbox.waiting == 1
            assert await hub.topics("t:*") == []

    clock.run(main())


def test_declared_on_a_hub_that_is_open(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    async def main() -> None:
        async with hub:
            await asyncio.sleep(7)
            hub.every(10, topic="ticks")
            async with hub.topic("ticks").subscribe() as ticks:
                assert (await ticks.receive()).content.scheduled == after(17)

    clock.run(main())


async def test_on_a_hub_that_is_closed_nothing_is_declared() -> None:
    async with telex.Hub() as hub:
        pass
    with pytest.raises(telex.Closed):
        hub.when(lambda: True, every=1, topic="x", run_in="loop")
    with pytest.raises(telex.Closed):
        hub.every(1, topic="x")
