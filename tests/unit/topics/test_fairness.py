"""A program that publishes without end still lets its other tasks run."""

import asyncio

import pytest

import telex


@pytest.mark.every_loop
async def test_a_loop_that_publishes_lets_a_reader_read() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("numbers")
        received: list[int] = []

        async def read() -> None:
            async with topic.subscribe(buffer=128) as inbox:
                ready.set()
                received.extend([message.content async for message in inbox])

        ready = asyncio.Event()
        reader = asyncio.create_task(read())
        await ready.wait()
        for number in range(5000):
            await topic.publish(number)
        await hub.aclose()
        await reader
    assert received == list(range(5000))


@pytest.mark.every_loop
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_handler_that_answers_itself_does_not_stop_the_program(concurrency: int) -> None:
    hub, count, enough = telex.Hub(close_timeout=0), 0, asyncio.Event()

    @hub.on("echo", concurrency=concurrency)
    async def echo(content: object, hub: telex.Hub) -> None:
        nonlocal count
        count += 1
        if count == 1000:
            enough.set()
        await hub.topic("echo").publish(content)

    async with hub:
        await hub.topic("echo").publish("hello")
        await enough.wait()
    assert count >= 1000


async def test_nor_does_one_that_never_waits() -> None:
    hub, count, enough = telex.Hub(close_timeout=0), 0, asyncio.Event()

    @hub.on("echo")
    def echo(content: object, hub: telex.Hub) -> None:
        nonlocal count
        count += 1
        if count == 1000:
            enough.set()
        hub.topic("echo").publish_nowait(content)

    async with hub:
        await hub.topic("echo").publish("hello")
        await enough.wait()
    assert count >= 1000


async def test_a_publisher_that_is_cancelled_where_it_gives_way_has_published_nothing() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("numbers")
        for number in range(63):
            topic.publish_nowait(number)
        publisher = asyncio.create_task(topic.publish("never"))
        await asyncio.sleep(0)
        publisher.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publisher
        assert topic.statistics().published == 63


async def test_publishing_threadsafe_in_the_hub_s_own_thread_is_done_at_once() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("numbers")
        assert topic.publish_threadsafe(1).result(timeout=0).content == 1
        async with topic.subscribe(overflow="block", buffer=1):
            topic.publish_nowait(2)
            with pytest.raises(telex.WouldBlock):
                topic.publish_threadsafe(3).result(timeout=0)
