"""The commands of all hubs on an engine that stores messages, by id."""

import asyncio

import telex
from tests.unit.commands.parts import Gate, building


async def test_another_hub_lists_cancels_and_retries(file: str, gate: Gate) -> None:
    hub = telex.Hub(file)

    @hub.command("wait", concurrency=1)
    async def wait(number: int) -> None:
        await gate.pass_through()

    async with hub, telex.Hub(file) as other:
        running = await hub.send("wait", 1)
        await gate.reached.wait()
        queued = await hub.send("wait", 2)
        delayed = await hub.send("wait", 3, delay="1h")
        assert [job.id for job in await other.commands()] == [delayed.id, queued.id, running.id]
        for ticket in (delayed, queued, running):
            assert await (await other.ticket(ticket.id)).cancel()
        for ticket in (delayed, queued, running):
            error = (await ticket.outcome(timeout=5)).error
            assert error is not None
            assert error.code == "cancelled"
        assert [job.state for job in await other.commands()] == ["cancelled"] * 3
    assert gate.passed == 0


async def test_a_duplicate_that_got_the_outcome_of_its_key_is_not_queued(file: str, gate: Gate) -> None:
    hub = telex.Hub(file)
    building(hub, gate)
    async with hub:
        tickets = [await hub.send("build", 1, key="k") for _ in range(2)]
        await gate.reached.wait()
        gate.opened.set()
        for ticket in tickets:
            await ticket.result(timeout=5)

        async def states() -> list[str]:
            return [job.state for job in await hub.commands()]

        while "queued" in (found := await states()):  # until the acknowledgement is stored
            pass
        assert found in (["done"], ["done", "done"])
        async with telex.Hub(file) as other:
            assert await (await other.ticket(tickets[1].id)).result(timeout=5) == 1


async def test_two_retries_of_one_failure_are_one_attempt(file: str, gate: Gate) -> None:
    hub, ran = telex.Hub(file), list[int]()

    @hub.command("ship")
    async def ship(number: int) -> None:
        ran.append(number)
        if len(ran) > 1:
            await gate.opened.wait()
        raise telex.CommandError("none left")

    async with hub, telex.Hub(file) as other:
        ticket = await hub.send("ship", 7)
        await ticket.outcome(timeout=5)
        again = await asyncio.gather(hub.retry(ticket.id), other.retry(ticket.id), return_exceptions=True)
        tickets = [each for each in again if not isinstance(each, BaseException)]
        assert tickets
        gate.opened.set()
        for each in tickets:
            assert (await each.outcome(timeout=5)).attempt == 2
        for error in again:  # of a hub that came after the other
            assert not isinstance(error, BaseException) or "the command is not ended" in str(error)
    assert len(ran) == 2
