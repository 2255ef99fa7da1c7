"""The groups of a hub: handlers that share one, and closing."""

import asyncio

import pytest

import telex
from telex.engines.memory.engine import MemoryEngine
from tests.support.loops import idle
from tests.support.shell import left
from tests.unit.groups.parts import QUICK, Express, Paid, Placed, info, watched


async def test_typed_handlers_of_a_group_share_its_messages() -> None:
    hub = telex.Hub("memory://")
    calls: list[str] = []

    @hub.on("x", Placed, group="g")
    async def placed(content: Placed) -> None:
        calls.append(f"placed {type(content).__name__}")

    @hub.on("x", Paid, group="g", retry=QUICK, concurrency=2)
    async def paid(content: Paid) -> None:
        calls.append("paid")
        raise ValueError("always")

    async with hub, hub.topic("dead:g").subscribe() as dead:
        for content in (Placed(), Express(), Paid(), 5):
            await hub.topic("x").publish(content)
        for _ in range(4):
            await idle()
        assert sorted(calls) == ["paid", "paid", "placed Express", "placed Placed"]
        reasons = {letter.reason for letter in await hub.groups.dead()}
        assert reasons == {"no handler takes int", "ValueError: always"}
        assert (hub.statistics().unhandled, dead.waiting, (await info(hub)).lag) == (1, 2, 0)
        names = [task for task in left(hub)["tasks"] if "telex group" in task]  # type: ignore[attr-defined]
        assert len(names) == 1, "one that claims"

        @hub.on("x", int, group="g")
        async def number(content: int) -> None:
            calls.append("number")

        await hub.topic("x").publish(6)
        await idle()
        assert calls[-1] == "number"


def test_handlers_that_cannot_share_a_group_are_refused() -> None:
    hub = telex.Hub("memory://")
    hub.on("x", Placed, group="g", run_in="loop")(print)
    hub.on("x", Placed, group="other", run_in="loop")(print)
    hub.on("y", Placed, group="g", run_in="loop")(print)
    router = telex.Router()
    router.on("x", Paid, Placed, group="g", run_in="loop")(print)
    with pytest.raises(telex.BadOption, match="takes Placed in group 'g' already"):
        hub.on("x", Placed, group="g", run_in="loop")(print)
    with pytest.raises(telex.BadOption, match="takes Placed in group 'g' already"):
        hub.include_router(router)
    with pytest.raises(telex.BadOption, match="which pattern"):
        hub.on(Placed, group="g", run_in="loop")(print)


def test_an_engine_without_groups_is_told_where_the_handler_is_declared() -> None:
    engine = MemoryEngine()
    engine.groups = None
    with pytest.raises(telex.Misuse, match="has no groups"):
        telex.Hub(engine).on("x", group="g", run_in="loop")(print)


async def test_closing_gives_back_waiting_deliveries_and_ends_running_ones() -> None:
    hub, groups = watched()
    go_on, ended = asyncio.Event(), []

    @hub.on("x", group="g")
    async def handle(content: int) -> None:
        await go_on.wait() if content >= 200 else None
        ended.append(content)

    await hub.__aenter__()
    for content in range(400):
        hub.topic("x").publish_nowait(content)
    while len(ended) < 200:
        await idle()
    held = (await info(hub)).leased
    assert held > 1, "something was claimed ahead"
    closing = asyncio.create_task(hub.aclose())
    await idle()
    assert groups.actions()[-1] == ["release"] * (held - 1)
    go_on.set()
    await closing
    assert ended[200:] == [200]
    (found,) = await groups.groups()
    assert (found.lag, found.leased) == (199, 0)
    again = (await groups.fetch("g", "x", 199, 30.0, "test", 0.0)).deliveries
    assert [each.attempt for each in again] == [1] * 199, "deliveries that no call has begun lose no attempt"


@pytest.mark.parametrize("turns", range(12))
async def test_closing_that_is_cancelled_anywhere_leaves_nothing(turns: int) -> None:
    hub, groups = watched(close_timeout=0.1)

    @hub.on("x", group="g", concurrency=3, lease="1s")
    async def handle(content: int) -> None:
        await asyncio.Event().wait() if content % 2 else None

    before = left(hub)
    await hub.__aenter__()
    for content in range(20):
        await hub.topic("x").publish(content)
    for _ in range(turns // 2):
        await asyncio.sleep(0)
    closing = asyncio.create_task(hub.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing})
    await hub.aclose()
    await idle()
    found = left(hub)
    assert {name: found[name] for name in before} == before
    assert all(state.leased == 0 for state in await groups.groups())
