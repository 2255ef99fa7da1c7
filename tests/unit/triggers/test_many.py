"""Many triggers: what they leave behind, and that they let others run."""

import asyncio

import telex
from telex.testing.clock import VirtualClock
from telex.triggers.trigger import state_of
from tests.support.internals import timers_of


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


def test_a_trigger_that_ends_with_its_firing_asks_blocking_subscribers(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    async def main() -> None:
        async with hub, hub.topic("t:*").subscribe(buffer=1, overflow="block") as inbox:
            for number in range(3):
                hub.after(1, topic=f"t:{number}")
            await asyncio.sleep(2)
            assert {(await inbox.receive(timeout=5)).topic for _ in range(3)} == {"t:0", "t:1", "t:2"}

    clock.run(main())


def test_many_that_are_due_let_others_run(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    turns: list[int] = []

    async def main() -> None:
        async with hub, hub.topic("ticks").subscribe(buffer=10_000) as ticks:
            for number in range(5000):
                hub.every(1, topic="ticks", name=f"t:{number}")
            clock.advance(1)
            while (waiting := ticks.waiting) < 5000:
                turns.append(waiting)
                await asyncio.sleep(0)

    clock.run(main())
    assert {1000, 2000, 3000, 4000} <= set(turns)


def test_one_that_raises_when_it_is_due_stops_no_other(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)
    hub.topic("odd", int)  # a firing is no whole number, so it is not published there
    hub.every(1, topic="odd")
    broken = hub.every(1, topic="broken")
    other = hub.every(1, topic="other")

    async def main() -> None:
        async with hub:
            state_of(broken).schedule = None  # type: ignore[attr-defined]  # it cannot be due
            await asyncio.sleep(3.5)
            assert (broken.failed, broken.fired, other.fired) == (1, 0, 3)

    clock.run(main())
