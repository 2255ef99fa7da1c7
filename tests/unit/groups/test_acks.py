"""Settlements are sent in batches, nobody waits in vain for an answer, and one that comes too late is logged."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.engines.contract.groups import Delivery, Settlement
from telex.engines.memory.groups import MemoryGroups
from telex.groups.acks import AckBatcher, finished
from tests.support.internals import engine_of, groups_of
from tests.support.loops import idle
from tests.support.shell import Clock
from tests.support.shifting import set_time
from tests.unit.groups.parts import Telling, accounts, info, settled, telling, watched


async def test_deliveries_that_end_together_are_settled_together() -> None:
    hub, groups = watched()
    go_on = asyncio.Event()

    @hub.on("x", group="g", concurrency=8)
    async def handle(content: int) -> None:
        await go_on.wait()

    async with hub:
        for content in range(8):
            await hub.topic("x").publish(content)
        await idle()
        await idle()
        assert (await info(hub)).leased == 8
        go_on.set()
        await idle()
        assert groups.actions() == [["ack"] * 8]


class Engine:
    """The groups of an engine that settles a batch when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[Settlement]] = []
        self.gate = asyncio.Event()
        self.error: BaseException | None = None
        self.won = True

    async def settle(self, group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        assert (group, pattern) == ("g", "a:*")
        self.batches.append(list(settlements))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [self.won] * len(settlements)


def batcher(engine: Engine, told: list[int] | None = None) -> AckBatcher:
    groups: Any = engine
    return AckBatcher(groups, "g", "a:*", lambda: None if told is None else told.append(1), lambda late: None)


def delivery(position: int) -> Delivery:
    return Delivery(telex.Message.new(position), position, 1, 100 + position)


async def test_settlements_wait_for_the_batch_before_them() -> None:
    engine, told = Engine(), list[int]()
    acks = batcher(engine, told)
    acks.put(delivery(1), "ack")
    await idle()
    answers = [acks.ask(delivery(2), "nack", 5.0, "later"), acks.ask(delivery(3), "extend", 9.0)]
    await idle()
    assert len(engine.batches) == 1
    assert acks.pending == 3
    engine.gate.set()
    assert [await answer for answer in answers] == [True, True]
    await acks.finish()
    assert engine.batches == [
        [Settlement(1, 101, "ack")],
        [Settlement(2, 102, "nack", 5.0, "later"), Settlement(3, 103, "extend", 9.0)],
    ]
    assert acks.pending == 0
    assert len(told) >= 2
    await acks.finish()


async def test_a_settlement_that_did_not_win_is_answered_so() -> None:
    engine = Engine()
    engine.won = False
    engine.gate.set()
    acks = batcher(engine)
    assert await acks.ask(delivery(1), "ack") is False
    await acks.finish()


async def test_an_error_of_the_engine_is_answered_and_the_next_batch_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Engine()
    engine.error = telex.EngineFailed("settling", "the disk is gone")
    engine.gate.set()
    acks = batcher(engine)
    acks.put(delivery(1), "ack")
    with pytest.raises(telex.EngineFailed):
        await acks.ask(delivery(2), "ack")
    assert "could not settle 2 messages" in caplog.text
    engine.error = None
    assert await acks.ask(delivery(3), "ack")
    await acks.finish()
    assert acks.pending == 0


async def test_a_caller_that_stops_waiting_stops_no_settlement() -> None:
    engine = Engine()
    acks = batcher(engine)
    first, second = acks.ask(delivery(1), "ack"), acks.ask(delivery(2), "ack")
    await idle()
    first.cancel()
    engine.gate.set()
    assert await second
    await acks.finish()
    assert len(engine.batches) == 1


async def test_a_batch_whose_task_is_cancelled_is_answered_and_later_ones_are_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Engine()
    acks = batcher(engine)
    first = acks.ask(delivery(1), "ack")
    await idle()
    second = acks.ask(delivery(2), "ack")
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "telex settles g"]
    task.cancel()
    engine.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second
    await acks.finish()
    assert "was interrupted while settling messages" in caplog.text


async def test_any_reason_is_sent_as_text() -> None:
    engine = Engine()
    engine.gate.set()
    acks = batcher(engine)
    await acks.ask(delivery(1), "reject", 0.0, "caf\udce9")
    assert engine.batches[0][0].reason == r"caf\udce9"
    await acks.finish()


async def test_a_wait_for_a_task_that_is_cancelled_ends_the_task() -> None:
    task = asyncio.create_task(asyncio.Event().wait())
    waiting: asyncio.Task[None] = asyncio.create_task(finished(task))  # type: ignore[arg-type]
    await idle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert task.cancelled()


# -- settlements after the end of their lease: another consumer has the message


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
