"""Triggers of routers: each hub that takes the router in makes one of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import telex
from telex.testing.clock import VirtualClock
from telex.topics.subscription import enter

Call = Callable[[telex.Message[Any]], Awaitable[object]]


def test_a_router_has_triggers(clock: VirtualClock) -> None:
    called: list[tuple[str, int]] = []
    router = telex.Router("shop")
    hub = telex.Hub(clock=clock)
    orders = hub.variable("orders", 0)

    @router.every("10s", run_in="loop")
    def look(firing: telex.Firing) -> None:
        called.append((firing.trigger, firing.number))

    router.after("15s", topic="soon")
    router.when(router.rate("failed:*", per="1m") >= 2, topic="alarm")
    router.when(router.silence("beat", longer_than="1m"), topic="silent")
    router.when(orders >= 3, topic="many")
    hub.include_router(router, "eu")

    async def main() -> list[int]:
        names = ("eu:shop:soon", "eu:shop:alarm", "eu:shop:silent", "eu:shop:many")
        inboxes = [hub.topic(name).subscribe() for name in names]
        async with hub:
            for inbox in inboxes:
                enter(inbox)
            assert [trigger.trigger for trigger in hub.triggers()] == ["eu:shop:look", *names]

            @router.after("20s", run_in="loop")  # also when the hub is open
            def later(firing: telex.Firing) -> None:
                called.append((firing.trigger, firing.number))

            await orders.set(3)
            for _ in range(2):
                await hub.topic("eu:shop:failed:x").publish(None)
                await hub.topic("failed:x").publish(None)
            await asyncio.sleep(61)
            return [len([message async for message in inbox]) for inbox in inboxes]

    assert clock.run(main()) == [1, 1, 1, 1]
    assert sorted(called) == [("eu:shop:later", 1), *(("eu:shop:look", n) for n in range(1, 7))]


def test_two_hubs_and_middleware(clock: VirtualClock) -> None:
    told: list[str] = []

    def around(call: Call) -> Call:
        async def told_first(message: telex.Message[Any]) -> object:
            told.append(message.topic)
            return await call(message)

        return told_first

    inner = telex.Router("inner", middleware=[around])
    outer = telex.Router("outer")
    outer.include_router(inner)
    inner.every("10s", topic="ticks", run_in="loop")(lambda: told.append("called"))
    one, other = telex.Hub(clock=clock), telex.Hub(clock=clock)
    one.include_router(outer)
    other.include_router(inner)

    async def main() -> None:
        async with one, other:
            await asyncio.sleep(11)

    clock.run(main())
    assert sorted(told) == ["called", "called", "inner:ticks", "outer:inner:ticks"]


def test_mistakes() -> None:
    router = telex.Router("shop")
    with pytest.raises(telex.BadOption, match="'skip', 'once' or 'all'"):
        router.every(10, misfire="never")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(telex.BadName):
        router.every(10, topic="a b")
    with pytest.raises(telex.BadHandler, match="decorate a function"):
        router.every(10, run_in="loop")(5)  # type: ignore[type-var]  # on purpose
    router, strange = telex.Router("shop"), telex.Hub().variable("count", 0)
    router.when(strange >= 3, topic="many")
    with pytest.raises(telex.BadOption, match="another hub"):
        telex.Hub().include_router(router)
