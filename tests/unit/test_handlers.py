"""Declared functions: how they are called, what happens when they fail, and when they are too slow."""

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import telex
from tests.support.loops import idle

if TYPE_CHECKING:
    from telex import Message

Got = list[Any]


def errors(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "telex.handlers" and r.levelno == level]


# -- how they are called


class Callables:
    """Objects and methods that are called as functions are."""

    def __init__(self, got: Got) -> None:
        self.got = got

    def method(self, content: int) -> None:
        self.got.append(content)

    async def method_async(self, message: telex.Message[int]) -> None:
        self.got.append(message.content)

    async def __call__(self, content: int) -> None:
        self.got.append(content)


def called_by(got: Got) -> dict[str, Callable[..., object]]:  # noqa: C901  # many little functions
    """Functions of every form; each puts the content into ``got``."""

    def nothing() -> None:
        got.append(5)

    def content(content: int) -> None:
        got.append(content)

    def message(message: telex.Message[int]) -> None:
        got.append(message.content)

    def bare_message(message: telex.Message) -> None:  # type: ignore[type-arg]
        got.append(message.content)

    def by_name(message: "Message[int]") -> None:
        got.append(message.content)

    def all_three(hub: telex.Hub, message: telex.Message[int], content: int) -> None:
        assert isinstance(hub, telex.Hub)
        assert message.content == content
        got.append(content)

    def with_default(content: int, factor: int = 1, *, other: int = 1) -> None:
        got.append(content * factor * other)

    def any_arguments(*arguments: Any, **options: Any) -> None:
        assert not options
        got.extend(arguments)

    def given_first(where: Got, content: int) -> None:
        where.append(content)

    async def asynchronous(content: int) -> None:
        await asyncio.sleep(0)
        got.append(content)

    def returns_awaitable(content: int) -> Any:
        return asynchronous(content)

    def decorated(content: int) -> None:
        got.append(content)

    @functools.wraps(decorated)
    def decorator(*arguments: Any, **options: Any) -> None:
        decorated(*arguments, **options)

    callables = Callables(got)
    return {
        "nothing": nothing,
        "content": content,
        "message": message,
        "bare message": bare_message,
        "by name": by_name,
        "all three": all_three,
        "with default": with_default,
        "any arguments": any_arguments,
        "asynchronous": asynchronous,
        "returns an awaitable": returns_awaitable,
        "decorated": decorator,
        "partial": functools.partial(given_first, got),
        "partial of async": functools.partial(asynchronous),
        "lambda": lambda content: got.append(content),
        "builtin": got.append,
        "method": callables.method,
        "async method": callables.method_async,
        "object": callables,
    }


@pytest.mark.parametrize("name", called_by([]))
async def test_a_function_is_called_with_what_it_asks_for(name: str) -> None:
    got: Got = []
    function = called_by(got)[name]
    hub = telex.Hub()
    assert hub.on("a")(function) is function
    async with hub:
        await hub.topic("a").publish(5)
        await idle()
        assert got == [5]
        (statistics,) = hub.statistics().handlers
    assert (statistics.pattern, statistics.handled, statistics.failed) == ("a", 1, 0)


async def test_content_passes_by_reference() -> None:
    hub, got = telex.Hub(), list[object]()
    hub.on("a")(got.append)
    content = object()
    async with hub:
        await hub.topic("a").publish(content)
    assert got[0] is content


# -- failing


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

    hub.on("a", concurrency=concurrency)(handler)
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

    @hub.on("a", overflow="latest", key=lambda message: message.content["user"])
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

    @hub.on("a", overflow="latest", key=lambda message: message.content["user"])
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


# -- being slow


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


# -- declaring


async def test_declaring_on_a_running_hub_takes_effect_at_once() -> None:
    async with telex.Hub() as hub:
        topic = hub.topic("a")
        early, late = list[int](), list[int]()
        topic.publish_nowait(0)
        hub.on("a")(early.append)
        topic.publish_nowait(1)
        hub.on(int)(late.append)
        topic.publish_nowait(2)
        await idle()
        assert early == [1, 2]
        assert late == [2]


