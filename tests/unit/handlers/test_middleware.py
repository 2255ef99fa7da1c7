"""Middleware: in which order it stands, and the four that telex brings, on a clock that is moved."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import telex
from telex.handlers import middleware
from telex.hub import runtime_of
from tests.support.loops import idle
from tests.support.shell import Clock

Handler = Callable[[telex.Message[object]], Awaitable[object]]


def message(content: object = 1, id: str | None = None) -> telex.Message[object]:
    return telex.Message.new(content, id=id)


def stepping(wrapped: middleware.Middleware, handler: Handler) -> middleware.Next:
    return middleware.wrap(handler, [wrapped])


def begin(step: middleware.Next, message: telex.Message[object]) -> asyncio.Task[object]:
    async def call() -> object:
        return await step(message)

    return asyncio.create_task(call())


def named(name: str, seen: list[str]) -> middleware.Middleware:
    def outer(next: middleware.Next) -> middleware.Next:
        async def step(message: telex.Message[object]) -> object:
            seen.append(f"{name} in")
            try:
                return await next(message)
            finally:
                seen.append(f"{name} out")

        return step

    return outer


@pytest.mark.parametrize("group", [None, "billing"])
async def test_the_hub_s_is_outermost_then_the_routers_then_the_handler_s(group: str | None) -> None:
    seen: list[str] = []
    hub = telex.Hub("memory://", middleware=[named("hub 1", seen), named("hub 2", seen)])
    outer = telex.Router("a", middleware=[named("outer", seen)])
    inner = telex.Router("b", middleware=[named("inner", seen)])

    @inner.on("c", group=group, middleware=[named("own", seen)], run_in="loop")
    def handle(content: int) -> None:
        seen.append("handled")

    outer.include_router(inner)
    hub.include_router(outer)

    @inner.on("late", group=group)
    async def late(content: int) -> None:
        seen.append("late")

    order = ["hub 1", "hub 2", "outer", "inner", "own"]
    around = [[f"{name} in" for name in order], [f"{name} out" for name in reversed(order)]]
    async with hub:
        await hub.topic("a:b:c").publish(1)
        await idle()
        assert seen == [*around[0], "handled", *around[1]]
        seen.clear()
        await hub.topic("a:b:late").publish(1)
        await idle()
        assert seen == [*around[0][:-1], "late", *around[1][1:]]


async def test_a_handler_without_middleware_is_called_itself() -> None:
    hub = telex.Hub("memory://")

    @hub.on("x")
    async def handle(message: telex.Message[int]) -> None: ...

    (declared,) = hub.declarations
    assert declared.bind(runtime_of(hub)) is handle


async def test_middleware_that_returns_no_step_is_refused() -> None:
    hub = telex.Hub("memory://")
    hub.on("x", middleware=[lambda _: None], run_in="loop")(print)  # type: ignore[list-item, return-value]  # the mistake
    with pytest.raises(telex.BadOption, match="must return an async function"):
        await hub.__aenter__()


async def test_retry_calls_again_here() -> None:
    clock, calls, fails = Clock(), 0, 2

    async def handler(message: telex.Message[object]) -> str:
        nonlocal calls
        calls += 1
        if calls <= fails:
            raise ValueError("this time")
        return "done"

    step = stepping(middleware.retry(3, first=1, factor=10), handler)
    task = begin(step, message())
    for seconds, expected in ((0, 1), (0.9, 1), (0.2, 2), (9.7, 2), (0.4, 3)):
        await clock.forward(seconds)
        assert calls == expected
    assert await task == "done"
    calls, fails = 0, 99
    with pytest.raises(ValueError, match="this time"):
        await stepping(middleware.retry(2, first=0), handler)(message())
    assert calls == 2


@pytest.mark.parametrize("error", [telex.Nack(), telex.Reject("never")])
async def test_retry_lets_what_settles_through(error: Exception) -> None:
    calls = 0

    async def handler(message: telex.Message[object]) -> None:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        await stepping(middleware.retry(3, first=0), handler)(message())
    assert calls == 1


async def test_timeout_cancels_what_takes_longer() -> None:
    clock, cancelled = Clock(), False

    async def handler(message: telex.Message[object]) -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    task = begin(stepping(middleware.timeout("5s"), handler), message())
    await clock.forward(4.9)
    assert not task.done()
    await clock.forward(0.2)
    with pytest.raises(telex.Timeout, match="handling message"):
        await task
    assert cancelled


async def test_a_timeout_of_the_handler_itself_is_not_the_middleware_s() -> None:
    async def handler(message: telex.Message[object]) -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await stepping(middleware.timeout("5s"), handler)(message())


async def test_deduplicate_handles_a_key_once() -> None:
    seen: list[str] = []

    async def handler(message: telex.Message[object]) -> None:
        seen.append(message.id)
        if message.content == "bad":
            raise ValueError("this time")

    step = stepping(middleware.deduplicate(most=2), handler)
    for id in "aab":
        await step(message(id=id))
    assert seen == ["a", "b"]
    with pytest.raises(ValueError, match="this time"):
        await step(message("bad", id="c"))
    await step(message(id="c"))
    await step(message(id="b"))
    assert seen == ["a", "b", "c", "c"]
    await step(message(id="a"))
    assert seen == ["a", "b", "c", "c", "a"], "of the last two alone"


async def test_deduplicate_knows_a_key_for_as_long_as_it_was_told() -> None:
    clock, calls = Clock(), 0

    async def handler(message: telex.Message[object]) -> None:
        nonlocal calls
        calls += 1

    step = stepping(middleware.deduplicate(lambda message: message.content, keep="10s"), handler)
    for wait, expected in ((0, 1), (9.9, 1), (0.2, 2)):
        await clock.forward(wait)
        await step(message())
        assert calls == expected


async def test_deduplicate_waits_for_what_is_being_handled() -> None:
    go_on, calls = asyncio.Event(), 0

    async def handler(message: telex.Message[object]) -> str:
        nonlocal calls
        calls += 1
        await go_on.wait()
        if calls == 1:
            raise ValueError("the first")
        return "done"

    step = stepping(middleware.deduplicate(), handler)
    tasks = [begin(step, message(id="a")) for _ in range(3)]
    await idle()
    assert calls == 1
    go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, str, type(None)]
    assert calls == 2, "what failed was not handled, and one of those that waited was"


async def test_deduplicate_does_not_take_what_was_nacked_for_handled() -> None:
    hub, attempts = telex.Hub("memory://"), []

    @hub.on("x", group="g", middleware=[middleware.deduplicate()])
    async def handle(context: telex.Context[int]) -> None:
        attempts.append(context.attempt)
        await (context.nack() if context.attempt == 1 else context.ack())

    async with hub:
        await hub.topic("x").publish(1)
        await idle()
        assert attempts == [1, 2]


async def test_rate_limit_lets_a_burst_through_and_then_waits() -> None:
    clock, calls = Clock(), 0

    async def handler(message: telex.Message[object]) -> None:
        nonlocal calls
        calls += 1

    step = stepping(middleware.rate_limit(10, per=10, burst=2), handler)
    tasks = [begin(step, message()) for _ in range(5)]
    for wait, expected in ((0, 2), (0.8, 2), (0.4, 3), (1, 4), (1, 5)):
        await clock.forward(wait)
        assert calls == expected
    await asyncio.gather(*tasks)
    await clock.forward(20)
    tasks = [begin(step, message()) for _ in range(3)]
    await idle()
    assert calls == 7, "no more than a burst is saved up"
    tasks[-1].cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize(
    "make",
    [
        lambda: middleware.deduplicate(most=0),
        lambda: middleware.deduplicate(keep="soon"),
        lambda: middleware.rate_limit(0),
        lambda: middleware.rate_limit(1, burst=0),
        lambda: middleware.retry(0),
        lambda: middleware.timeout("soon"),
        lambda: telex.Hub("memory://", middleware=print),  # type: ignore[arg-type]
        lambda: telex.Router(middleware=[5]),  # type: ignore[list-item]
    ],
)
def test_mistakes_are_told(make: Callable[[], object]) -> None:
    with pytest.raises(telex.BadOption):
        make()


async def test_deduplicate_forgets_the_key_that_was_handled_longest_ago() -> None:
    handled: list[object] = []

    async def handler(message: telex.Message[object]) -> None:
        handled.append(message.content)

    clock = Clock()
    step: Any = middleware.deduplicate(lambda message: message.content, keep="10s", most=2)(handler)
    for wait, key in ((0, "a"), (4, "b"), (7, "a"), (0, "c"), (0, "a")):
        await clock.forward(wait)
        await step(telex.Message.new(key))
    assert handled == ["a", "b", "a", "c"], "a was handled again after b, so b goes for c"


@pytest.mark.parametrize(("calls", "per", "burst"), [(0.5, 0.5, 1), (1e-6, 1e-6, 1), (3, "1h", 7)])
async def test_a_slow_rate_is_one(calls: float, per: float | str, burst: int) -> None:
    clock, begun = Clock(), list[int]()

    async def handler(message: telex.Message[object]) -> None:
        begun.append(1)

    step: Any = middleware.rate_limit(calls, per=per, burst=burst)(handler)
    for _ in range(burst):
        await step(telex.Message.new(1))
    assert len(begun) == burst
    late = asyncio.ensure_future(step(telex.Message.new(1)))
    await clock.forward(0)
    assert not late.done()
    late.cancel()
    await asyncio.wait([late])
