"""Settlements are sent in batches, and nobody waits in vain for an answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import telex
from telex.engines.contract.groups import Delivery, Settlement
from telex.groups.acks import AckBatcher, finished
from tests.support.loops import idle
from tests.unit.groups.parts import info, watched


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
