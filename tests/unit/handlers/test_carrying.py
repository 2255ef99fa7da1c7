"""A handler whose messages get the trace context and correlation id of the handled message."""

import asyncio
from time import time
from typing import Any

import pytest

import telex
from telex.handlers.carrying import carrying
from telex.observe.headers import Carrier, carried
from tests.support.pretend import PretendEngine, Server


def switch() -> tuple[Carrier, list[bool]]:
    changed: list[bool] = []
    return Carrier(lambda: changed.append(True)), changed


async def test_the_headers_are_set_while_the_function_runs_and_no_longer() -> None:
    carrier, changed = switch()

    async def handler(message: telex.Message[int]) -> Any:
        return dict(carried.get() or {})

    message = telex.Message.new(1, headers={"correlation-id": "7", "color": "red"})
    assert await carrying(handler, carrier, time)(message) == {"correlation-id": "7"}
    assert carrying(lambda message: dict(carried.get() or {}), carrier, time)(message) == {"correlation-id": "7"}
    assert carried.get() is None
    assert (carrier.active, changed) == (True, [True])


def test_a_message_without_such_headers_switches_nothing_on() -> None:
    carrier, changed = switch()
    call = carrying(lambda message: carried.get(), carrier, time)
    assert call(telex.Message.new(1)) is call(telex.Message.new(1, headers={"color": "red"})) is None
    assert (carrier.active, changed) == (False, [])


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("group", [None, "g"])
async def test_a_handler_does_not_get_a_message_that_has_expired(stored: bool, group: str | None) -> None:
    ahead, go, seen = [0.0], asyncio.Event(), list[str]()
    hub = telex.Hub(PretendEngine(Server()) if stored else "memory://", clock=lambda: time() + ahead[0])

    @hub.on("x", group=group)
    async def handle(content: str) -> None:
        seen.append(content)
        if content == "first":
            await go.wait()

    async with hub:
        topic = hub.topic("x")
        for content, ttl in (("first", None), ("old", "10s"), ("young", "1h")):
            await topic.publish(content, headers={"color": "red"}, ttl=ttl)
        ahead[0] = 11.0
        go.set()
        await hub.idle()
        assert seen == ["first", "young"]
        (found,) = hub.statistics().handlers
        assert (found.handled, found.failed, found.expired, found.dead) == (2, 0, 1, 0)
        assert [info.lag for info in await hub.groups.list()] == ([] if group is None else [0])


async def test_a_handler_does_not_get_an_expired_message_that_was_passed_on_with_its_headers() -> None:
    seen = []
    hub = telex.Hub()

    @hub.on("x")
    async def handle(content: str) -> None:
        seen.append(content)

    async with hub:
        await hub.topic("x").publish("old", headers={"telex-expires": "1000.0"})
        await hub.topic("x").publish("young")
        await hub.idle()
        assert (seen, hub.statistics().handlers[0].expired) == (["young"], 1)


async def test_a_batch_does_not_have_a_message_that_has_expired() -> None:
    ahead, seen = [0.0], list[list[int]]()
    hub = telex.Hub("memory://", clock=lambda: time() + ahead[0])

    @hub.on("x", group="g", batch=4, within="1h")
    async def handle(numbers: list[int]) -> None:
        seen.append(numbers)

    async with hub:
        for number in range(3):
            await hub.topic("x").publish(number, ttl=None if number else "10s")
        ahead[0] = 11.0
        await hub.topic("x").publish(3)
        await hub.idle()
        assert seen == [[1, 2, 3]]
        assert hub.statistics().handlers[0].expired == 1


async def test_a_dead_letter_does_not_expire_and_its_message_is_not_retried_later() -> None:
    ahead, seen = [0.0], list[int]()
    hub = telex.Hub("memory://", clock=lambda: time() + ahead[0])

    @hub.on("x", group="g")
    async def handle(number: int) -> None:
        seen.append(number)
        raise telex.Reject("no")

    async with hub:
        sent = await hub.topic("x").publish(1, ttl="10s")
        assert sent.expires is not None
        assert 9 < sent.expires.timestamp() - time() <= 10
        await hub.idle()
        ahead[0] = 11.0
        (copy,) = [message async for message in hub.topic("dead:g").history()]
        assert (copy.content, copy.expires) == (1, None)
        (letter,) = await hub.groups.dead()
        assert await hub.groups.retry(letter)
        await hub.idle()
        assert (seen, hub.statistics().handlers[0].expired) == ([1], 1)
        assert telex.Message.new(1, headers={"telex-expires": "soon"}).expires is None


async def test_the_time_of_a_delayed_message_counts_from_its_publishing() -> None:
    async with telex.Hub("memory://") as hub:
        sent = await hub.topic("x").publish(1, delay="1h", ttl="10s")
        assert sent.expires is not None
        assert 3609 < sent.expires.timestamp() - time() <= 3610


@pytest.mark.parametrize(("ttl", "problem"), [(0, "above 0"), (-1, "ttl"), ("10 parsecs", "ttl"), (1e12, "year 10000")])
async def test_a_time_to_live_of_no_length_is_refused(ttl: Any, problem: str) -> None:
    async with telex.Hub("memory://") as hub:
        with pytest.raises(telex.BadOption, match=problem):
            await hub.topic("x").publish(1, ttl=ttl)
