"""Following the commands of other hubs."""

import asyncio
from collections.abc import Collection
from typing import Any

import telex
from telex.commands.outcome import Outcome, unrun
from telex.commands.server import CANCELLED_BY_SENDER
from telex.commands.ticket import PendingOutcome
from telex.commands.transports.outcome_watch import OutcomeWatch
from telex.hub import runtime_of
from tests.support.internals import transport_of
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


async def test_outcomes_of_all_waiting_tickets_are_found_by_one_search_that_goes_on_after_an_error(file: str) -> None:
    searches: list[set[str]] = []

    async def find(name: str, ids: Collection[str]) -> list[Outcome[Any]]:
        searches.append(set(ids))
        if len(searches) == 1:
            raise ValueError("a record that nobody can read")
        return [unrun(name, id, None, CANCELLED_BY_SENDER) for id in ids if id != "3" or len(searches) > 2]

    async with telex.Hub(file) as hub:
        inbox = transport_of(hub).inbox
        watch = OutcomeWatch(runtime_of(hub), inbox, find, check_seconds=0.01)
        tickets: list[PendingOutcome[Any]] = [PendingOutcome("ship", id, None, None) for id in ("1", "2", "3")]
        for ticket in tickets:
            inbox.add(ticket)
            await watch.begin(ticket)
        for ticket in tickets:
            assert (await ticket.within(5)).error == CANCELLED_BY_SENDER
        await watch.close()
    assert searches == [{"1", "2", "3"}, {"1", "2", "3"}, {"3"}]
