"""Delayed messages of topics in this process."""

import asyncio
import logging
from typing import Any

import pytest

import telex
from telex.message import Draft, Message
from telex.testing.clock import BEGIN, VirtualClock
from telex.testing.conformance.rig import message
from telex.topics.delayed import MAX_WAIT_SECONDS, DelayedMessages

BEGUN = BEGIN.timestamp()


class Published(list[object]):
    """The contents of published messages."""

    def __call__(self, draft: Draft) -> Message[Any]:
        if draft.content == "bad":
            raise telex.BufferFull("t", 1)
        self.append(draft.content)
        return draft.numbered(len(self), 0)


def test_delayed_messages_are_published_in_the_order_of_their_times() -> None:
    clock, published = VirtualClock(), Published()

    async def main() -> None:
        delayed = DelayedMessages(published, clock)
        for wait in (30, 10, 20, 10):
            made = delayed.put(message("t", wait), BEGUN + wait)
            assert (made.content, made.seq) == (wait, 0)
            assert made.id
        assert published == []
        for seconds, expected in ((10, [10, 10]), (10, [10, 10, 20]), (10, [10, 10, 20, 30])):
            await asyncio.sleep(seconds + 0.001)
            assert published == expected

    clock.run(main())


async def test_a_message_that_is_due_is_published_at_once() -> None:
    published = Published()
    assert DelayedMessages(published, lambda: BEGUN).put(message("t", 1), BEGUN).seq == 1
    assert published == [1]


def test_a_clock_that_was_set_forward_is_noticed_within_the_hour() -> None:
    clock, ahead, published = VirtualClock(), [0.0], Published()

    async def main() -> None:
        delayed = DelayedMessages(published, lambda: clock() + ahead[0])
        delayed.put(message("t", 1), BEGUN + 10 * MAX_WAIT_SECONDS)
        ahead[0] = 10 * MAX_WAIT_SECONDS
        await asyncio.sleep(MAX_WAIT_SECONDS + 1)
        assert published == [1]

    clock.run(main())


def test_a_message_that_cannot_be_published_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    clock, published = VirtualClock(), Published()

    async def main() -> None:
        delayed = DelayedMessages(published, clock)
        for content in ("bad", "good"):
            delayed.put(message("t", content), BEGUN + 5)
        with caplog.at_level(logging.ERROR, "telex"):
            await asyncio.sleep(6)
        assert published == ["good"]

    clock.run(main())
    assert "is due and cannot be published" in caplog.text


def test_closing_discards_delayed_messages() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with telex.Hub("memory://", clock=clock) as hub:
            topic = hub.topic("t")
            await topic.publish(1, delay=5)
        await asyncio.sleep(10)
        assert topic.statistics().published == 0

    clock.run(main())


@pytest.mark.parametrize("count", [40, 200])
def test_a_cancelled_message_is_not_published_and_its_id_may_wait_again(count: int) -> None:
    clock, published = VirtualClock(), Published()

    async def main() -> None:
        delayed = DelayedMessages(published, clock)
        for number in range(count):
            delayed.put(message("t", number, id=str(number)), BEGUN + 10)
        delayed.put(message("t", "twice", id="7"), BEGUN + 5)
        assert not delayed.cancel("other", "7")
        for number in range(count - 1):
            assert delayed.cancel("t", str(number))
            assert not delayed.cancel("t", str(number))
        delayed.put(message("t", "again", id="7"), BEGUN + 20)
        await asyncio.sleep(10.001)
        assert published == [count - 1]
        await asyncio.sleep(10.001)
        assert published == [count - 1, "again"]
        assert not delayed.cancel("t", "7")

    clock.run(main())
