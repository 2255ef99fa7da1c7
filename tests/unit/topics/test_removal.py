"""A topic whose messages are removed goes on in another epoch: readers, groups and handlers, also on a file."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

import telex
from telex import Lost, Message
from tests.support.loops import idle, until


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/telex.db"


Inbox = telex.Subscription[Any] | telex.ReportingSubscription[Any]


def contents(items: tuple[Any, ...] | list[Any]) -> list[Any]:
    """The contents of messages; holes as they are."""
    return [item.content if isinstance(item, Message) else item for item in items]


async def taken(inbox: Inbox, count: int) -> list[Any]:
    return contents([await inbox.receive(timeout=5) for _ in range(count)])


def check_accounts(inbox: Inbox) -> None:
    counts = inbox.statistics()
    assert counts.published == counts.received + counts.lost + counts.waiting


async def test_a_publisher_that_waits_for_room_publishes_into_the_next_epoch(url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=2) as inbox:
            for content in (1, 2):
                await topic.publish(content)
            waiting = asyncio.create_task(topic.publish(3))
            await idle()
            assert not waiting.done()
            await hub.remove("a")
            assert (await waiting).seq == 1  # the buffer of the new epoch is empty
            assert await taken(inbox, 3) == [1, 2, 3]
            check_accounts(inbox)


async def test_block_holds_publishers_up_in_the_next_epoch_too(url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("a")
        async with topic.subscribe(overflow="block", buffer=1) as inbox:
            await topic.publish(1)
            await hub.remove("a")
            await topic.publish(2)
            waiting = asyncio.create_task(topic.publish(3))
            await idle()
            assert not waiting.done()
            assert await taken(inbox, 2) == [1, 2]
            await waiting
            assert await taken(inbox, 1) == [3]


async def test_latest_by_key_keeps_the_newest_of_each_key_in_each_epoch(url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("a")

        def key_of(message: Message[Any]) -> object:
            return message.content[0]

        async with topic.subscribe(overflow="latest", key=key_of, report_lost=True) as inbox:
            for content in ("a1", "b1", "a2"):
                await topic.publish(content)
            await hub.remove("a")
            for content in ("a3", "a4", "b2"):
                await topic.publish(content)
            items = await taken(inbox, 7)
            assert [item for item in items if not isinstance(item, Lost)] == ["b1", "a2", "a4", "b2"]
            assert [item.reason for item in items if isinstance(item, Lost)] == ["overflow", "epoch", "overflow"]
            counts = inbox.statistics()
            assert (counts.published, counts.received, counts.lost, counts.waiting) == (6, 4, 2, 0)


@pytest.mark.slow
async def test_messages_that_were_not_loaded_before_the_removal_are_lost(tmp_path: Path) -> None:
    async with telex.Hub(f"sqlite:///{tmp_path}/telex.db") as hub:
        topic = hub.topic("a")
        hub.retain("a", messages=5000)
        await asyncio.gather(*(topic.publish(content) for content in range(2500)))  # more than a process keeps
        async with topic.subscribe(start="earliest", overflow="catch_up", report_lost=True) as inbox:
            await hub.remove("a")
            await topic.publish("new")
            items: list[Any] = []
            while not items or items[-1] != "new":
                items += contents(await inbox.receive_many(timeout=5))
            holes = [item for item in items if isinstance(item, Lost)]
            assert {hole.reason for hole in holes} == {"epoch"}
            assert sum(hole.count for hole in holes) + len(items) - len(holes) == 2501
            assert holes[0].count > 0
            check_accounts(inbox)


async def test_a_reader_gets_the_messages_of_each_epoch_after_several_removals(url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("a")
        async with topic.subscribe(report_lost=True) as inbox, topic.subscribe() as other:
            reader = asyncio.create_task(taken(other, 4))
            for content in range(4):
                await topic.publish(content)
                await hub.remove("a")
            epoch = Lost(0, 1, 0, "epoch")
            assert await taken(inbox, 7) == [0, epoch, 1, epoch, 2, epoch, 3]
            assert await reader == [0, 1, 2, 3]
            assert inbox.lost == 0
            check_accounts(inbox)


async def test_a_reader_that_takes_nothing_holds_no_more_than_its_buffer_of_removed_epochs(url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("a")
        async with topic.subscribe(buffer=3, report_lost=True) as inbox:
            for content in range(20):
                await topic.publish(content)
                await hub.remove("a")
            await topic.publish("new")
            assert inbox.waiting == 4
            assert inbox.lost == 17
            check_accounts(inbox)
            epoch = Lost(0, 1, 0, "epoch")
            assert await taken(inbox, 7) == [0, epoch, 1, epoch, 2, Lost(17, 1, 0, "epoch"), "new"]
            check_accounts(inbox)


async def test_a_reader_that_reports_no_losses_counts_those_of_removed_epochs(url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("a")
        async with topic.subscribe(buffer=1) as inbox:
            for content in range(5):
                await topic.publish(content)
                await hub.remove("a")
            await topic.publish("new")
            assert await taken(inbox, 2) == [0, "new"]
            assert inbox.lost == 4
            check_accounts(inbox)


@pytest.mark.parametrize("way", ["receive", "iterate", "batches"])
async def test_a_reader_that_waits_goes_on(url: str, way: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("a")

        async def read(inbox: telex.Subscription[Any]) -> list[Any]:
            if way == "receive":
                return await taken(inbox, 2)
            found: list[Any] = []
            if way == "iterate":
                async for message in inbox:
                    found.append(message.content)
                    if len(found) == 2:
                        break
                return found
            async for batch in inbox.batches():
                found += contents(batch)
                if len(found) == 2:
                    break
            return found

        async with topic.subscribe() as inbox:
            reader = asyncio.create_task(read(inbox))
            await topic.publish(1)
            await idle()
            await hub.remove("a")
            await idle()
            position = await topic.position()
            await topic.publish(2)
            assert await reader == [1, 2]
            assert inbox.position == telex.Position(1, position.epoch)


async def test_a_reader_of_a_topic_that_is_removed_without_messages_keeps_its_position(url: str) -> None:
    async with telex.Hub(url) as hub:
        topic = hub.topic("a")
        async with topic.subscribe() as inbox:
            position = inbox.position
            assert await hub.remove("a")
            assert inbox.position == position
            await topic.publish(1)
            async with topic.subscribe(start=position, report_lost=True) as again:
                assert await taken(again, 1) == [1]
            assert await taken(inbox, 1) == [1]


async def test_a_group_gets_only_messages_of_the_next_epoch(url: str) -> None:
    async with telex.Hub(url) as hub:
        got: list[Any] = []
        begun, held = asyncio.Event(), asyncio.Event()

        @hub.on("a", group="g")
        async def work(content: Any) -> None:
            got.append(content)
            begun.set()
            await held.wait()

        await hub.topic("a").publish(1)
        await begun.wait()
        await hub.topic("a").publish(2)
        await hub.remove("a")
        for content in (3, 4):
            await hub.topic("a").publish(content)
        held.set()
        await until(lambda: 4 in got)
        assert got == [1, 3, 4]


async def test_a_handler_gets_the_messages_of_each_epoch(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with telex.Hub(url) as hub:
        got: list[Any] = []
        begun, held = asyncio.Event(), asyncio.Event()

        @hub.on("a")
        async def show(content: Any) -> None:
            got.append(content)
            begun.set()
            await held.wait()

        with caplog.at_level(logging.WARNING, "telex"):
            for content in range(4):
                await hub.topic("a").publish(content)
                await begun.wait()
                await hub.remove("a")
            held.set()
            await until(lambda: len(got) == 4)
        assert got == [0, 1, 2, 3]
        assert not [record for record in caplog.records if record.name.startswith("telex")]


async def test_a_pattern_goes_on_after_the_removal_of_a_topic(url: str) -> None:
    async with telex.Hub(url) as hub, hub.topic("a:*").subscribe(report_lost=True) as inbox:
        for content in (1, 2):
            await hub.topic("a:1").publish(content)
            await hub.remove("a:1")
        assert await taken(inbox, 2) == [1, 2]
