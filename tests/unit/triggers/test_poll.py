"""Functions that are called again and again until they return true."""

import asyncio
import logging

import pytest

import telex
from telex.testing.clock import VirtualClock
from tests.support.internals import when_state
from tests.unit.triggers.parts import after, waiting


def test_a_function_is_looked_at(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub(clock=clock)
    levels = iter([False, True, True, False, True, True])
    slow, looks = asyncio.Event(), []

    def level() -> bool:
        return next(levels, False)

    async def ready() -> bool:
        looks.append(clock.now)
        await slow.wait()
        return True

    def broken() -> bool:
        raise ZeroDivisionError

    hub.when(level, every="10s", topic="each", rising=True, run_in="loop")
    hub.when(ready, every="10s", topic="ready", run_in="loop")
    hub.when(broken, every="10s", topic="never", run_in="loop")

    async def main() -> None:
        async with hub, hub.topic("each").subscribe() as each, hub.topic("ready").subscribe() as once:
            await asyncio.sleep(95)
            assert looks == [after(10)]  # it was not called again while it looked
            slow.set()
            assert [message.content.scheduled async for message in once] == [after(10)]
            await asyncio.sleep(60)
            assert waiting(each) == [20, 50]
            found = {trigger.trigger: trigger for trigger in hub.triggers()}
            assert (found["never"].failed, found["never"].fired, found["never"].next) == (15, 0, after(160))

    with caplog.at_level(logging.ERROR, "telex.triggers"):
        clock.run(main())
    assert "broken raised" in caplog.text


def test_a_function_that_is_slow_to_be_cancelled_holds_up_no_closing(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    hub = telex.Hub(clock=clock)
    left = []

    async def stubborn() -> bool:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(500)
        left.append(clock.now)
        raise ZeroDivisionError

    async def cancelled() -> bool:
        raise asyncio.CancelledError  # as when what it awaits was

    hub.when(stubborn, every="10s", topic="stubborn", run_in="loop")
    hub.when(cancelled, every="10s", topic="cancelled", run_in="loop")

    async def main() -> None:
        async with hub:
            await asyncio.sleep(45)
            assert [trigger.failed for trigger in hub.triggers()] == [0, 4]
        assert clock.now == after(46)
        await asyncio.sleep(600)
        assert left == [after(545)]

    with caplog.at_level(logging.ERROR):
        clock.run(main())
    assert "stubborn, which did not let itself be cancelled in 1 s" in caplog.text
    assert "never retrieved" not in caplog.text


def test_a_function_that_is_looked_at_misses_nothing(clock: VirtualClock) -> None:
    hub = telex.Hub(clock=clock)

    @hub.when(lambda: False, topic="never", every="1s", run_in="loop")
    def never(firing: telex.Firing) -> None: ...

    async def main() -> None:
        async with hub:
            assert when_state(hub, "never").missed() == (0, 0)

    clock.run(main())
