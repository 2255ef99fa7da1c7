"""The counts of a handler at one moment, for handlers with and without a group."""

import asyncio

import pytest

import telex
from tests.support.loops import until


async def test_the_state_follows_the_calls_of_a_handler() -> None:
    hub, held = telex.Hub(), asyncio.Event()

    @hub.on("a", buffer=2)
    async def slow(content: int) -> None:
        if content == 3:
            raise ValueError("mine")
        await held.wait()

    def now() -> telex.HandlerStatistics:
        (found,) = hub.statistics().handlers
        return found

    async with hub:
        first = now()
        assert (first.name.rpartition(".")[2], first.pattern, first.group, first.state) == ("slow", "a", None, "idle")
        await hub.topic("a").publish(1)
        await until(lambda: now().state == "running")
        for number in (2, 3, 4):
            await hub.topic("a").publish(number)
        found = now()
        assert (found.handled, found.failed, found.waiting, found.lost) == (0, 0, 2, 1)
        held.set()
        await until(lambda: now().state == "idle")
        found = now()
        assert (found.handled, found.failed, found.waiting, found.lost) == (2, 1, 0, 1)
    assert now().state == "stopped"


async def test_a_group_counts_what_its_deliveries_came_to() -> None:
    hub = telex.Hub()

    @hub.on("a", group="g", retry=telex.Retry(attempts=2, first=0, jitter=0))
    async def handler(content: int) -> None:
        if content == 1:
            raise ValueError("mine")

    async with hub:
        for number in range(3):
            await hub.topic("a").publish(number)

        def now() -> telex.HandlerStatistics:
            return hub.statistics().handlers[0]

        await until(lambda: now().dead == 1 and now().handled == 2)
        found = now()
        assert (found.group, found.failed, found.retried, found.lapsed) == ("g", 2, 1, 0)


def test_statistics_are_a_value() -> None:
    found = telex.HandlerStatistics("name", "a:*", 1, 2, 3, 4)
    assert found == telex.HandlerStatistics("name", "a:*", 1, 2, 3, 4, state="idle")
    assert (found.group, found.lag, found.retried, found.dead, found.lapsed) == (None, 0, 0, 0, 0)
    with pytest.raises(AttributeError):
        found.handled = 5  # type: ignore[misc]
