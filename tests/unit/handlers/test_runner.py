"""Live handlers: failures, losses, concurrency, and topics that are removed under them."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import telex
from telex.handlers.runner import LossLog
from telex.handlers.spec import HandlerSpec
from telex.log.options import Options
from telex.topics.subscription import cursor_of
from tests.support.internals import runner_of
from tests.support.loops import idle

Got = list[Any]


def errors(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "telex.handlers" and r.levelno == level]


def failures() -> dict[str, Callable[[int], object]]:  # noqa: C901  # many little functions
    def sync(content: int) -> None:
        if content == 1:
            raise ValueError("mine")

    async def after_waiting(content: int) -> None:
        await asyncio.sleep(0)
        if content == 1:
            raise ValueError("mine")

    async def something_was_cancelled(content: int) -> None:
        if content == 1:
            other = asyncio.create_task(asyncio.Event().wait())
            asyncio.get_running_loop().call_soon(other.cancel)
            await other

    async def cancelled_error(content: int) -> None:
        if content == 1:
            raise asyncio.CancelledError

    def stop_iteration(content: int) -> None:
        if content == 1:
            raise StopIteration

    async def stop_async_iteration(content: int) -> None:
        if content == 1:
            raise StopAsyncIteration

    async def times_out(content: int) -> None:
        if content == 1:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

    async def closed(content: int) -> None:
        if content == 1:
            raise telex.Closed("something", "else")

    async def slow(content: int) -> None:
        if content == 1:
            raise telex.SlowSubscriber("other", 1, 1)

    functions = [sync, after_waiting, something_was_cancelled, cancelled_error, stop_iteration, stop_async_iteration]
    return {function.__name__: function for function in [*functions, times_out, closed, slow]}


@pytest.mark.every_loop
@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("name", failures())
async def test_a_failure_is_logged_and_counted_and_the_next_is_handled(
    name: str, concurrency: int, caplog: pytest.LogCaptureFixture
) -> None:
    hub, got = telex.Hub(), list[int]()
    function = failures()[name]

    ended = asyncio.Event()

    async def handler(content: int) -> None:
        got.append(content)
        try:
            result = function(content)
            if result is not None:
                await result  # type: ignore[misc]
        finally:
            if content == 1:
                ended.set()

    hub.on("a", concurrency=concurrency, run_in="loop")(handler)
    other: list[int] = []
    hub.on("a")(other.append)
    async with hub:
        sent = [await hub.topic("a").publish(number) for number in range(3)]
        await ended.wait()
        await idle()
        (statistics, _) = hub.statistics().handlers
        assert (statistics.handled, statistics.failed, statistics.waiting) == (2, 1, 0)
    assert sorted(got) == other == [0, 1, 2]
    (text,) = errors(caplog)
    assert "handler" in text
    assert sent[1].id in text
    assert "of a" in text
    (record,) = [r for r in caplog.records if r.name == "telex.handlers"]
    assert record.exc_info is not None


async def test_a_key_function_that_fails_is_told_at_once_and_the_handler_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub, got = telex.Hub(), list[object]()

    @hub.on("a", overflow="latest", key=lambda message: message.content["user"], run_in="loop")
    def by_user(content: Any) -> None:
        got.append(content)

    async with hub:
        await hub.topic("a").publish({"user": "ann"})
        await idle()
        await hub.topic("a").publish("no user")
        await idle()
        assert ["continues with new ones: TypeError" in text for text in errors(caplog)] == [True]
        await hub.topic("a").publish({"user": "bob"})
        await idle()
        (statistics,) = hub.statistics().handlers
        assert (statistics.handled, statistics.failed, statistics.lost, statistics.state) == (2, 1, 1, "idle")
    assert got == [{"user": "ann"}, {"user": "bob"}]


async def test_a_handler_that_ends_while_the_hub_closes_does_not_hold_it_up() -> None:
    hub = telex.Hub(close_timeout=3600)

    @hub.on("a", overflow="latest", key=lambda message: message.content["user"], run_in="loop")
    def by_user(content: Any) -> None: ...

    async with hub:
        await hub.topic("a").publish("no user")


async def test_a_handler_that_is_cancelled_from_outside_does_not_hold_up_closing() -> None:
    hub = telex.Hub(close_timeout=3600)

    @hub.on("a")
    async def hangs(content: int) -> None:
        await asyncio.Event().wait()

    await hub.__aenter__()
    for number in range(3):
        await hub.topic("a").publish(number)
    closing = asyncio.create_task(hub.aclose())
    await idle()
    assert not closing.done()
    for task in asyncio.all_tasks():
        if task.get_name().startswith("telex handler"):
            task.cancel()
    await closing


async def test_losses_of_a_slow_handler_are_counted_and_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    hub, got, gate = telex.Hub(), list[int](), asyncio.Event()

    @hub.on("a", buffer=2)
    async def slow(content: int) -> None:
        await gate.wait()
        got.append(content)

    async with hub:
        for number in range(7):
            await hub.topic("a").publish(number)
            await idle()
        (statistics,) = hub.statistics().handlers
        assert (statistics.waiting, statistics.lost) == (2, 4)
        gate.set()
    assert got == [0, 1, 2]
    (warning,) = errors(caplog, logging.WARNING)
    assert "missed 4 more messages (buffer=2, overflow=drop_newest)" in warning


async def test_a_handler_that_was_closed_as_slow_handles_what_it_has_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub, got = telex.Hub(), list[int]()

    @hub.on("a", buffer=2, overflow="close")
    async def slow(content: int) -> None:
        await asyncio.sleep(0)
        got.append(content)

    async with hub:
        await hub.topic("a").publish(0)
        await asyncio.sleep(0)
        for number in range(1, 6):
            await hub.topic("a").publish(number)
        await idle()
        await hub.topic("a").publish(6)
        await idle()
        (statistics,) = hub.statistics().handlers
        assert (statistics.handled, statistics.failed, statistics.lost) == (4, 1, 3)
    assert got == [0, 1, 2, 6]
    (text,) = errors(caplog)
    assert "continues with new ones: SlowSubscriber: the subscription to 'a' was closed as slow" in text


async def test_a_handler_under_block_slows_its_publishers_and_misses_nothing() -> None:
    hub, got = telex.Hub(), list[int]()

    @hub.on("a", buffer=1, overflow="block")
    async def slow(content: int) -> None:
        await asyncio.sleep(0)
        got.append(content)

    async with hub:
        for number in range(50):
            await hub.topic("a").publish(number)
            assert number - len(got) <= 2
    assert got == list(range(50))


async def test_concurrency_bounds_how_many_calls_run() -> None:
    hub, running, most = telex.Hub(), 0, 0
    gate = asyncio.Event()

    @hub.on("a", concurrency=4)
    async def handler(content: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1

    async with hub:
        for number in range(10):
            await hub.topic("a").publish(number)
        await idle()
        assert running == 4
        assert hub.statistics().handlers[0].waiting == 6
        gate.set()
    assert (most, running) == (4, 0)
    assert hub.statistics().handlers[0].handled == 10


async def test_one_at_a_time_keeps_the_order() -> None:
    hub, got = telex.Hub(), list[int]()

    @hub.on("a")
    async def handler(content: int) -> None:
        for _ in range(content % 3):
            await asyncio.sleep(0)
        got.append(content)

    async with hub:
        for number in range(20):
            await hub.topic("a").publish(number)
    assert got == list(range(20))


async def test_a_handler_of_a_removed_topic_finishes_what_it_has() -> None:
    hub, got = telex.Hub(), list[int]()

    @hub.on("a")
    async def handler(content: int) -> None:
        await asyncio.sleep(0)
        got.append(content)

    async with hub:
        for number in range(5):
            await hub.topic("a").publish(number)
        await hub.remove("a")
    assert got == list(range(5))


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_handler_of_a_removed_topic_goes_on_in_its_next_epoch(concurrency: int) -> None:
    hub, got = telex.Hub(), list[int]()
    held = asyncio.Event()

    @hub.on("a", concurrency=concurrency)
    async def handler(content: int) -> None:
        if not content:
            await held.wait()
        got.append(content)

    async with hub:
        for begin in (0, 5, 10):
            await hub.remove("a")
            for number in range(begin, begin + 5):
                await hub.topic("a").publish(number)
        asyncio.get_running_loop().call_later(0.01, held.set)  # while the hub closes
    assert sorted(got) == list(range(15))
    assert concurrency > 1 or got == sorted(got)


async def test_removals_of_an_empty_topic_cost_its_handler_nothing() -> None:
    hub, got, held = telex.Hub(), list[int](), asyncio.Event()

    @hub.on("a")
    async def handler(content: int) -> None:
        await held.wait()
        got.append(content)

    async with hub:
        await hub.topic("a").publish(1)
        await asyncio.sleep(0)
        for _ in range(100):
            await hub.remove("a")
        (handling,) = runner_of(hub).handlers
        cursor = cursor_of(handling.subscription).successor
        assert cursor is not None
        assert cursor.successor is None
        await hub.topic("a").publish(2)
        held.set()
    assert got == [1, 2]


async def test_a_handler_that_was_too_slow_for_a_removed_topic_goes_on_with_the_new_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub, held, got = telex.Hub(), asyncio.Event(), list[int]()

    @hub.on("a", buffer=1, overflow="close")
    async def handler(content: int) -> None:
        got.append(content)
        await held.wait()

    async with hub:
        for number in range(5):
            await hub.topic("a").publish(number)
            await asyncio.sleep(0)
        await hub.remove("a")  # before it has heard that it was too slow
        held.set()
        for number in (5, 6):
            await idle()
            assert hub.topic("a").statistics().subscribers == 1
            await hub.topic("a").publish(number)
            await idle()
            await hub.remove("a")  # and after
    assert got == [0, 1, 5, 6]
    assert "continues with new ones" in caplog.text


@pytest.mark.slow
async def test_a_handler_goes_on_when_another_program_removes_its_topic(tmp_path: Path) -> None:
    url, got = f"sqlite:///{tmp_path}/a.db", asyncio.Queue[int]()
    hub = telex.Hub(url)
    hub.on("a", run_in="loop")(got.put_nowait)
    async with hub, telex.Hub(url) as other:
        for number in range(5):
            await other.topic("a").publish(number)
            assert await got.get() == number
            await (hub, other)[number % 2].remove("a")
    assert got.empty()


# -- losses that are logged


def missed(caplog: pytest.LogCaptureFixture) -> list[str]:
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [text.partition("missed ")[2].partition(" ")[0] for text in texts]


def losses() -> LossLog:
    return LossLog(HandlerSpec("slow", print, (), False, ("a",), (), 1, Options(buffer=7)), "a")


def test_losses_are_logged_each_time_that_they_double(caplog: pytest.LogCaptureFixture) -> None:
    found = losses()
    for _ in range(20):
        found.add(1)
    assert missed(caplog) == ["1", "1", "2", "4", "8"]
    assert "handler slow fell behind on a" in caplog.text
    assert "(buffer=7, overflow=drop_newest)" in caplog.text
    found.log(20)
    found.log(20)
    assert missed(caplog) == ["1", "1", "2", "4", "8", "4"]


def test_losses_that_an_error_told_are_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    found = losses()
    found.add(3)
    found.skip(100)
    found.log(100)
    found.add(1)
    assert missed(caplog) == ["3"]
    found.add(30)
    assert missed(caplog) == ["3", "31"]
