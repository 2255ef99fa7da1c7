"""Publishers: other tasks run beside one that publishes without end, and only the hub's own loop publishes."""

import asyncio

import pytest

import telex
from tests.support.pretend import PretendEngine, Server
from tests.support.shell import in_a_thread


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

    @hub.on("echo", run_in="loop")
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


async def test_a_second_loop_may_not_subscribe() -> None:
    async with telex.Hub() as hub:

        async def subscribe() -> None:
            async with hub.topic("a").subscribe():
                raise AssertionError("it was entered")

        with pytest.raises(telex.WrongThread, match="subscribe to 'a'"):
            await asyncio.to_thread(asyncio.run, subscribe())
        assert hub.topic("a").statistics().subscribers == 0


async def test_a_topic_is_published_to_in_the_loop_of_its_hub() -> None:
    async with telex.Hub(PretendEngine(Server())) as hub:
        topic = hub.topic("a")

        def publish() -> str:
            with pytest.raises(telex.WrongThread):
                topic.publish(1).send(None)
            return "refused"

        assert in_a_thread(publish) == "refused"
        assert (await topic.publish(1)).seq == 1
