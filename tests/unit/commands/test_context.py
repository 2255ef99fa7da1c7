"""The context of a call: what it says of the command, and reports of progress."""

from typing import Any

import pytest

import telex
from telex.commands.context import CommandContext
from telex.commands.invocation import Invocation


async def test_progress_that_is_awaited_is_told_so(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("build")
    async def build(ctx: telex.CommandContext[None]) -> None:
        await ctx.progress(0.4)  # type: ignore[misc, func-returns-value]  # the mistake

    async with hub:
        with pytest.raises(telex.CommandFailed, match=r"write ctx.progress\(\.\.\.\) without await"):
            await hub.call("build", timeout=20)


def context(**fields: Any) -> tuple[telex.CommandContext[Any], list[telex.Progress]]:
    told: list[telex.Progress] = []
    invocation = Invocation("build", 5, "id", "k", "the hub", lambda invocation, step: told.append(step), **fields)
    return CommandContext(invocation), told


def test_a_context_says_what_its_command_is() -> None:
    message: telex.Message[int] = telex.Message.new(5)
    found, _ = context(deadline=7.0, attempt=2, fence=9, tx="the transaction", sent=message)
    assert (found.command, found.content, found.id, found.key) == ("build", 5, "id", "k")
    assert (found.deadline, found.attempt, found.fence) == (7.0, 2, 9)
    assert (found.hub, found.tx, found.message) == ("the hub", "the transaction", message)
    assert repr(found) == "<CommandContext of 'build' id, attempt 2>"


@pytest.mark.parametrize("fraction", [0, 0.0, 0.5, 1, True])
def test_progress_is_reported_as_a_fraction_and_a_text(fraction: float) -> None:
    found, told = context()
    found.progress(fraction, "caf\udce9")
    (step,) = told
    assert step == telex.Progress("build", "id", "k", float(fraction), r"caf\udce9")
    assert type(step.fraction) is float


@pytest.mark.parametrize("fraction", [-0.1, 1.1, "40%", None, float("nan")])
def test_a_fraction_is_from_0_to_1(fraction: Any) -> None:
    found, told = context()
    with pytest.raises(telex.BadOption, match="from 0 to 1") as raised:
        found.progress(fraction)
    assert raised.value.option == "fraction"
    assert told == []
