"""Members of groups, in memory and on a clock that is moved: retries, leases, dead letters, closing, what they cost."""

import asyncio
from collections.abc import Callable
from typing import Any

import telex
from telex.engines.contract.groups import Fetched
from telex.testing.clock import VirtualClock
from tests.support.loops import idle, until
from tests.support.shell import Clock, left
from tests.unit.groups.parts import Express, Paid, Placed, Watched, info, watched


async def most_of(groups: Watched, hub: telex.Hub, count: int) -> int:
    """The most messages of one fetch, when a member has handled ``count``."""
    handled = list[int]()
    hub.on("x", group="g")(handled.append)
    async with hub:
        for number in range(count):
            await hub.topic("x").publish(number)
        await until(lambda: len(handled) == count)
    return max(groups.claims)


def test_the_prefetch_grows_though_the_engine_is_far_away() -> None:
    clock = VirtualClock()
    hub, groups = watched(clock)
    groups.away = 0.02
    assert clock.run(most_of(groups, hub, 150)) > 65
    assert len(groups.claims) < 30, "each message waited for a claim of its own"


def test_long_fetches_keep_the_prefetch_small() -> None:
    clock = VirtualClock()
    hub, groups = watched(clock)
    groups.away = 0.06  # as if the messages were large
    assert 32 < clock.run(most_of(groups, hub, 700)) <= 65


def test_slow_calls_that_end_together_leave_the_messages_to_other_processes() -> None:
    clock = VirtualClock()
    hub, groups = watched(clock)
    handled = list[int]()

    @hub.on("x", group="g", concurrency=6)
    async def handle(number: int) -> None:
        await asyncio.sleep(0.1 + number * 7 % 10 / 100)  # 0.1 to 0.2 seconds: some calls end together
        handled.append(number)

    async def main() -> None:
        async with hub:
            for number in range(500):
                await hub.topic("x").publish(number)
            await until(lambda: len(handled) == 200)
            assert max(groups.claims[1:]) <= 12

    clock.run(main())


# -- trying again


async def test_a_delivery_that_becomes_due_wakes_the_waiting_consumer(clock: Callable[[], Clock]) -> None:
    moved, hub, attempts = clock(), telex.Hub("memory://"), []

    @hub.on("x", group="g")
    async def handle(message: telex.Message[str], context: telex.Context[str]) -> None:
        attempts.append((message.content, context.attempt))
        if context.attempt == 1:
            raise telex.Nack(delay={"late": "20s", "soon": "5s"}[message.content])

    async with hub:
        await hub.topic("x").publish("late")
        await idle()
        await hub.topic("x").publish("soon")
        await moved.forward(5.1)
        assert attempts == [("late", 1), ("soon", 1), ("soon", 2)]
        await moved.forward(15)
        assert attempts[3:] == [("late", 2)]


# -- leases


# -- how much is claimed, and how often


async def test_a_slow_consumer_claims_nothing_ahead() -> None:
    hub, handled = telex.Hub("memory://"), []

    @hub.on("x", group="g")
    async def hangs(content: int) -> None:
        await asyncio.Event().wait()

    @hub.on("x", group="g")
    async def other(content: int) -> None:
        handled.append(content)

    hub.close_timeout = 0
    async with hub:
        await idle()
        for content in range(20):
            await hub.topic("x").publish(content)
        while len(handled) < 19:
            await idle()
        assert (await info(hub)).leased == 1


async def test_a_quick_consumer_claims_and_settles_many_at_once() -> None:
    hub, groups = watched()
    handled = 0

    @hub.on("x", group="g")
    async def handle(content: int) -> None:
        nonlocal handled
        handled += 1

    async with hub:
        await idle()  # it has joined: from here on nothing is trimmed that it has not handled
        for content in range(3000):
            hub.topic("x").publish_nowait(content)
        while handled < 3000:
            await idle()
        await idle()
        assert 65 < max(groups.claims) <= 1025
        assert len(groups.claims) < 200
        assert len(groups.batches) < 200


async def test_a_member_that_has_nothing_to_do_does_nothing(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()

    @hub.on("x", group="g", concurrency=8, lease="2s")
    async def handle(content: int) -> None: ...

    async with hub:
        await hub.topic("x").publish(1)
        for _ in range(4):
            await moved.forward(1)
        claims = len(groups.claims)
        found = left(hub)
        assert found["tasks"] == ["telex group g " + handle.__qualname__]
        assert found["timers"] == 1 + 1, "that of the test itself, and that of looking again in an hour"
        for _ in range(20):
            await moved.forward(1)
        assert len(groups.claims) == claims


async def test_a_handler_with_a_longer_lease_changes_the_fetch_that_waits() -> None:
    hub, groups = watched()
    leases: list[float] = []
    fetch = groups.fetch

    async def noted(*arguments: Any) -> Fetched:
        leases.append(arguments[3])
        return await fetch(*arguments)

    groups.fetch = noted  # type: ignore[method-assign]  # of this hub's engine
    hub.on("x", Placed, group="g", lease="5s", run_in="loop")(print)
    async with hub:
        await idle()
        hub.on("x", Paid, group="g", lease="60s", run_in="loop")(print)
        await idle()
        assert leases == [5.0, 60.0]
        hub.on("x", Express, group="g", lease="7s", run_in="loop")(print)
        await idle()
        assert leases == [5.0, 60.0]


async def test_a_consumer_that_is_closed_while_it_joins_waits_for_nothing() -> None:
    hub, groups = watched()
    joins, go_on = asyncio.Event(), asyncio.Event()
    join = groups.join

    async def slow(*arguments: Any) -> None:
        joins.set()
        await go_on.wait()
        await join(*arguments)

    groups.join = slow  # type: ignore[assignment]  # of this hub's engine
    hub.on("x", group="g", run_in="loop")(print)
    await hub.__aenter__()
    await joins.wait()
    closing = asyncio.create_task(hub.aclose())
    await idle()
    go_on.set()
    await closing
    assert groups.claims == []


# -- dead letters


# -- types


# -- life


async def test_an_engine_that_fails_is_asked_again(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()
    handled: list[int] = []

    @hub.on("x", group="g", lease="2s")
    async def handle(content: int) -> None:
        handled.append(content)

    groups.fail = 2
    async with hub:
        await hub.topic("x").publish(1)
        for _ in range(3):
            await moved.forward(0.6)
            assert handled == []
        await moved.forward(0.6)
        assert handled == [1]
        groups.fail = 1
        await hub.topic("x").publish(2)
        await idle()
        for _ in range(5):
            await moved.forward(0.5)
        assert handled[:2] == [1, 2]


async def test_a_topic_that_is_made_anew_is_taken_from_again() -> None:
    hub, handled = telex.Hub("memory://"), []

    @hub.on("x", group="g")
    async def handle(content: int) -> None:
        handled.append(content)

    async with hub:
        await hub.topic("x").publish(1)
        await idle()
        await hub.remove("x")
        await idle()
        await hub.topic("x").publish(2)
        await idle()
        assert handled == [1, 2]
