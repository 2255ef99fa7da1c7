"""The recorder: the messages that a test published, and the calls that handled them."""

from typing import Any

import pytest

import telex
from telex.testing.recorder import Recorder


def recorded(max_published: int = 100) -> tuple[telex.Hub, Recorder]:
    recorder = Recorder(max_published)
    return telex.Hub(middleware=[recorder.middleware], lifespan=recorder.lifespan), recorder


async def test_messages_of_the_program_are_recorded_in_order_and_by_topic() -> None:
    hub, recorder = recorded()
    async with hub:
        for topic, content in (("a", 1), ("b", 2), ("a", 3)):
            await hub.topic(topic).publish(content)
        assert [message.content for message in recorder.published] == [1, 2, 3]
        await hub.topic("a").publish(4)
        assert recorder.contents("a") == [1, 3, 4]
        assert recorder.contents("unknown") == []
    assert len(recorder.published) == 4  # also after the hub is closed


async def test_every_attempt_of_a_call_is_recorded_with_its_error() -> None:
    hub, recorder = recorded()

    @hub.on("orders", group="mail", retry=telex.Retry(attempts=2, first=0))
    async def mail(number: int) -> None:
        if number < 0:
            raise ValueError(number)

    @hub.command("double", run_in="loop")
    def double(number: int) -> int:
        return 2 * number

    async with hub:
        for number in [1, -1]:
            await hub.topic("orders").publish(number)
        assert await hub.call("double", 2) == 4
        await hub.idle()
    orders = [each for each in recorder.handled if each.message.topic == "orders"]
    assert sorted(each.message.content for each in orders) == [-1, -1, 1]
    assert [repr(each.error) for each in recorder.failed] == ["ValueError(-1)"] * 2
    assert len(recorder.handled) == 4


def test_a_recorder_without_an_open_hub_has_nothing_published() -> None:
    with pytest.raises(telex.Misuse, match="the recorder has no open hub"):
        _: Any = Recorder().published


async def test_more_messages_than_are_recorded_are_an_error_and_no_silent_loss() -> None:
    hub, recorder = recorded(2)
    async with hub:
        for number in [1, 2, 3]:
            await hub.topic("a").publish(number)
        with pytest.raises(telex.Misuse, match="record more than 2 messages at once"):
            _: Any = recorder.published