async def test_a_handler_may_declare_another() -> None:
    hub, got = telex.Hub(), list[str]()

    @hub.on("a")
    def declares(content: str) -> None:
        if content == "first":
            hub.on("a")(lambda content: got.append(content))

    async with hub:
        await hub.topic("a").publish("first")
        await idle()
        await hub.topic("a").publish("second")
    assert got == ["second"]


async def test_a_declaration_is_no_call() -> None:
    hub, got = telex.Hub(), list[int]()
    hub.on("a")(got.append)
    hub.topic("a")
    async with hub:
        await idle()
    assert got == []


# -- routers


async def test_routers_put_their_prefixes_before_every_pattern() -> None:
    hub, got = telex.Hub(), list[tuple[str, str]]()

    def note(name: str) -> Callable[[telex.Message[Any]], None]:
        def handler(message: telex.Message[Any]) -> None:
            got.append((name, message.topic))

        return handler

    bare, orders, paid = telex.Router(), telex.Router("orders"), telex.Router("paid")
    bare.on("orders:1")(note("bare"))
    orders.on("*")(note("orders:*"))
    orders.on(int)(note("orders by type"))
    paid.on("*", str)(note("paid"))
    orders.include_router(paid, "eu")
    hub.include_router(bare)
    hub.include_router(orders)
    hub.include_router(orders, "shop:one")
    paid.on("late")(note("late"))  # declared after it was included
    async with hub:
        for topic in ("orders:1", "shop:one:orders:1", "orders:eu:paid:late", "shop:one:orders:eu:paid:late", "other"):
            await hub.topic(topic).publish(1)
            await hub.topic(topic).publish("text")
        paid.on("later")(note("later"))
        await hub.topic("orders:eu:paid:later").publish(1)
    assert {s.pattern for s in hub.statistics().handlers} == {
        "orders:1",
        "orders:*",
        "orders:>",
        "orders:eu:paid:*",
        "orders:eu:paid:late",
        "orders:eu:paid:later",
        "shop:one:orders:*",
        "shop:one:orders:>",
        "shop:one:orders:eu:paid:*",
        "shop:one:orders:eu:paid:late",
        "shop:one:orders:eu:paid:later",
    }
    assert sorted(got) == sorted(
        2 * [("bare", "orders:1")]
        + 2 * [("orders:*", topic) for topic in ("orders:1", "shop:one:orders:1")]
        + [("orders by type", topic) for topic in ("orders:1", "shop:one:orders:1")]
        + [("orders by type", topic) for topic in ("orders:eu:paid:late", "shop:one:orders:eu:paid:late")]
        + [("paid", topic) for topic in ("orders:eu:paid:late", "shop:one:orders:eu:paid:late")]
        + 2 * [("late", topic) for topic in ("orders:eu:paid:late", "shop:one:orders:eu:paid:late")]
        + [("later", "orders:eu:paid:later"), ("orders by type", "orders:eu:paid:later")]
    )


def test_routers_in_a_circle_are_refused() -> None:
    one, two, three = telex.Router("one"), telex.Router("two"), telex.Router("three")
    one.include_router(two)
    two.include_router(three)
    with pytest.raises(telex.BadOption, match="it cannot include itself"):
        three.include_router(one)
    with pytest.raises(telex.BadName, match="at most 255"):
        telex.Hub().include_router(one_with_a_handler(), "a" * 254)


def one_with_a_handler() -> telex.Router:
    router = telex.Router("orders")
    router.on("*")(print)
    return router


async def test_one_router_in_two_hubs() -> None:
    router, got = telex.Router("a"), list[tuple[str, int]]()

    @router.on("*")
    def handler(content: int, hub: telex.Hub) -> None:
        got.append((next(name for name, it in hubs.items() if it is hub), content))

    hubs = {"one": telex.Hub(), "two": telex.Hub()}
    for hub in hubs.values():
        hub.include_router(router)
    async with hubs["one"], hubs["two"]:
        await hubs["one"].topic("a:1").publish(1)
        await hubs["two"].topic("a:1").publish(2)
    assert sorted(got) == [("one", 1), ("two", 2)]
