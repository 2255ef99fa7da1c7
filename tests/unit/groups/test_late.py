"""A settlement after the end of its lease: another consumer has the message, and the program gets a warning."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.engines.contract.groups import Settlement
from telex.engines.memory.groups import MemoryGroups
from tests.support.internals import engine_of, groups_of
from tests.support.loops import idle
from tests.support.shell import Clock
from tests.support.shifting import set_time
from tests.unit.groups.parts import Telling, accounts, settled, telling, watched


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/shop.db"


async def steal(hub: telex.Hub) -> None:
    """Lease the message to another consumer, after the end of its lease."""
    engine, groups, later = engine_of(hub), groups_of(hub), engine_of(hub).now() + 3600
    if isinstance(groups, Telling) and isinstance(groups.inner, MemoryGroups):
        groups.inner.clock = lambda: later
    else:
        set_time(engine, later)
    (delivery,) = (await groups.fetch("billing", "orders", 1, 60, "another", 0.0)).deliveries
    assert delivery.attempt == 2


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "lease" in record.getMessage()]


@pytest.mark.parametrize("ending", ["ack", "nack", "reject", "by hand"])
async def test_a_settlement_after_the_end_of_its_lease_is_logged_and_counted(
    url: str, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    hub = telling(url)
    groups: Any = groups_of(hub)

    @hub.on("orders", group="billing")
    async def bill(context: telex.Context[int]) -> None:
        await steal(hub)
        if ending == "nack":
            raise telex.Nack
        if ending == "reject":
            raise telex.Reject("no such customer")
        if ending == "by hand":
            assert not await context.ack()

    async with hub:
        groups.changed.clear()
        message = await hub.topic("orders").publish(1)
        async with asyncio.timeout(10):
            while not accounts(hub).lapsed:
                await groups.changed.wait()
                groups.changed.clear()
                await idle()
        assert accounts(hub).lapsed == 1
    (text,) = warnings(caplog)
    assert f"settled message {message.id} of orders, group billing, too late" in text


async def test_a_settlement_that_wins_is_neither_logged_nor_counted(url: str, caplog: pytest.LogCaptureFixture) -> None:
    hub = telling(url)

    @hub.on("orders", group="billing")
    async def bill(order: int) -> None:
        pass

    async with hub:
        await hub.topic("orders").publish(1)
        await settled(hub)
        assert (accounts(hub).handled, accounts(hub).lapsed) == (1, 0)
    assert warnings(caplog) == []


async def test_a_call_that_returns_although_it_was_cancelled_is_counted_once(
    clock: Callable[[], Clock], caplog: pytest.LogCaptureFixture
) -> None:
    moved, (hub, groups) = clock(), watched()

    @hub.on("x", group="g", lease="4s")
    async def handle(content: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return  # a library below the handler swallows it

    async with hub:
        await hub.topic("x").publish("long")
        await idle()
        now = groups.clock
        groups.clock = lambda: now() + 5
        (delivery,) = (await MemoryGroups.fetch(groups, "g", "x", 1, 1000, "thief", 0.0)).deliveries
        groups.clock = now
        await moved.forward(2.1)
        await idle()
        assert groups.actions()[-1] == ["ack"], "the call returned, and its settlement did not win"
        assert accounts(hub).lapsed == 1
        assert len(warnings(caplog)) == 1
        settlement = Settlement(delivery.position, delivery.token, "ack")
        assert await MemoryGroups.settle(groups, "g", "x", [settlement]) == [True]
