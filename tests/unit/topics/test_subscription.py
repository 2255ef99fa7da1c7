"""``async for`` over what several read together: what an iterator does that is not in a loop of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

import telex
from tests.support.loops import idle

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
