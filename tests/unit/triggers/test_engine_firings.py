"""Functions of triggers on a file: each is called, in one of the programs."""

import asyncio

import pytest

import telex
from tests.unit.triggers.parts import programs


@pytest.mark.slow
async def test_each_function_of_a_trigger_is_called(url: str) -> None:
    called: dict[str, asyncio.Event] = {"one": asyncio.Event(), "other": asyncio.Event()}

    def declare(hub: telex.Hub) -> None:
        trigger = hub.after("50ms", topic="soon")

        @trigger
        async def one() -> None:
            called["one"].set()

        @trigger
        async def other() -> None:
            called["other"].set()

    async with programs(url, 2, declare), asyncio.timeout(20):
        await called["one"].wait()
        await called["other"].wait()


@pytest.mark.slow
async def test_its_function_is_called_in_one_of_them(url: str) -> None:
    heard: list[int] = []
    done = asyncio.Event()

    def declare(hub: telex.Hub) -> None:
        @hub.when(hub.variable("count", 0) >= 1, name="first", run_in="loop")
        def first(firing: telex.Firing) -> None:
            heard.append(firing.number)
            done.set()

    async with programs(url, 3, declare) as hubs:
        await hubs[2].variable("count", 0).set(1)
        async with asyncio.timeout(20):
            await done.wait()
    assert heard == [1]
