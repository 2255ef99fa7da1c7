"""`FetchWaiters`: when an engine is asked again, and what a cancelled fetch leaves."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from telex.engines import Delivery, Fetched
from telex.engines.fetching import Attempt, FetchWaiters
from telex.errors import Closed, EngineFailed
from telex.message import Message
from tests.support.loops import idle

FOUND = Fetched([Delivery(Message(1, "a:1", 1, "id", 0.0), 1, 1, 7)], 1)
NOTHING = Attempt(Fetched([], 0))
LONG = 1000.0


class Asked:
    """What is asked of an engine, and its answers, the last of which it gives for ever."""

    def __init__(self, *answers: Attempt) -> None:
        self.answers = list(answers)
        self.published: list[bool] = []
        self.released: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def lease(self, is_published: bool) -> Attempt:
        self.published.append(is_published)
        await self.gate.wait()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def release(self, given: Sequence[Delivery]) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise EngineFailed("releasing", "it is away")
        self.released += [delivery.token for delivery in given]


def fetch(waiters: FetchWaiters, asked: Asked, pattern: str = "a:*", wait: float = LONG) -> asyncio.Task[Fetched]:
    return asyncio.create_task(waiters.fetch(pattern, wait, asked.lease, asked.release))


async def test_only_messages_of_its_pattern_and_events_of_its_group_make_a_fetch_look() -> None:
    waiters = FetchWaiters()
    exact, wide = Asked(NOTHING), Asked(NOTHING)
    tasks = [fetch(waiters, exact, "a:1"), fetch(waiters, wide)]
    await idle()
    waiters.published(["b:1"])
    waiters.stir("b:1")
    await idle()
    assert (exact.published, wide.published) == ([False], [False])
    waiters.published(["a:1"])
    await idle()
    waiters.published(["a:2"])
    await idle()
    assert (exact.published, wide.published) == ([False, True], [False, True, True])
    waiters.stir("a:*")
    await idle()
    waiters.stir()
    await idle()
    assert (exact.published[2:], wide.published[3:]) == ([False], [False, False])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_message_that_is_published_during_an_attempt_is_not_missed() -> None:
    waiters, asked = FetchWaiters(), Asked(NOTHING, Attempt(FOUND))
    asked.gate.clear()
    task = fetch(waiters, asked)
    await idle()
    waiters.published(["a:1"])
    asked.gate.set()
    fetched = await task
    assert (fetched.deliveries, fetched.waited, asked.published) == (FOUND.deliveries, True, [False, True])
    waiters.published(["a:1"])  # nobody waits any more
    assert asked.published == [False, True]


async def test_it_is_asked_again_when_something_is_due() -> None:
    asked = Asked(Attempt(Fetched([], 1), 0.01), Attempt(Fetched([], 1), 0.0), Attempt(FOUND))
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await fetch(FetchWaiters(), asked)).waited
    assert loop.time() >= began + 0.01
    assert asked.published == [False] * 3


@pytest.mark.parametrize("times", [1, 3])
async def test_a_fetch_that_is_cancelled_while_it_leases_gives_back(times: int) -> None:
    waiters, asked = FetchWaiters(), Asked(Attempt(FOUND))
    asked.gate.clear()
    task = fetch(waiters, asked)
    await idle()
    for _ in range(times):
        task.cancel()
        await idle()
    assert not task.done(), "the lease is not known yet"
    asked.gate.set()
    await asyncio.wait({task})
    assert task.cancelled()
    assert asked.released == [7]


async def test_a_lease_that_cannot_be_given_back_is_logged(caplog: Any) -> None:
    asked = Asked(Attempt(FOUND))
    asked.gate.clear()
    asked.fails = True
    task = fetch(FetchWaiters(), asked)
    await idle()
    task.cancel()
    asked.gate.set()
    await asyncio.wait({task})
    assert task.cancelled()
    assert "1 messages of a cancelled fetch come again when their leases end" in caplog.text


async def test_closing_ends_fetches_that_wait_and_those_to_come() -> None:
    waiters, asked = FetchWaiters(), Asked(NOTHING)
    task = fetch(waiters, asked)
    await idle()
    waiters.close()
    with pytest.raises(Closed):
        await task
    with pytest.raises(Closed):
        await fetch(waiters, asked)
    assert asked.published == [False]
