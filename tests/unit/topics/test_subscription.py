"""``async for`` over what several read together: what an iterator does that is not in a loop of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from time import time
from typing import Any

import pytest

import telex
from tests.support.loops import idle
from tests.support.pretend import PretendEngine, Server

pytestmark = pytest.mark.every_loop


async def count(inbox: telex.Subscription[int], got: list[int]) -> None:
    async for message in inbox:
        got.append(message.content)  # noqa: PERF401  # each as it comes


@asynccontextmanager
async def readers(number: int) -> AsyncIterator[tuple[telex.Topic[int], telex.Subscription[int]]]:
    """A topic that so many others read, and one more subscription to it, which nobody reads yet."""
    async with AsyncExitStack() as exits:
        hub = await exits.enter_async_context(telex.Hub("memory://"))
        topic: telex.Topic[int] = hub.topic("a", int)
        group = await exits.enter_async_context(asyncio.TaskGroup())
        for _ in range(number):
            group.create_task(count(await exits.enter_async_context(topic.subscribe()), []))
        await idle()
        yield topic, await exits.enter_async_context(topic.subscribe())


async def burst(topic: telex.Topic[int], *contents: int) -> None:
    for content in contents:
        topic.publish_nowait(content)
    await idle()


async def test_a_waiting_task_takes_the_next_run_and_waits_again() -> None:
    async with readers(3) as (topic, inbox):
        got: list[int] = []
        task = asyncio.create_task(count(inbox, got))
        await idle()
        for first in (1, 4, 7):
            await burst(topic, first, first + 1, first + 2)
            assert inbox.statistics().received == first + 2
        await burst(topic, 10)
        assert got == [*range(1, 11)]
        await inbox.aclose()
        await task


async def test_a_cancelled_wait_ends_the_iterator_and_the_next_loop_goes_on() -> None:
    async with readers(3) as (topic, inbox):
        steps = aiter(inbox)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(steps), 0.001)
        with pytest.raises(StopAsyncIteration):
            await anext(steps)
        await burst(topic, 1, 2)
        assert [(await anext(aiter(inbox))).content for _ in range(2)] == [1, 2]


async def test_a_second_task_is_refused_while_one_waits() -> None:
    async with readers(3) as (topic, inbox):
        steps = aiter(inbox)
        first = asyncio.ensure_future(anext(steps))
        await idle()
        with pytest.raises(telex.Misuse, match="another task"):
            aiter(inbox)
        with pytest.raises(RuntimeError):
            await anext(steps)
        await burst(topic, 1, 2)
        assert (await first).content == 1


async def test_closed_in_the_middle_of_a_run_it_is_at_its_end() -> None:
    async with readers(3) as (topic, inbox):
        steps = aiter(inbox)
        first = asyncio.ensure_future(anext(steps))
        await burst(topic, 1, 2, 3)
        await first
        await inbox.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(steps)
        statistics = inbox.statistics()
        assert (statistics.received, statistics.waiting, statistics.lost) == (1, 2, 0)


class Later:
    """A clock that the test puts ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time() + self.ahead


def some_hub(stored: bool, clock: Later) -> telex.Hub:
    return telex.Hub(PretendEngine(Server()) if stored else "memory://", clock=clock)


async def publish_with_ttl(topic: telex.Topic[int], ttls: dict[int, str | None]) -> None:
    for number, ttl in ttls.items():
        await topic.publish(number, ttl=ttl)


OLD = {1: "10s", 2: None, 3: "10s", 4: "10s", 5: "1h", 6: None, 7: "10s"}


async def by_loop(inbox: telex.Subscription[int]) -> list[int]:
    return [message.content async for message in inbox]


async def by_receive(inbox: telex.Subscription[int]) -> list[int]:
    return [(await inbox.receive()).content for _ in range(3)]


async def by_receive_nowait(inbox: telex.Subscription[int]) -> list[int]:
    return [inbox.receive_nowait().content for _ in range(3)]


async def by_receive_many(inbox: telex.Subscription[int]) -> list[int]:
    found: list[int] = []
    while len(found) < 3:
        found += [message.content for message in await inbox.receive_many()]
    return found


async def by_batches(inbox: telex.Subscription[int]) -> list[int]:
    return [message.content async for batch in inbox.batches() for message in batch]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("take", [by_loop, by_receive, by_receive_nowait, by_receive_many, by_batches])
