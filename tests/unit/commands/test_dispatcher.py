"""The commands of a hub: declared late, served by nobody, open when the hub closes; options of sending."""

import asyncio

import pytest

import telex
from tests.unit.commands.parts import Gate


async def test_nobody_serves_it(url: str) -> None:
    async with telex.Hub(url) as hub:
        with pytest.raises(telex.NoHandler, match="nobody serves the command 'report:build'"):
            await hub.call("report:build", 1)
        with pytest.raises(telex.BadName):
            await hub.call("report build", 1)


async def test_a_command_sent_before_its_declaration_is_carried_out(url: str) -> None:
    async with telex.Hub(url) as hub:
        ticket = await hub.send("double", 21)
        assert not ticket.done

        @hub.command("double")
        async def double(number: int) -> int:
            return 2 * number

        assert await ticket == 42
        assert await hub.call("double", 2) == 4, "at once"


async def test_closing_lets_commands_finish(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("slow")
    async def slow() -> str:
        await gate.pass_through()
        return "done"

    async with hub:
        ticket = await hub.send("slow")
        await gate.reached.wait()
        gate.opened.set()
    assert gate.passed == 1
    assert ticket.done
    assert await ticket == "done"
    with pytest.raises(telex.Closed):
        await hub.call("slow")


async def test_closing_does_not_wait_for_ever(url: str, gate: Gate) -> None:
    hub = telex.Hub(url, close_timeout=0.05)

    @hub.command("slow")
    async def slow() -> None:
        await gate.pass_through()

    async with hub:
        ticket = await hub.send("slow")
        await gate.reached.wait()
        waiting = asyncio.create_task(ticket.outcome())
        await asyncio.sleep(0)
    with pytest.raises(telex.Closed, match="before its outcome came"):
        await waiting
    with pytest.raises(telex.Closed):
        await ticket
