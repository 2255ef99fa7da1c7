"""Context variables in handlers: each call has a context of its own, and in memory it is the publisher's."""

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.handlers.origins import MAX_CONTEXTS, Origins
from telex.middleware import Next
from tests.support.internals import runner_of
from tests.support.loops import idle, until

request: ContextVar[Any] = ContextVar("request", default=None)
QUICK = telex.Retry(attempts=2, first=0, jitter=0)
Seen = list[Any]


def note(seen: Seen, content: object) -> None:
    seen.append(request.get())
    request.set(content)


def declared(hub: telex.Hub, how: str, seen: Seen) -> None:
    """A handler that notes what the variable is, and sets it."""

    async def handler(content: int) -> None:
        note(seen, content)
        await asyncio.sleep(0)
        assert request.get() == content

    def plain(content: int) -> None:
        note(seen, content)

    async def with_context(content: int, context: telex.Context[int]) -> None:
        assert context.message.content == content
        note(seen, content)

    async def raises(content: int) -> None:
        note(seen, content)
        raise ValueError("mine")

    def sets(next: Next) -> Next:
        async def step(message: telex.Message[Any]) -> object:
            note(seen, message.content)
            return await next(message)

        return step

    options: dict[str, dict[str, Any]] = {"a group": {"group": "g"}, "a middleware": {"middleware": [sets]}}
    options |= {
        "several": {"concurrency": 3},
        "a group with a context": {"group": "g"},
        "plain in a group": {"group": "g"},
    }
    functions: dict[str, Callable[..., object]] = {"plain": plain, "raises": raises, "plain in a group": plain}
    functions |= {"a middleware": lambda content: None, "a group with a context": with_context}
    hub.on("t", *([int] if how == "typed" else []), **options.get(how, {}), run_in="loop")(functions.get(how, handler))


HOW = [
    "async",
    "plain",
    "raises",
    "typed",
    "several",
    "a middleware",
    "a group",
    "plain in a group",
    "a group with a context",
]


@pytest.mark.parametrize("how", HOW)
async def test_context_set_by_a_call_is_not_there_in_the_next(how: str) -> None:
    hub, seen = telex.Hub(), Seen()
    declared(hub, how, seen)
    async with hub:
        for number in range(1, 4):
            await hub.topic("t").publish(number)
        await idle()
        assert seen == [None] * 3
        for number in range(4, 7):
            request.set(number * 10)
            hub.topic("t").publish_nowait(number)
        await idle()
        assert sorted(seen[3:]) == [40, 50, 60], "what the publisher had set"
        await idle()  # the last call of a group is settled after a few turns more
        assert not runner_of(hub).origins.known
        assert request.get() == 60


async def test_context_set_by_a_call_is_not_there_in_the_next_on_a_file(tmp_path: Path) -> None:
    hub, seen, done = telex.Hub(f"sqlite:///{tmp_path}/a.db"), Seen(), asyncio.Event()

    @hub.on("t")
    @hub.on("t", group="g")
    async def handler(content: int) -> None:
        note(seen, content)
        if len(seen) == 6:
            done.set()

    async with hub:
        request.set("of the publisher")
        for number in range(3):
            await hub.topic("t").publish(number)
        await done.wait()
    assert seen == [None] * 6


async def test_a_publisher_s_values_come_by_every_way() -> None:
    hub, seen = telex.Hub(), Seen()

    @hub.on("t:*")
    async def by_pattern(content: int) -> None:
        seen.append(("pattern", request.get()))

    @hub.on("t:1", group="g", retry=QUICK)
    async def retried(content: int, context: telex.Context[int]) -> None:
        seen.append((context.attempt, request.get()))
        if context.attempt == 1:
            raise telex.Nack

    @hub.on("t:1")
    async def passes_on(content: int, hub: telex.Hub) -> None:
        await hub.topic("next").publish(content)

    @hub.on("next")
    async def after(content: int, hub: telex.Hub) -> None:
        seen.append(("next", request.get()))
        await hub.topic("last").publish(1)  # which is in nobody's transaction

    async with hub:
        request.set("ann")
        await hub.topic("t:1").publish(1)
        request.set("bob")
        async with hub.transaction() as tx:
            await tx.publish("t:2", 1)
        await hub.topic("t:3").publish(1, delay=0.001)
        request.set(None)
        await until(lambda: not (len(seen) < 6))  # nothing tells of it
    patterns = [("pattern", "ann"), ("pattern", "bob"), ("pattern", "bob")]
    assert sorted(seen, key=str) == [("next", "ann"), *patterns, (1, "ann"), (2, "ann")]


async def test_values_that_cannot_be_compared_are_no_fault_of_a_handler() -> None:
    class Stubborn:
        def __eq__(self, other: object) -> bool:
            raise TypeError("ambiguous")

        __hash__ = None  # type: ignore[assignment]  # it is not needed

    hub, seen = telex.Hub(), Seen()
    request.set(Stubborn())

    @hub.on("t")
    async def handler(content: int) -> None:
        seen.append(request.get())
        request.set(Stubborn())

    async with hub:
        first = request.get()
        await hub.topic("t").publish(1)
        await hub.topic("t").publish(2)
        request.set(second := Stubborn())
        await hub.topic("t").publish(3)
        await idle()
        (statistics,) = hub.statistics().handlers
        assert (statistics.handled, statistics.failed) == (3, 0)
    assert [value is wanted for value, wanted in zip(seen, [first, first, second], strict=True)] == [True] * 3


async def test_contexts_of_what_nobody_handles_are_let_go() -> None:
    hub, held = telex.Hub(), asyncio.Event()

    @hub.on("t", buffer=1)
    async def slow(content: int) -> None:
        await held.wait()

    async with hub:
        topic = hub.topic("t")
        await topic.publish(0)
        await idle()
        for number in range(MAX_CONTEXTS + 10):
            request.set(number)
            topic.publish_nowait(number)
        assert len(runner_of(hub).origins.known) == MAX_CONTEXTS
        held.set()
    assert isinstance(runner_of(hub).origins, Origins)


def blocks(content: object) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.101
    while loop.time() < end:
        pass


@pytest.mark.parametrize(
    "options", [{}, {"group": "g"}, {"middleware": [telex.middleware.timeout(5)]}], ids=["plain", "group", "middleware"]
)
async def test_a_plain_function_that_blocks_the_loop_is_told_once(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    hub = telex.Hub()
    hub.on("t", **options, run_in="loop")(blocks)
    async with hub:
        asyncio.get_running_loop().slow_callback_duration = 60
        for number in range(2):
            await hub.topic("t").publish(number)
        await idle()
    (text,) = [r.getMessage() for r in caplog.records if r.name == "telex.handlers" and r.levelno == logging.WARNING]
    assert "handler blocks blocked the event loop for 1" in text
    assert "run_in='thread'" in text
