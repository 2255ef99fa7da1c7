"""Handlers of a group with ``tx=True``: effect and acknowledgement commit together."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

import telex
from telex.hub import runtime_of
from tests.support.shifting import set_time

Url = Callable[[], str]


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/shop.db"


async def settled(hub: telex.Hub) -> None:
    async with asyncio.timeout(20):
        while any(info.lag for info in await hub.groups.list()) or not hub.statistics().handlers[0].handled:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0)


@pytest.mark.slow
async def test_effect_and_acknowledgement_commit_together(url: str) -> None:
    hub = telex.Hub(url)
    attempts: list[int] = []

    @hub.on("orders", group="billing", retry=telex.Retry(attempts=5, first=0.001), tx=True)
    async def bill(order: int, tx: telex.Transaction) -> None:
        attempts.append(order)
        await tx.publish("bills", order)
        if attempts.count(order) < 3:
            raise RuntimeError("rolled back")

    async with hub, hub.topic("bills").subscribe() as bills:
        for order in range(3):
            await hub.topic("orders").publish(order)
        await settled(hub)
        assert sorted([(await bills.receive(timeout=10)).content for _ in range(3)]) == [0, 1, 2]
        assert not bills.waiting
    assert sorted(attempts) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.slow
async def test_rows_of_the_program_are_written_once(tmp_path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{tmp_path}/shop.db")
    calls = 0

    @hub.on("orders", group="billing", retry=telex.Retry(attempts=20, first=0.001), tx=True)
    async def bill(order: int, tx: telex.Transaction) -> None:
        nonlocal calls
        calls += 1
        await tx.execute("INSERT INTO bills VALUES (?)", (order,))
        if calls % 2:
            raise RuntimeError("rolled back")

    async with hub:
        async with hub.transaction() as tx:
            await tx.execute("CREATE TABLE bills (number INTEGER)")
        for order in range(10):
            await hub.topic("orders").publish(order)
        await settled(hub)
        async with hub.transaction() as tx:
            rows = await tx.execute("SELECT number FROM bills ORDER BY number")
    assert rows == [(number,) for number in range(10)]


async def test_a_call_that_lost_its_lease_is_rolled_back() -> None:
    hub = telex.Hub()
    calls = 0

    @hub.on("orders", group="billing", tx=True)
    async def bill(order: int, tx: telex.Transaction) -> None:
        nonlocal calls
        calls += 1
        await tx.publish("bills", calls)
        engine = runtime_of(hub).engine
        assert engine.groups is not None
        # Another consumer claims the message after the end of the lease: this call's token is not the last any more.
        now = engine.now()
        set_time(engine, now + 3600)
        claimed = await engine.groups.fetch("billing", "orders", 1, 60, "another", 0.0)
        assert len(claimed.deliveries) == 1

    async with hub, hub.topic("bills").subscribe() as bills:
        await hub.topic("orders").publish(1)
        async with asyncio.timeout(10):
            while not hub.statistics().handlers[0].lapsed:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0)
        assert bills.waiting == 0
        assert hub.statistics().handlers[0].failed == 0
    assert calls == 1


async def test_publishing_outside_of_the_transaction_is_refused(tmp_path: Path) -> None:
    hub = telex.Hub(f"sqlite:///{tmp_path}/shop.db")
    refused: list[telex.Misuse] = []

    @hub.on("orders", group="billing", tx=True)
    async def bill(order: int, tx: telex.Transaction) -> None:
        try:
            await hub.topic("bills").publish(order)
        except telex.Misuse as error:
            refused.append(error)

    async with hub:
        await hub.topic("orders").publish(1)
        await settled(hub)
    assert len(refused) == 1


def test_mistakes_are_told_where_the_handler_is_declared() -> None:
    hub = telex.Hub()

    async def takes(order: int, tx: telex.Transaction) -> None: ...
    async def plain(order: int) -> None: ...
    def sync(order: int, tx: telex.Transaction) -> None: ...
    async def both(order: int, tx: telex.Transaction, context: telex.Context[int]) -> None: ...

    with pytest.raises(telex.BadOption, match="only a handler with group="):
        hub.on("orders", tx=True, run_in="loop")(plain)
    with pytest.raises(telex.BadHandler, match=r"tx=True"):
        hub.on("orders", run_in="loop")(takes)
    with pytest.raises(telex.BadHandler, match=r"give tx=True"):
        hub.on("orders", group="g", run_in="loop")(takes)
    with pytest.raises(telex.BadHandler, match=r"tx: telex\.Transaction"):
        hub.on("orders", group="g", tx=True, run_in="loop")(plain)
    with pytest.raises(telex.BadHandler, match="async def"):
        hub.on("orders", group="g", tx=True, run_in="loop")(sync)
    with pytest.raises(telex.BadHandler, match=r"raise telex\.Nack"):
        hub.on("orders", group="g", tx=True, run_in="loop")(both)
