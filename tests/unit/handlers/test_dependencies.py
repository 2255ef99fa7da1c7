"""Dependencies of handlers, commands and triggers: made in order, once a call or once a hub, and cleaned up."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest

import telex

STEPS: list[str] = []


@pytest.fixture(autouse=True)
def no_steps() -> None:
    STEPS.clear()


def settings() -> str:
    STEPS.append("settings")
    return "settings"


Settings = Annotated[str, telex.Depends(settings)]


def connection(given: Settings) -> Iterator[str]:
    STEPS.append("connect")
    try:
        yield f"connection by {given}"
    except ValueError:
        STEPS.append("roll back")
        raise
    else:
        STEPS.append("commit")
    finally:
        STEPS.append("disconnect")


Connection = Annotated[str, telex.Depends(connection)]


async def session(given: Settings, connection: Connection) -> AsyncIterator[str]:
    STEPS.append("begin")
    yield f"session on {connection}"
    STEPS.append("end")


Session = Annotated[str, telex.Depends(session)]


async def pool() -> AsyncIterator[str]:
    STEPS.append("open pool")
    try:
        yield "pool"
    finally:
        STEPS.append("close pool")


Pool = Annotated[str, telex.Depends(pool, scope="process")]


async def test_a_call_makes_each_value_once_in_order_and_cleans_up_the_last_first() -> None:
    hub, seen = telex.Hub(), []

    @hub.on("orders")
    async def handle(session: Session, order: int, given: Settings, connection: Connection) -> None:
        seen.append((session, order, given, connection))

    async with hub:
        await hub.topic("orders").publish(1)
        await hub.idle()
    assert seen == [("session on connection by settings", 1, "settings", "connection by settings")]
    assert STEPS == ["settings", "connect", "begin", "end", "commit", "disconnect"]


@pytest.mark.parametrize("run_in", ["loop", "thread"])
async def test_a_sync_function_gets_sync_dependencies_where_it_runs(run_in: Any) -> None:
    hub = telex.Hub()

    @hub.command("read", run_in=run_in)
    def read(key: str, connection: Connection, pool: Pool) -> str:
        return f"{key} by {connection} of {pool}"

    async with hub:
        assert await hub.call("read", "k") == "k by connection by settings of pool"
        assert await hub.call("read", "l") == "l by connection by settings of pool"
    assert ["open pool", *["settings", "connect", "commit", "disconnect"] * 2, "close pool"] == STEPS


async def test_an_error_of_the_call_reaches_the_dependency_and_its_sender() -> None:
    hub = telex.Hub()

    @hub.command("fail")
    async def fail(connection: Connection) -> None:
        raise ValueError("declined")

    async with hub:
        with pytest.raises(telex.CommandFailed, match="declined"):
            await hub.call("fail")
    assert STEPS == ["settings", "connect", "roll back", "disconnect"]


def swallowing() -> Iterator[int]:
    try:
        yield 1
    except ValueError:
        STEPS.append("swallowed")


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_dependency_cannot_hide_the_error_of_a_call(is_async: bool) -> None:
    hub = telex.Hub()

    async def fail(number: Annotated[int, telex.Depends(swallowing)]) -> None:
        raise ValueError("declined")

    def fail_in_a_thread(number: Annotated[int, telex.Depends(swallowing)]) -> None:
        raise ValueError("declined")

    hub.command("fail")(fail if is_async else fail_in_a_thread)
    async with hub:
        with pytest.raises(telex.CommandFailed, match="declined"):
            await hub.call("fail")
    assert STEPS == ["swallowed"]


async def test_handlers_commands_and_triggers_share_a_value_of_the_process() -> None:
    hub, seen = telex.Hub(), []

    @hub.on("orders")
    async def handle(order: int, pool: Pool) -> None:
        seen.append(pool)

    @hub.command("use")
    async def use(pool: Pool) -> str:
        return pool

    @hub.every("1h", name="hourly")
    async def hourly(pool: Pool) -> None:
        seen.append(pool)

    async with hub:
        assert STEPS == ["open pool"]
        await hub.topic("orders").publish(1)
        await hub.trigger("hourly").fire()
        await hub.idle()
        assert await hub.call("use") == "pool"
    assert seen == ["pool", "pool"]
    assert STEPS == ["open pool", "close pool"]


async def test_a_stream_holds_its_dependencies_until_its_end() -> None:
    hub = telex.Hub()

    @hub.command("count")
    async def count(connection: Connection) -> AsyncIterator[str]:
        yield connection
        assert "disconnect" not in STEPS

    async with hub:
        assert [part.content async for part in hub.stream("count")] == ["connection by settings"]
    assert STEPS[-1] == "disconnect"


async def test_a_dependency_cannot_hide_the_error_of_a_stream() -> None:
    hub = telex.Hub()

    @hub.command("parts")
    async def parts(number: int, value: Annotated[int, telex.Depends(swallowing)]) -> AsyncIterator[int]:
        yield number
        raise ValueError("mine")

    async with hub:
        parts_of = aiter(hub.stream("parts", 1))
        assert (await anext(parts_of)).content == 1
        with pytest.raises(telex.CommandFailed, match="ValueError: mine"):
            await anext(parts_of)


async def test_a_value_of_the_process_is_cleaned_up_although_others_fail() -> None:
    hub = telex.Hub()

    def opened() -> Iterator[str]:
        yield "opened"
        STEPS.append("closed")

    async def fails(value: Annotated[str, telex.Depends(opened, scope="process")]) -> AsyncIterator[str]:
        yield value
        raise RuntimeError("cannot close")

    @hub.on("orders")
    async def bill(order: str, value: Annotated[str, telex.Depends(fails, scope="process")]) -> None: ...

    await hub.__aenter__()
    with pytest.raises(RuntimeError, match="cannot close"):
        await hub.aclose()
    assert STEPS == ["closed"]
    assert hub.closed


async def test_overrides_take_the_place_of_factories_also_of_those_that_others_need() -> None:
    def fake() -> str:
        return "fake"

    hub = telex.Hub(overrides={settings: fake})

    @hub.command("read")
    async def read(connection: Connection, given: Settings) -> str:
        return f"{connection}, {given}"

    async with hub:
        assert await hub.call("read") == "connection by fake, fake"
    assert "settings" not in STEPS


async def test_a_factory_that_fails_fails_the_call_or_the_opening_and_leaves_nothing() -> None:
    def broken() -> int:
        raise LookupError("no settings")

    hub = telex.Hub()

    @hub.command("read")
    async def read(connection: Connection, broken: Annotated[int, telex.Depends(broken)]) -> None: ...

    async with hub:
        with pytest.raises(telex.CommandFailed, match="no settings"):
            await hub.call("read")
    assert STEPS == ["settings", "connect", "disconnect"]
    hub = telex.Hub()

    @hub.on("orders")
    async def handle(
        order: int, pool: Pool, broken: Annotated[int, telex.Depends(broken, scope="process")]
    ) -> None: ...

    STEPS.clear()
    with pytest.raises(LookupError, match="no settings"):
        await hub.__aenter__()
    assert STEPS == ["open pool", "close pool"]


def first(second: Annotated[int, telex.Depends(lambda: 0)]) -> int:
    return 1


def test_mistakes_are_told_where_the_function_is_declared() -> None:
    async def needs_itself(again: Any) -> int:
        return 1

    needs_itself.__annotations__["again"] = Annotated[int, telex.Depends(needs_itself)]

    def takes_an_order(order: int) -> int:
        return order

    def of_a_call(given: Settings) -> str:
        return given

    async def use_cycle(order: int, value: Annotated[int, telex.Depends(needs_itself)]) -> None: ...
    async def use_order(order: int, value: Annotated[int, telex.Depends(takes_an_order)]) -> None: ...
    async def use_long(order: int, value: Annotated[str, telex.Depends(of_a_call, scope="process")]) -> None: ...
    def use_async(order: int, value: Session) -> None: ...
    async def by_place(order: int, value: Settings, /) -> None: ...

    for function, problem in (
        (use_cycle, "it depends on itself"),
        (use_order, "a factory takes only dependencies"),
        (use_long, "give it scope='process', too"),
        (use_async, "make the function `async def`, or give scope='process'"),
        (by_place, "leave out the '/'"),
    ):
        with pytest.raises(telex.BadHandler, match=problem):
            telex.Hub().command("use")(function)
    with pytest.raises(telex.BadHandler, match="dependencies stay in this process"):
        telex.Hub().command("use", run_in="process")(first)
    with pytest.raises(telex.BadOption, match="overrides"):
        telex.Hub(overrides={settings: "fake"})  # type: ignore[dict-item]  # the mistake


async def test_a_value_of_the_process_cannot_come_after_the_hub_is_open() -> None:
    async with telex.Hub() as hub:

        async def late(order: int, pool: Pool) -> None: ...

        with pytest.raises(telex.Closed, match="declare the function before"):
            hub.on("orders")(late)
