"""Following the commands of other hubs."""

import asyncio

import telex
from tests.unit.commands.parts import Gate


async def test_progress_and_outcome_come_to_a_ticket_of_another_hub(file: str, gate: Gate) -> None:
    hub, seen = telex.Hub(file), asyncio.Event()

    @hub.command("wait")
    async def wait(number: int, ctx: telex.CommandContext[int]) -> int:
        ctx.progress(0.1, "begun")
        await gate.pass_through()
        ctx.progress(0.5, "half")
        await seen.wait()
        return number

    async with hub, telex.Hub(file) as other:
        sent = await hub.send("wait", 7)
        await gate.reached.wait()
        tickets = [await other.ticket(sent.id) for _ in range(2)]
        gate.opened.set()
        async for step in tickets[0].progress():
            if step.text == "half":
                seen.set()
        assert seen.is_set()
        assert [await ticket.result(timeout=5) for ticket in tickets] == [7, 7]
