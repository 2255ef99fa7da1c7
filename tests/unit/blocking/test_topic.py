"""Topics and subscriptions without asyncio."""

import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from time import time

import pytest

import telex


def test_publish_and_receive() -> None:
    with telex.blocking.Hub("memory://", timeout=5) as hub:
        room = hub.topic("chatroom:1")
        with room.subscribe(timeout=5) as inbox:
            sent = room.publish("hello", id="one", headers={"from": "ann"})
            received = inbox.receive(timeout=5)
        assert received is sent
        assert (received.content, received.id, received.headers) == ("hello", "one", {"from": "ann"})
        assert hub.topics() == ["chatroom:1"]
        assert room.position().seq == room.statistics().published == 1


def test_iteration_takes_each_message_once_and_goes_on_when_the_topic_is_removed() -> None:
    with telex.blocking.Hub() as hub:
        topic = hub.topic("numbers")
        with topic.subscribe() as inbox:
            for number in range(1000):
                topic.publish(number)
            first = []
            for message in inbox:
                first.append(message.content)
                if message.content == 299:
                    break
            assert inbox.position.seq == 300  # not 512, where the hub's thread was asked to read on to
            one = inbox.receive(timeout=5).content
            hub.remove("numbers")
            topic.publish(1000)
            assert [*first, one, *[m.content for m in islice(inbox, 700)]] == list(range(1001))


def test_a_thread_that_waits_is_woken_by_another_one_that_publishes_and_by_closing() -> None:
    with telex.blocking.Hub() as hub:
        topic = hub.topic("numbers")
        inbox = topic.subscribe()
        inbox.__enter__()
        received: list[int] = []
        problems: list[Exception] = []
        took_two = threading.Event()

        def read() -> None:
            try:
                while True:
                    received.append(inbox.receive().content)
                    if len(received) == 2:
                        took_two.set()
            except telex.Closed as error:
                problems.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        topic.publish(1)
        topic.publish(2)
        assert took_two.wait(10)
        inbox.close()
        reader.join(10)
        assert received == [1, 2]
        assert len(problems) == 1


def test_timeouts_and_would_block() -> None:
    with telex.blocking.Hub() as hub, hub.topic("quiet").subscribe() as inbox:
        with pytest.raises(telex.WouldBlock):
            inbox.receive_nowait()
        with pytest.raises(telex.Timeout):
            inbox.receive(timeout=timedelta(milliseconds=1))
        assert inbox.lost == 0
        assert inbox.statistics().published == 0


@pytest.mark.parametrize(
    "take",
    [
        lambda inbox: [message.content for message in islice(inbox, 1)],
        lambda inbox: [inbox.receive(timeout=5).content],
        lambda inbox: [inbox.receive_nowait().content],
        lambda inbox: [message.content for message in inbox.receive_many(1)],
        lambda inbox: [message.content for message in inbox.receive_many_nowait(1)],
        lambda inbox: [message.content for message in next(inbox.batches(1))],
    ],
    ids=["loop", "receive", "receive_nowait", "receive_many", "receive_many_nowait", "batches"],
)
def test_a_message_that_expires_while_it_is_prefetched_is_left_out(
    take: Callable[[telex.blocking.Subscription[telex.Message[int]]], list[int]],
) -> None:
    ahead = [0.0]
    with telex.blocking.Hub(clock=lambda: time() + ahead[0]) as hub:
        topic = hub.topic("numbers", int)
        with topic.subscribe() as inbox:
            for number, ttl in enumerate((None, "10s", "10s", "1h")):
                topic.publish(number, ttl=ttl)
            assert next(iter(inbox)).content == 0  # the others are prefetched
            ahead[0] = 11.0
            assert take(inbox) == [3]
            found = inbox.statistics()
            assert (found.published, found.received, found.expired, found.lost) == (4, 2, 2, 0)
