"""The runtime of a hub: the uses that each state allows, closing, and guarantees that an engine lacks."""

import asyncio
from typing import Any

import pytest

import telex
from telex.engines.contract.guarantees import Guarantees
from telex.engines.memory.engine import MemoryEngine
from telex.errors import Closed, Misuse, WrongThread
from telex.hub import runtime_of
from telex.runtime import HubBounds, Lifecycle, Runtime
from tests.support.loops import idle
from tests.support.shell import in_a_thread


def runtime(url: str = "memory://") -> Runtime:
    return Runtime(MemoryEngine(), url, "the hub")


@pytest.mark.parametrize(
    ("state", "serves", "closed", "ends"),
    [
        (Lifecycle.NEW, False, False, False),
        (Lifecycle.OPENING, False, False, False),
        (Lifecycle.OPEN, True, False, False),
        (Lifecycle.DRAINING, False, True, False),
        (Lifecycle.CLOSING, False, True, True),
        (Lifecycle.CLOSED, False, True, True),
    ],
)
def test_each_state_allows_its_own(state: Lifecycle, serves: bool, closed: bool, ends: bool) -> None:
    found = runtime()
    found.state = state
    assert (found.serves, found.closed, found.ends) == (serves, closed, ends)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("sqlite:///a.db?synchronous=full", "sqlite:///a.db?synchronous=full"),
        ("postgresql://me:secret@host:5432/shop?sslmode=require", "postgresql://host:5432/shop"),
        ("postgresql://me:p@ss@host/shop", "postgresql://host/shop"),
        ("postgresql://host/shop?password=secret", "postgresql://host/shop"),
        ("postgresql://host/shop?listen=postgresql://me:secret@db/shop", "postgresql://host/shop"),
    ],
)
def test_the_address_has_no_credentials(url: str, shown: str) -> None:
    assert runtime(url).address == shown


async def test_a_runtime_is_open_while_its_hub_is() -> None:
    hub = telex.Hub()
    found = runtime_of(hub)
    with pytest.raises(Closed, match="this hub"):
        found.check_open()
    async with hub:
        found.check_open()
        assert found.state is Lifecycle.OPEN
    with pytest.raises(Closed, match="it was closed") as raised:
        found.check_open()
    assert raised.value.what == "this hub"
    with pytest.raises(Closed):
        found.transaction()


async def test_declarations_on_an_open_hub_come_from_its_own_loop() -> None:
    hub = telex.Hub()
    in_a_thread(runtime_of(hub).check_thread)  # it is not open
    async with hub:
        runtime_of(hub).check_thread()

        def refused() -> str:
            with pytest.raises(WrongThread, match="declare on the open hub") as raised:
                runtime_of(hub).check_thread()
            return str(raised.value)

        assert in_a_thread(refused)


async def test_waiting_ends_when_the_calls_have_ended() -> None:
    found, calls = runtime(), [1, 2]
    found.moved()  # nothing waits for it
    waiting = asyncio.create_task(found.wait_until(lambda: not calls, 3600))
    for _ in range(2):
        await idle()
        assert not waiting.done()
        assert not found.ends
        calls.pop()
        found.moved()
    assert await waiting
    assert found.state is Lifecycle.CLOSING


async def test_waiting_ends_with_its_timeout() -> None:
    found = runtime()
    assert not await found.wait_until(lambda: False, 0)
    assert found.state is Lifecycle.CLOSING


async def test_a_wait_that_is_cancelled_ends_the_calls_too() -> None:
    found = runtime()
    waiting = asyncio.create_task(found.wait_until(lambda: False, 3600))
    await idle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert found.ends


async def test_closing_cancels_the_tasks_that_have_not_ended() -> None:
    found, ended = runtime(), list[str]()

    async def work(name: str, seconds: float) -> None:
        try:
            await (asyncio.sleep(0) if not seconds else asyncio.Event().wait())
            ended.append(f"{name} done")
        except asyncio.CancelledError:
            ended.append(f"{name} cancelled")
            raise ValueError("on its way out") from None

    quick, slow = asyncio.create_task(work("quick", 0)), asyncio.create_task(work("slow", 1))
    for task in (quick, slow):
        found.own(task)
    await idle()
    assert found.tasks == {slow}
    await found.cancel()
    assert ended == ["quick done", "slow cancelled"]
    assert not found.tasks


@pytest.mark.parametrize("part", ["records", "store", "groups"])
def test_an_engine_without_a_guarantee_is_named_with_the_feature(part: str) -> None:
    engine: Any = MemoryEngine()
    found = Runtime(engine, "other://me:secret@host/x", None)
    setattr(engine, part, None)
    with pytest.raises(Misuse, match=rf"use timers on 'other://host/x'.*no {part}") as raised:
        getattr(found, part)("timers")
    assert "sqlite:///" in str(raised.value)


@pytest.mark.parametrize(
    ("guarantee", "use"),
    [
        ("transactions", lambda runtime: runtime.transaction()),
        ("records", lambda runtime: runtime.records("timers")),
        ("groups", lambda runtime: runtime.groups("timers")),
        ("sql", lambda runtime: runtime.outbox("timers")),
        ("shared", lambda runtime: runtime.outbox("timers")),
        ("delayed", lambda runtime: runtime.require("timers", "history", "delayed", "shared")),
    ],
)
async def test_a_guarantee_that_the_engine_does_not_declare_is_named(guarantee: str, use: Any) -> None:
    engine: Any = MemoryEngine()
    every = dict.fromkeys(engine.guarantees.__struct_fields__, True)
    engine.guarantees = Guarantees(**every | {guarantee: False})
    hub = telex.Hub(engine)
    async with hub:
        with pytest.raises(Misuse, match=f"does not guarantee `{guarantee}`"):
            use(runtime_of(hub))


async def test_a_handler_may_use_the_hub_while_it_drains() -> None:
    hub, used = telex.Hub(), list[str]()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @hub.on("a")
    async def handler(content: int) -> None:
        begun.set()
        await go_on.wait()
        runtime_of(hub).check_open()
        used.append("handler")

    async with hub:
        await hub.topic("a").publish(1)
        await begun.wait()
        closing = asyncio.create_task(hub.aclose())
        await idle()
        with pytest.raises(Closed):
            runtime_of(hub).check_open()
        go_on.set()
        await closing
    assert used == ["handler"]


def test_the_bounds_of_a_hub_are_positive() -> None:
    bounds = HubBounds()
    assert all(getattr(bounds, name) > 0 for name in bounds.__struct_fields__)
