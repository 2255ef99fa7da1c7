"""Calls for the deliveries of a group: retries, their waits, errors, and settling by raising."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import telex
from telex.groups.executor import SPARE_ATTEMPTS
from telex.hub import runtime_of
from tests.support.loops import idle
from tests.support.shell import Clock
from tests.unit.groups.parts import QUICK, Order, accounts, info, settled, telling, watched


async def test_each_wait_is_longer_with_jitter(clock: Callable[[], Clock]) -> None:
    moved, hub, attempts = clock(), telex.Hub("memory://"), []
    runtime_of(hub).chance = lambda: 0.0

    @hub.on("x", group="g", retry=telex.Retry(attempts=4, first="2s", factor=3, most="10s", jitter=0.5))
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        raise ValueError("always")

    async with hub:
        await hub.topic("x").publish(1)
        # Half of 2, 6 and 10 seconds, as the chance is the least there is.
        for wait, expected in ((0, 1), (0.9, 1), (0.2, 2), (2.7, 2), (0.4, 3), (4.7, 3), (0.4, 4), (30, 4)):
            await moved.forward(wait)
            assert len(attempts) == expected
        (found,) = hub.statistics().handlers
        assert (found.failed, found.retried, found.dead, found.lag, found.group) == (4, 3, 1, 0, "g")
        assert attempts == [1, 2, 3, 4]


async def test_something_cancelled_within_a_handler_is_its_own_affair() -> None:
    hub, attempts = telex.Hub("memory://"), []

    @hub.on("x", group="g", retry=QUICK)
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        if context.attempt == 1:
            raise asyncio.CancelledError

    async with hub:
        await hub.topic("x").publish(1)
        await idle()
        assert attempts == [1, 2]
        assert (accounts(hub).handled, accounts(hub).failed) == (1, 1)


async def test_a_handler_that_cancels_its_own_task_gets_its_message_again() -> None:
    hub, attempts = telex.Hub("memory://"), []

    @hub.on("x", group="g", retry=QUICK)
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        task = asyncio.current_task()
        assert task is not None
        if context.attempt == 1:
            task.cancel()
        await asyncio.sleep(0)

    async with hub:
        for content in range(2):
            await hub.topic("x").publish(content)
        await idle()
        await idle()
        assert sorted(attempts) == [1, 1, 2, 2]
        assert (await info(hub)).lag == 0


async def test_a_delay_that_is_none_is_that_of_the_retry() -> None:
    hub, attempts = telex.Hub("memory://"), []

    @hub.on("x", group="g", retry=QUICK)
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        if context.attempt == 1:
            raise telex.Nack(delay="soon")

    async with hub:
        await hub.topic("x").publish(1)
        await idle()
        assert attempts == [1, 2]
        assert accounts(hub).failed == 1


async def test_a_delivery_that_was_never_seen_to_fail_is_dead_in_the_end() -> None:
    hub, groups = watched()
    calls = 0

    @hub.on("x", group="g", retry=QUICK, run_in="loop")
    def handle(content: int) -> None:
        nonlocal calls
        calls += 1

    async with hub:
        await idle()
        await hub.groups.pause("g")
        await hub.topic("x").publish(1)
        ledger = groups.ledgers["g", "x"]
        ledger.paused = False
        for moment in range(QUICK.attempts + SPARE_ATTEMPTS):  # members that are killed
            assert ledger.claim(1, 1, "m", moment).deliveries
        ledger.paused = True
        await hub.groups.resume("g")
        await idle()
        (letter,) = await hub.groups.dead()
        assert calls == 0
        assert "claimed 13 times and never settled" in letter.reason


async def test_a_handler_learns_that_the_engine_failed() -> None:
    hub, groups = watched()
    errors: list[Exception] = []

    @hub.on("x", group="g")
    async def handle(context: telex.Context[int]) -> None:
        groups.fail = 1
        try:
            await context.ack()
        except telex.EngineFailed as error:
            errors.append(error)

    async with hub:
        await hub.topic("x").publish(1)
        await idle()
        assert len(errors) == 1


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/groups.db"


async def test_settling_by_raising(url: str) -> None:
    hub = telling(url)
    seen: list[tuple[str, int]] = []

    @hub.on("orders", group="billing")
    async def bill(message: telex.Message[str], context: telex.Context[str]) -> None:
        seen.append((message.content, context.attempt))
        if message.content == "later" and context.attempt == 1:
            raise telex.Nack(delay=0)
        if message.content == "never":
            raise telex.Reject("no such customer")

    async with hub:
        for content in ("later", "never"):
            await hub.topic("orders").publish(content)
        found = await settled(hub)
        assert sorted(seen) == [("later", 1), ("later", 2), ("never", 1)]
        assert found.dead == 1
        assert [letter.reason for letter in await hub.groups.dead()] == ["no such customer"]


async def test_content_that_does_not_fit_the_annotation_is_dead_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "telex.handlers")
    hub = telling(f"sqlite:///{tmp_path}/typed.db")

    @hub.on("orders", group="billing", retry=telex.Retry(attempts=1))
    async def bill(context: telex.Context[Order]) -> None:
        raise AssertionError(f"it is given {context.message.content}")

    async with hub:
        await hub.topic("orders").publish({"number": "seven"})
        assert (await settled(hub)).dead == 1
        (letter,) = await hub.groups.dead()
    assert "$.number" in letter.reason
