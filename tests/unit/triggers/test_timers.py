"""The timer of all triggers of a hub."""

import asyncio

import pytest

import telex
from telex.hub import runtime_of
from telex.testing.clock import VirtualClock
from telex.triggers.timers import MAX_SLEEP_SECONDS, Timers
from telex.triggers.trigger import state_of


def test_the_timer_looks_again_when_the_clock_was_set(clock: VirtualClock) -> None:
    ahead = 0.0
    hub = telex.Hub(clock=lambda: clock() + ahead)
    heard: list[int] = []

    @hub.after("1h", topic="soon", run_in="loop")
    def soon(firing: telex.Firing) -> None:
        heard.append(firing.number)

    async def main() -> None:
        nonlocal ahead
        async with hub:
            await asyncio.sleep(MAX_SLEEP_SECONDS + 1)
            assert heard == []
            ahead = 3600.0
            await asyncio.sleep(MAX_SLEEP_SECONDS + 1)
            assert heard == [1]

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


class Due:
    """A trigger that notes when it is due."""

    def __init__(self, timers: Timers, name: str = "due", again: float | None = None) -> None:
        self.name = name
        self.queue_entry = self.fired = self.failed = 0
        self.paused = self.ended = False
        self.told: list[float] = []
        self._timers = timers
        self._again = again

    def due(self, now: float) -> None:
        self.told.append(now)
        self.fired += 1
        if self._again is not None:
            self._timers.arm(self, now + self._again)


def timers(clock: VirtualClock) -> Timers:
    return Timers(runtime_of(telex.Hub(clock=clock)))


def test_a_trigger_is_called_at_its_instant_and_not_before(clock: VirtualClock) -> None:
    async def main() -> list[float]:
        found, begin = timers(clock), clock()
        found.start()
        late, early = Due(found), Due(found)
        found.arm(late, begin + 5)
        found.arm(early, begin + 2)
        await asyncio.sleep(1.9)
        assert (early.told, late.told) == ([], [])
        await asyncio.sleep(4)
        found.stop()
        return [at - begin for at in early.told + late.told]

    assert clock.run(main()) == [2, 5]


def test_the_last_instant_of_a_trigger_counts(clock: VirtualClock) -> None:
    async def main() -> list[float]:
        found, begin = timers(clock), clock()
        found.start()
        due, dropped, none = Due(found), Due(found), Due(found)
        for at in (5, 1, 3):
            found.arm(due, begin + at)
        found.arm(dropped, begin + 1)
        found.disarm(dropped)
        found.arm(none, begin + 1)
        found.arm(none, None)
        await asyncio.sleep(10)
        found.stop()
        assert dropped.told == none.told == []
        return [at - begin for at in due.told]

    assert clock.run(main()) == [3]


@pytest.mark.parametrize("how", ["paused", "ended", "not started", "stopped"])
def test_a_trigger_that_may_not_fire_has_no_instant(clock: VirtualClock, how: str) -> None:
    async def main() -> None:
        found = timers(clock)
        due = Due(found)
        if how != "not started":
            found.start()
        if how == "stopped":
            found.stop()
        due.paused, due.ended = how == "paused", how == "ended"
        found.arm(due, clock())
        assert not due.queue_entry
        await asyncio.sleep(10)
        assert due.told == []
        found.stop()

    clock.run(main())


def test_a_trigger_that_was_paused_meanwhile_is_passed_over(clock: VirtualClock) -> None:
    async def main() -> None:
        found = timers(clock)
        found.start()
        due = Due(found)
        found.arm(due, clock() + 1)
        due.paused = True
        await asyncio.sleep(5)
        found.stop()
        assert due.told == []

    clock.run(main())


def test_a_trigger_that_raises_is_counted_and_tried_again_later(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Raises(Due):
        def due(self, now: float) -> None:
            super().due(now)
            if len(self.told) == 1:
                raise ValueError("mine")

    async def main() -> list[float]:
        found, begin = timers(clock), clock()
        found.start()
        raises, other = Raises(found, "bad"), Due(found)
        found.arm(raises, begin + 1)
        found.arm(other, begin + 1)
        await asyncio.sleep(10)
        found.stop()
        assert (raises.failed, [at - begin for at in other.told]) == (1, [1])
        return [at - begin for at in raises.told]

    assert clock.run(main()) == [1, 6]
    assert "trigger bad raised" in caplog.text


def test_a_trigger_that_ends_and_then_raises_is_not_called_again(clock: VirtualClock) -> None:
    class Ends(Due):
        def due(self, now: float) -> None:
            super().due(now)
            self.ended = True
            raise ValueError("mine")

    async def main() -> list[float]:
        found, begin = timers(clock), clock()
        found.start()
        ends = Ends(found)
        found.arm(ends, begin + 1)
        await asyncio.sleep(60)
        found.stop()
        assert ends.failed == 1
        return [at - begin for at in ends.told]

    assert clock.run(main()) == [1]


def test_background_work_ends_with_the_timers(clock: VirtualClock) -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(1 if name == "short" else 1000)
            ended.append(f"{name} done")
        except asyncio.CancelledError:
            ended.append(f"{name} cancelled")
            raise

    async def main() -> None:
        found = timers(clock)
        found.run(lambda: work("short"))
        found.run(lambda: work("long"))
        await asyncio.sleep(2)
        assert len(found.tasks) == 1
        await found.cancel_tasks()
        assert not found.tasks

    clock.run(main())
    assert ended == ["short done", "long cancelled"]
