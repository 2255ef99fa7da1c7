"""Handlers of a group, on each engine: at least once, settled, tried again, dead, in order by key."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from time import time

import pytest

import telex
from telex import middleware
from telex.engines import Settlement
from tests.support.internals import groups_of
from tests.support.loops import idle
from tests.unit.groups.parts import Order, settled, telling

QUICK = telex.Retry(attempts=3, first=0.0, jitter=0.0)


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/groups.db"


@pytest.mark.slow
async def test_each_message_is_handled_by_one_member(url: str) -> None:
    hub = telling(url)
    handled: list[tuple[str, int]] = []

    @hub.on("orders:*", group="billing")
    async def one(content: int) -> None:
        handled.append(("one", content))
        await asyncio.sleep(0)

    @hub.on("orders:*", group="billing", concurrency=4)
    async def other(content: int) -> None:
        handled.append(("other", content))
        await asyncio.sleep(0)

    @hub.on("orders:*", group="audit", run_in="loop")
    def audit(content: int) -> None:
        handled.append(("audit", content))

    async with hub:
        for number in range(100):
            await hub.topic(f"orders:{number % 3}").publish(number)
        await settled(hub)
        await settled(hub, "audit")
    assert [content for name, content in handled if name == "audit"] == list(range(100))
    assert sorted(content for name, content in handled if name != "audit") == list(range(100))


async def test_messages_published_before_are_handled(url: str) -> None:
    hub = telling(url)
    handled: list[int] = []
    async with hub:
        for number in range(3):
            await hub.topic("orders").publish(number)

        @hub.on("orders", group="billing", run_in="loop")
        def bill(content: int) -> None:
            handled.append(content)

        @hub.on("orders", group="late", start="new", run_in="loop")
        def late(content: int) -> None:
            handled.append(100 + content)

        await settled(hub, "late")
        await hub.topic("orders").publish(3)
        await settled(hub)
        await settled(hub, "late")
    assert sorted(handled) == [0, 1, 2, 3, 103]


async def test_a_delivery_that_raises_is_retried_and_then_dead(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "telex.handlers")
    hub = telling(url)
    attempts: list[int] = []

    @hub.on("orders", group="billing", retry=QUICK, dead_letter="orders:dead")
    async def bill(content: str, context: telex.Context[str]) -> None:
        attempts.append(context.attempt)
        raise ValueError(content)

    async with hub, hub.topic("orders:dead").subscribe() as dead:
        published = await hub.topic("orders").publish("bad", headers={"trace": "1"})
        copy = await dead.receive()
        await settled(hub)
        (letter,) = await hub.groups.dead("billing")
        assert attempts == [1, 2, 3]
        assert copy.content == letter.message.content == "bad"
        assert (letter.attempts, letter.reason) == (3, "ValueError: bad")
        assert dict(copy.headers) == {
            "trace": "1",
            "telex-group": "billing",
            "telex-reason": "ValueError: bad",
            "telex-attempts": "3",
            "telex-topic": "orders",
            "telex-seq": "1",
            "telex-id": published.id,
        }
        assert await hub.groups.retry(letter)
        await settled(hub)
        assert attempts == [1, 2, 3, 1, 2, 3]
        (letter,) = await hub.groups.dead()
        assert await hub.groups.drop(letter)
        assert not await hub.groups.drop(letter)
        assert await hub.groups.dead() == []
        assert [s.dead for s in hub.statistics().handlers] == [2]


async def test_settling_by_hand(url: str) -> None:
    hub, done = telling(url), asyncio.Event()
    won: list[bool] = []

    @hub.on("orders", group="billing")
    async def bill(context: telex.Context[str]) -> None:
        won.append(await context.extend("1m"))
        won.append(await context.ack())
        won.append(await context.reject())
        done.set()
        raise ValueError("of no account")

    async with hub:
        await hub.topic("orders").publish("x")
        await done.wait()
        found = await settled(hub)
        assert won == [True, True, False]
        assert (found.lag, found.dead) == (0, 0)


async def test_messages_of_one_key_are_worked_on_one_after_the_other(url: str) -> None:
    hub = telling(url)
    running: set[str] = set()
    order: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    most = 0

    @hub.on("orders", group="billing", concurrency=8, retry=telex.Retry(attempts=9, first=0.0, jitter=0.0))
    async def bill(message: telex.Message[int], context: telex.Context[int]) -> None:
        nonlocal most
        key = message.key or ""
        assert key not in running
        running.add(key)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.discard(key)
        if message.content % 7 == 3 and context.attempt < 3:
            raise telex.Nack(delay=0)
        order[key].append(message.content)

    async with hub:
        for number in range(60):
            await hub.topic("orders").publish(number, key="abc"[number % 3])
        await settled(hub)
    assert order == {key: list(range(first, 60, 3)) for first, key in enumerate("abc")}
    assert most > 1


async def test_a_paused_group_claims_nothing(url: str) -> None:
    hub = telling(url)
    handled: list[int] = []

    @hub.on("orders", group="billing", run_in="loop")
    def bill(content: int) -> None:
        handled.append(content)

    async with hub:
        await settled(hub)
        assert await hub.groups.pause("billing", "orders")
        assert not await hub.groups.pause("nobody", "orders")
        await hub.topic("orders").publish(1)
        (found,) = await hub.groups.list()
        assert (found.paused, found.lag, handled) == (True, 1, [])
        assert await hub.groups.resume("billing", "orders")
        await settled(hub)
        assert handled == [1]
        assert await hub.groups.forget("billing", "orders")
        assert await hub.groups.list() == []


async def test_deliveries_of_a_closed_hub_are_handled_by_the_next(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/groups.db"
    handled: list[int] = []
    hub = telling(url, close_timeout=0)
    begun = asyncio.Event()

    @hub.on("orders", group="billing", concurrency=2)
    async def hangs(content: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with hub:
        for number in range(10):
            await hub.topic("orders").publish(number)
        await begun.wait()
    again = telling(url)

    @again.on("orders", group="billing", run_in="loop")
    def bill(content: int) -> None:
        handled.append(content)

    before = time()
    async with again:
        await settled(again)
    assert handled == list(range(10))
    assert time() - before < 20, "given back, not left until their leases ended"


@pytest.mark.slow
async def test_a_long_handler_keeps_its_lease(url: str) -> None:
    hub = telling(url)
    groups, calls, extended, lease = groups_of(hub), 0, asyncio.Event(), 0.4
    assert groups is not None
    settle, ends = groups.settle, list[float]()

    async def counted(group: str, pattern: str, settlements: Sequence[Settlement]) -> Sequence[bool]:
        now, won = time(), await settle(group, pattern, settlements)
        ends.extend(now for each, mine in zip(settlements, won, strict=True) if each.action == "extend" and mine)
        if ends and ends[-1] > ends[0] + lease:
            extended.set()
        return won

    groups.settle = counted  # type: ignore[method-assign]  # of this hub's engine

    @hub.on("orders", group="billing", concurrency=2, lease=lease)
    async def bill(content: int) -> None:
        nonlocal calls
        calls += 1
        await extended.wait()

    async with hub:
        await hub.topic("orders").publish(1)
        await settled(hub)
    assert calls == 1


async def test_middleware_stands_around_in_its_order(url: str) -> None:
    hub = telling(url)
    seen: list[str] = []

    def named(name: str) -> middleware.Middleware:
        def outer(next: middleware.Next) -> middleware.Next:
            async def step(message: telex.Message[object]) -> object:
                seen.append(f"{name} in")
                try:
                    return await next(message)
                finally:
                    seen.append(f"{name} out")

            return step

        return outer

    @hub.on("orders", group="billing", middleware=[named("a"), named("b")], run_in="loop")
    def bill(content: int, context: telex.Context[int]) -> None:
        seen.append(f"{content} {context.attempt}")

    @hub.on("live", middleware=[named("c")])
    async def live(content: int) -> None:
        seen.append("live")

    async with hub:
        await hub.topic("orders").publish(1)
        await settled(hub)
        await hub.topic("live").publish(1)
    assert seen == ["a in", "b in", "1 1", "b out", "a out", "c in", "live", "c out"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lease": "1m"}, "only a handler with group="),
        ({"retry": QUICK}, "only a handler with group="),
        ({"group": "a b"}, "bad group"),
        ({"group": "g", "buffer": 5}, "no buffer"),
        ({"group": "g", "key": lambda m: 1}, r"publish\(..., key=...\)"),
        ({"group": "g", "lease": 0}, "at least 0.1 s"),
        ({"group": "g", "retry": 5}, r"telex.Retry\("),
        ({"group": "g", "dead_letter": "x:*"}, "pattern"),
        ({"group": "g", "overflow": "fail"}, "no buffer"),
        ({"group": "g", "start": "soon"}, "start"),
        ({"group": "g", "concurrency": 2}, "one after the other"),
        ({"start": "new"}, "only a handler with group="),
        ({"dead_letter": "x"}, "only a handler with group="),
        ({"group": "g", "middleware": print}, "list of functions"),
        ({"middleware": [5]}, "list of functions"),
    ],
)
def test_mistakes_are_told_where_they_are_made(options: dict[str, object], words: str) -> None:
    hub = telex.Hub("memory://")
    with pytest.raises(telex.TelexError, match=words):
        hub.on("orders", **options)(print)  # type: ignore[arg-type]  # mistakes


def test_retry_waits_longer_and_longer() -> None:
    plan = telex.Retry(first="1s", factor=2, most="10s", jitter=0.5)
    assert [plan.delay(n, 0.5) for n in (1, 2, 3, 4, 5, 500)] == [1, 2, 4, 8, 10, 10]
    assert (plan.delay(1, 0.0), plan.delay(1, 1.0)) == (0.5, 1.5)
    for wrong in ({"attempts": 0}, {"factor": 0.5}, {"jitter": 2}, {"first": "soon"}):
        with pytest.raises(telex.BadOption):
            telex.Retry(**wrong)


async def test_content_is_what_the_annotation_says_wherever_it_comes_from(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/typed.db"
    handled: asyncio.Queue[object] = asyncio.Queue()
    hub = telling(url)

    @hub.on("orders", group="content", run_in="loop")
    def content(order: Order) -> None:
        handled.put_nowait(order)

    @hub.on("orders", group="message", run_in="loop")
    def whole(message: telex.Message[Order]) -> None:
        handled.put_nowait(message.content)

    @hub.on("orders", group="context")
    async def by_context(context: telex.Context[Order]) -> None:
        handled.put_nowait(context.message.content)

    @hub.on("orders", run_in="loop")
    def live(order: Order) -> None:
        handled.put_nowait(order)

    async with hub, telex.Hub(url) as elsewhere:
        await elsewhere.topic("orders").publish({"number": 7})
        assert [await handled.get() for _ in range(4)] == [Order(7)] * 4
        for group in ("content", "message", "context"):
            await settled(hub, group)
    assert handled.empty()


async def test_a_handler_may_publish_in_a_transaction_while_its_hub_closes(url: str) -> None:
    hub, begun, closing, told = telex.Hub(url), asyncio.Event(), asyncio.Event(), []

    @hub.on("a")
    async def first(content: int) -> None:
        begun.set()
        await closing.wait()
        assert hub.closed
        async with hub.transaction() as tx:
            await tx.publish("b", content)

    @hub.on("b", run_in="loop")
    def second(content: int) -> None:
        told.append(content)

    async with hub:
        await hub.topic("a").publish(1)
        await begun.wait()
        closed = asyncio.create_task(hub.aclose())
        await idle()
        closing.set()
        await closed
    assert told == [1]


async def test_a_transaction_that_outlives_its_hub_is_not_acknowledged() -> None:
    hub = telex.Hub("memory://")
    await hub.__aenter__()
    tx = hub.transaction()
    await tx.__aenter__()
    await tx.publish("a", 1)
    await hub.aclose()
    with pytest.raises(telex.Closed, match="nothing of it was published"):
        await tx.__aexit__(None, None, None)
