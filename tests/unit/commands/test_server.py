"""One call of a command's handler: content, result and error are checked, and every end is an outcome."""

import asyncio
import logging
from typing import Any

import pytest

import telex
from tests.unit.commands.parts import Gate, Month, OutOfStock


def logged(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.levelno for record in caplog.records if record.name.startswith("telex")]


async def test_wrong_content_is_refused_before_anything_runs(url: str) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("report:build")
    async def build(month: Month) -> None:
        ran.append(month)

    async with hub:
        for method in (hub.call, hub.send):
            with pytest.raises(telex.ContentError, match=r"\$\.number"):
                await method("report:build", {"year": 2026, "number": "x"})
    assert not ran


@pytest.mark.parametrize("once", [False, True])
async def test_content_for_a_function_without_arguments_is_refused_and_none_is_not(url: str, once: bool) -> None:
    hub = telex.Hub(url)

    @hub.command("count", once=once)
    async def count(hub: telex.Hub) -> int:
        return 3

    @hub.command("look")
    async def look(context: telex.CommandContext[int], message: telex.Message[int]) -> bool:
        return context.content == message.content == 5

    async with hub:
        for method in (hub.call, hub.send):
            with pytest.raises(telex.ContentError, match=r"'count' is refused.*takes no content; send None"):
                await method("count", 5, key="a")
        assert await hub.call("count", key="a") == 3
        assert await hub.call("look", 5)


async def test_a_nack_in_a_command_that_does_not_run_once_fails_with_the_fix() -> None:
    hub = telex.Hub("memory://")

    @hub.command("ship")
    async def ship(order: int) -> None:
        raise telex.Nack("1m")

    async with hub:
        with pytest.raises(
            telex.CommandFailed, match=r"Nack is for handlers of groups and for commands with once=True"
        ):
            await hub.call("ship", 1)


async def test_content_that_another_program_sends_to_a_function_without_arguments_is_a_failed_outcome(
    file: str,
) -> None:
    hub = telex.Hub(file)

    @hub.command("count")
    async def count() -> int:
        return 3

    async with hub, telex.Hub(file) as sender:
        with pytest.raises(telex.CommandFailed, match="takes no content; send None") as caught:
            await sender.call("count", 5)
        assert caught.value.code == "refused"
        assert await sender.call("count") == 3


async def test_a_result_is_held_to_its_annotation(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("count")
    async def count() -> int:
        return "three"  # type: ignore[return-value]  # on purpose

    async with hub:
        with pytest.raises(telex.CommandFailed, match="Expected `int`") as caught:
            await hub.call("count")
        assert caught.value.code == "result_refused"


async def test_in_memory_a_result_passes_as_it_is() -> None:
    hub, result = telex.Hub(), object()

    @hub.command("bare")
    async def bare() -> Any:
        return result

    @hub.command("kept", once=True)
    async def kept() -> Any:
        return result

    async with hub:
        assert await hub.call("bare") is result
        with pytest.raises(telex.CommandFailed, match="object has no JSON form"):
            await hub.call("kept", key="a")


async def test_errors_keep_their_type_and_data(url: str, caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub(url)

    @hub.command("order")
    async def order(item: str) -> None:
        if item == "lamp":
            raise OutOfStock("no lamps", data={"next": "2026-12-01"})
        raise ZeroDivisionError("by zero")

    async with hub:
        with pytest.raises(telex.CommandFailed) as caught:
            await hub.call("order", "lamp")
        error = caught.value
        assert (error.command, error.type, error.code) == ("order", "OutOfStock", "out_of_stock")
        assert (error.message, error.data, error.replayed) == ("no lamps", {"next": "2026-12-01"}, False)
        assert isinstance(error.__cause__, OutOfStock)
        assert not logged(caplog), "what is raised on purpose is no fault to be logged"
        with pytest.raises(telex.CommandFailed, match="ZeroDivisionError: by zero") as caught:
            await hub.call("order", "sofa")
        assert (caught.value.type, caught.value.code) == ("ZeroDivisionError", "error")
    assert logged(caplog) == [logging.ERROR]


async def test_an_outcome_without_a_waiter_is_dropped(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    begun = []

    @hub.command("slow", concurrency=1)
    async def slow(number: int) -> None:
        begun.append(number)
        await gate.pass_through()

    async with hub:
        first = await hub.send("slow", 1)
        await gate.reached.wait()
        late, kept = await hub.send("slow", 2, timeout=0), await hub.send("slow", 3, timeout=60)
        gate.opened.set()
        outcome = await late.outcome(timeout=20)
        assert outcome.error is not None
        assert outcome.error.code == "expired"
        await first
        await kept
        assert hub.statistics().commands[0].expired == 1
    assert begun == [1, 3]


@pytest.mark.parametrize("how", ["returns", "raises", "takes its time"])
@pytest.mark.parametrize("once", [False, True])
async def test_a_hub_closes_whatever_a_handler_makes_of_being_cancelled(url: str, once: bool, how: str) -> None:
    hub, reached, ran = telex.Hub(url, close_timeout=0), asyncio.Event(), list[int]()

    async def build(number: int) -> int:
        ran.append(number)
        reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if how == "raises":
                raise ValueError from None
            if how == "takes its time":
                await asyncio.sleep(0)
        return number

    (hub.command("build", once=True) if once else hub.command("build"))(build)
    before = asyncio.all_tasks()
    async with asyncio.timeout(20), hub:
        ticket = await hub.send("build", 1, key="a")
        await reached.wait()
    assert asyncio.all_tasks() == before
    assert ran == [1]
    if how != "raises":
        assert await ticket.result(timeout=20) == 1
    else:  # an error may be tried again, where it runs once: nobody knows what becomes of it
        with pytest.raises(telex.Closed if once else telex.CommandFailed):
            await ticket.result(timeout=20)
