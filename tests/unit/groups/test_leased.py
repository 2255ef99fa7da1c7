"""Leases: renewed while handlers run, lost to another consumer, extended by hand."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import telex
from telex.engines.contract.groups import Settlement
from telex.engines.memory.groups import MemoryGroups
from tests.support.loops import idle
from tests.support.shell import Clock
from tests.unit.groups.parts import watched


async def test_a_long_call_keeps_its_lease_and_its_neighbours_too(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()
    calls: list[tuple[str, int]] = []
    go_on = asyncio.Event()

    @hub.on("x", group="g", lease="4s")
    async def one(content: int) -> None:
        calls.append(("one", content))
        await go_on.wait()

    @hub.on("x", group="g", lease="4s")
    async def other(content: int) -> None:
        calls.append(("other", content))
        await go_on.wait()

    async with hub:
        for content in range(2):
            await hub.topic("x").publish(content)
        for _ in range(20):
            await moved.forward(1)
        assert sorted(content for _, content in calls) == [0, 1]
        extended = [batch for batch in groups.actions() if "extend" in batch]
        assert 18 <= len(extended) <= 20, "each member at half of the lease"
        go_on.set()
        await idle()
        assert len(calls) == 2
        assert [found.lapsed for found in hub.statistics().handlers] == [0, 0]


async def test_a_handler_that_lost_its_lease_is_cancelled_and_counted(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()
    ended: list[str] = []

    @hub.on("x", group="g", lease="4s", concurrency=2)
    async def handle(content: str) -> None:
        try:
            await asyncio.Event().wait() if content == "long" else None
        finally:
            ended.append(content)

    async with hub:
        await hub.topic("x").publish("long")
        await idle()
        now = groups.clock
        groups.clock = lambda: now() + 5
        stolen = await MemoryGroups.fetch(groups, "g", "x", 1, 1000, "thief", 0.0)
        groups.clock = now
        assert [delivery.attempt for delivery in stolen.deliveries] == [2]
        await moved.forward(2.1)
        assert ended == ["long"]
        (found,) = hub.statistics().handlers
        assert (found.lapsed, found.handled, found.failed) == (1, 0, 0)
        await hub.topic("x").publish("next")
        await idle()
        assert ended == ["long", "next"], "it goes on"
        delivery = stolen.deliveries[0]
        settlement = Settlement(delivery.position, delivery.token, "ack")
        assert await MemoryGroups.settle(groups, "g", "x", [settlement]) == [True]


async def test_a_lease_that_a_handler_extended_is_not_cut_short(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()
    go_on = asyncio.Event()

    @hub.on("x", group="g", lease="4s")
    async def handle(context: telex.Context[int]) -> None:
        assert await context.extend("50s")
        await go_on.wait()

    async with hub:
        await hub.topic("x").publish(1)
        await moved.forward(0)
        for _ in range(10):
            await moved.forward(1)
        (ledger,) = groups.ledgers.values()
        (entry,) = ledger.entries.values()
        assert entry.due is not None
        assert entry.due > time.time() + 49
        go_on.set()
        await idle()


async def test_a_lease_that_the_engine_did_not_extend_is_renewed(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched()
    go_on = asyncio.Event()

    @hub.on("x", group="g", lease="4s")
    async def handle(context: telex.Context[int]) -> None:
        groups.fail = 1
        with contextlib.suppress(telex.EngineFailed):
            await context.extend("50s")
        await go_on.wait()

    async with hub:
        await hub.topic("x").publish(1)
        for _ in range(10):
            await moved.forward(1)
        assert sum("extend" in batch for batch in groups.actions()) >= 4
        go_on.set()
        await idle()


async def test_leases_are_kept_while_the_hub_closes(clock: Callable[[], Clock]) -> None:
    moved, (hub, groups) = clock(), watched(close_timeout=30)
    go_on = asyncio.Event()

    @hub.on("x", group="g", lease="2s")
    async def handle(content: int) -> None:
        await go_on.wait()

    await hub.__aenter__()
    await hub.topic("x").publish(1)
    await idle()
    closing = asyncio.create_task(hub.aclose())
    for _ in range(20):
        await moved.forward(0.5)
    go_on.set()
    await closing
    assert sum("extend" in batch for batch in groups.actions()) >= 8
    assert groups.actions()[-1] == ["ack"]
    assert [found.lag for found in await groups.groups()] == [0]
