"""Handlers of batches: when a batch begins, and how its messages are settled."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import telex
from telex.middleware import Next
from tests.support.loops import idle, until
from tests.support.pretend import PretendEngine, Server
from tests.support.shell import Clock
from tests.unit.groups.parts import QUICK, accounts, info, settled, telling


@dataclass
class Sale:
    number: int


async def test_a_full_batch_is_handled_at_once_and_acknowledged_together() -> None:
    hub, seen = telex.Hub("memory://"), []

    @hub.on("sales", group="g", batch=3, within="1h")
    async def store(numbers: list[int]) -> None:
        seen.append(numbers)

    async with hub:
        for number in range(7):
            await hub.topic("sales").publish(number)
        await idle()
        assert seen == [[0, 1, 2], [3, 4, 5]]
        assert (accounts(hub).handled, (await info(hub)).lag) == (6, 1)


async def test_a_batch_that_is_not_full_is_handled_within_the_time_after_its_first(
    clock: Callable[[], Clock],
) -> None:
    moved, hub, seen = clock(), telex.Hub("memory://"), []

    @hub.on("sales", group="g", batch=10, within="2s")
    async def store(numbers: list[int]) -> None:
        seen.append(numbers)

    async with hub:
        await hub.topic("sales").publish(1)
        await moved.forward(1.5)
        await hub.topic("sales").publish(2)
        await moved.forward(0.4)
        assert seen == []
        await moved.forward(0.2)
        assert seen == [[1, 2]]
        await hub.topic("sales").publish(3)
        await moved.forward(1.9)
        assert seen == [[1, 2]]
        await moved.forward(0.2)
        assert seen == [[1, 2], [3]]


async def test_all_messages_of_a_batch_are_retried_when_it_raises(caplog: pytest.LogCaptureFixture) -> None:
    hub, seen = telex.Hub("memory://"), []

    @hub.on("sales", group="g", batch=2, within="1h", retry=QUICK)
    async def store(messages: list[telex.Message[int]]) -> None:
        seen.append([message.content for message in messages])
        raise ValueError("always")

    async with hub, hub.topic("dead:g").subscribe() as dead:
        for number in range(2):
            await hub.topic("sales").publish(number)
        await idle()
        assert seen == [[0, 1], [0, 1]]
        assert [(await dead.receive()).content for _ in range(2)] == [0, 1]
        found = accounts(hub)
        assert (found.handled, found.failed, found.retried, found.dead, found.lag) == (0, 4, 2, 2, 0)
        assert "raised for 2 messages of sales" in caplog.text


async def test_a_batch_settles_single_messages_by_hand() -> None:
    hub, seen = telex.Hub("memory://"), []

    @hub.on("sales", group="g", batch=4, within="20ms", retry=QUICK)
    async def store(numbers: list[int], context: telex.BatchContext[int]) -> None:
        seen.append([(message.content, context.attempt(message)) for message in context.messages])
        if len(numbers) < 4:
            return
        first, second, third, _ = context.messages
        assert (context.group, repr(context)) == ("g", "<BatchContext of 4 messages, group 'g'>")
        assert await context.ack(first) is True
        assert await context.ack(first) is False
        assert await context.nack(second) is True
        assert await context.reject(third, "no price") is True
        with pytest.raises(telex.BadOption, match=r"one of context\.messages"):
            await context.ack(telex.Message.new(1))
        raise telex.Nack

    async with hub:
        for number in range(4):
            await hub.topic("sales").publish(number)
        await hub.idle()
        assert seen[0] == [(0, 1), (1, 1), (2, 1), (3, 1)]
        assert sorted(each for batch in seen[1:] for each in batch) == [(1, 2), (3, 2)]
        (letter,) = await hub.groups.dead()
        assert (letter.message.content, letter.reason) == (2, "no price")
        assert (accounts(hub).handled, accounts(hub).retried, accounts(hub).dead) == (3, 2, 1)
        assert (await info(hub)).lag == 0


async def test_a_batch_has_one_message_of_each_key_in_the_order_of_publishing() -> None:
    hub, seen = telex.Hub("memory://"), []

    @hub.on("sales", group="g", batch=10, within=0, concurrency=3)
    async def store(messages: list[telex.Message[int]]) -> None:
        seen.append([(message.key, message.content) for message in messages])
        await asyncio.sleep(0)

    async with hub:
        for number in range(9):
            await hub.topic("sales").publish(number, key="abc"[number % 3])
        await idle()
        for batch in seen:
            assert len({key for key, _ in batch}) == len(batch)
        for key in "abc":
            found = [number for batch in seen for each, number in batch if each == key]
            assert found == sorted(found)
            assert len(found) == 3


async def test_a_message_that_does_not_fit_is_a_dead_letter_and_the_others_are_a_batch() -> None:
    hub, seen = telex.Hub(PretendEngine(Server())), []

    @hub.on("sales", group="g", batch=3, within="1h")
    async def store(sales: list[Sale]) -> None:
        seen.append(sales)

    async with hub:
        for content in ({"number": 1}, {"number": "x"}, {"number": 3}):
            await hub.topic("sales").publish(content)
        await idle()
        assert seen == [[Sale(1), Sale(3)]]
        (letter,) = await hub.groups.dead()
        assert letter.message.content == {"number": "x"}
        assert (await info(hub)).lag == 0


async def test_a_batch_goes_through_threads_types_and_middleware() -> None:
    calls = []

    def logged(next: Next) -> Next:
        async def step(message: telex.Message[Any]) -> object:
            if isinstance(message.content, list):
                calls.append([each.content for each in message.content])
            return await next(message)

        return step

    hub, numbers, texts = telling("memory://", middleware=[logged]), [], []

    @hub.on("sales", int, group="billing", batch=2, within="1h")
    def store(found: list[int]) -> None:
        numbers.append(found)

    @hub.on("sales", str, group="billing")
    async def other(text: str) -> None:
        texts.append(text)

    async with hub:
        for content in (1, "a", 2):
            await hub.topic("sales").publish(content)
        await settled(hub)
        assert (numbers, texts) == ([[1, 2]], ["a"])
        assert calls == [[1, 2]]


async def test_a_closing_hub_returns_the_messages_of_a_batch_that_is_not_full() -> None:
    server = Server()
    hub = telex.Hub(PretendEngine(server))

    @hub.on("sales", group="g", batch=3, within="1h")
    async def store(numbers: list[int]) -> None:
        raise AssertionError("it is not full")

    async with hub:
        await hub.topic("sales").publish(1)
        await idle()
        assert (await info(hub)).leased == 1
    async with telex.Hub(PretendEngine(server)) as other:
        found = await info(other)
        assert (found.leased, found.lag) == (0, 1)


async def test_a_message_whose_lease_is_lost_leaves_its_batch() -> None:
    hub, began, go = telex.Hub("memory://"), asyncio.Event(), asyncio.Event()
    lost = []

    @hub.on("sales", group="g", batch=2, within="1h", lease=0.1)
    async def store(numbers: list[int], context: telex.BatchContext[int]) -> None:
        began.set()
        await go.wait()
        lost.append(context.lease_lost)

    async with hub:
        for number in range(2):
            await hub.topic("sales").publish(number)
        await began.wait()
        await hub.groups.forget("g", "sales")
        await until(lambda: bool(accounts(hub).lapsed))
        assert (accounts(hub).lapsed, accounts(hub).handled, lost) == (2, 0, [])