@pytest.mark.parametrize("overflow", ["drop_newest", "block", "catch_up"])
async def test_an_expired_message_is_left_out_and_counted_by_every_way_of_taking(
    stored: bool, take: Callable[[Any], Awaitable[list[int]]], overflow: Any
) -> None:
    clock = Later()
    async with some_hub(stored, clock) as hub:
        topic = hub.topic("x", int)
        async with topic.subscribe(overflow=overflow, report_lost=True) as inbox:
            await publish_with_ttl(topic, OLD)
            clock.ahead = 11.0
            taking = asyncio.ensure_future(take(inbox))
            await idle()
            await inbox.aclose()
            assert await taking == [2, 5, 6]
            found = inbox.statistics()
            assert (found.published, found.received, found.lost) == (7, 3, 0)
            assert found.expired + found.waiting == 4
            assert found.expired >= 3, "the last one is passed over only by those that look for one more"


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("pattern", ["x", "*"])
async def test_a_subscriber_that_begins_earlier_gets_no_expired_message(stored: bool, pattern: str) -> None:
    clock = Later()
    async with some_hub(stored, clock) as hub:
        topic = hub.topic("x", int)
        await publish_with_ttl(topic, OLD)
        clock.ahead = 11.0
        async with hub.topic(pattern).subscribe(start="earliest", overflow="catch_up") as inbox:
            await topic.publish(8)
            assert [(await inbox.receive()).content for _ in range(4)] == [2, 5, 6, 8]
            assert inbox.statistics().expired == 4


async def test_a_loop_leaves_out_messages_that_expire_while_it_runs() -> None:
    clock = Later()
    async with some_hub(False, clock) as hub, hub.topic("x", int).subscribe() as inbox:
        await publish_with_ttl(hub.topic("x", int), {1: None, 2: "10s", 3: "20s", 4: None})
        got: list[int] = []
        async for message in inbox:
            got.append(message.content)
            clock.ahead = 11.0
            if message.content == 4:
                break
        assert got == [1, 3, 4]


async def test_a_reader_that_ran_before_the_first_message_that_expires_checks_it_too() -> None:
    clock = Later()
    async with some_hub(False, clock) as hub, hub.topic("x", int).subscribe() as inbox:
        topic = hub.topic("x", int)
        for number in range(3):
            topic.publish_nowait(number)
        loop = aiter(inbox)
        assert (await anext(loop)).content == 0
        await topic.publish(3, ttl="10s")
        topic.publish_nowait(4)
        clock.ahead = 11.0
        assert [(await anext(loop)).content for _ in range(3)] == [1, 2, 4]
        await topic.publish(5, ttl="10s")
        clock.ahead = 22.0
        with pytest.raises(telex.WouldBlock):
            inbox.receive_nowait()
        assert inbox.statistics().expired == 2


async def test_a_batch_is_not_empty_when_its_first_message_expires_while_it_is_taken() -> None:
    times, start = [0.0], time()
    hub = telex.Hub(clock=lambda: start + (times.pop(0) if len(times) > 1 else times[0]))
    async with hub, hub.topic("x", int).subscribe() as inbox:
        await publish_with_ttl(hub.topic("x", int), {1: "10s", 2: None})
        times[:] = [9.0, 11.0]
        assert [message.content for message in inbox.receive_many_nowait()] == [1, 2]


async def test_a_hole_before_an_expired_message_is_reported_without_that_message() -> None:
    clock = Later()
    async with some_hub(False, clock) as hub:
        topic = hub.topic("x", int)
        async with topic.subscribe(buffer=2, overflow="drop_oldest", report_lost=True) as inbox:
            await publish_with_ttl(topic, {1: None, 2: None, 3: "10s", 4: None})
            clock.ahead = 11.0
            assert await inbox.receive() == telex.Lost(2, 1, 2, "overflow")
            message = await inbox.receive()
            assert isinstance(message, telex.Message)
            assert message.content == 4
            found = inbox.statistics()
            assert (found.received, found.lost, found.expired, found.waiting) == (1, 2, 1, 0)


async def test_the_counts_of_expired_messages_outlive_a_removed_topic() -> None:
    clock = Later()
    async with some_hub(False, clock) as hub:
        topic = hub.topic("x", int)
        async with topic.subscribe() as inbox:
            await publish_with_ttl(topic, {1: "10s", 2: None})
            await hub.remove("x")
            clock.ahead = 11.0
            assert (await inbox.receive()).content == 2
            await publish_with_ttl(topic, {3: "1s", 4: None})
            clock.ahead = 22.0
            assert (await inbox.receive()).content == 4
            assert inbox.statistics().expired == 2
