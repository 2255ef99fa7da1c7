"""The commands of all hubs on an engine that stores messages, by id."""

import asyncio
from unittest.mock import AsyncMock

import pytest
from msgspec.structs import replace

import telex
from telex.commands.transports.job_records import JobRecords
from telex.topics.stored import EnginePublisher
from tests.support.internals import engine_of, records_of
from tests.support.pretend import PretendEngine, Server
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
            assert error == telex.Failure("Cancelled", "cancelled", "another process cancelled it")
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
            assert not isinstance(error, BaseException) or "the command has not ended, and only" in str(error)
    assert len(ran) == 2


async def test_a_retry_that_cannot_be_published_leaves_the_command_failed(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, ran = telex.Hub(file), list[int]()

    @hub.command("ship", keep="1h")
    async def ship(number: int) -> None:
        ran.append(number)
        raise telex.CommandError("none left")

    async with hub:
        ticket = await hub.send("ship", 1)
        await ticket.outcome(timeout=5)
        with monkeypatch.context() as patched:
            patched.setattr(EnginePublisher, "publish_held", AsyncMock(side_effect=telex.EngineFailed("x", "killed")))
            with pytest.raises(telex.EngineFailed):
                await hub.retry(ticket.id)
        assert [job.state for job in await hub.commands()] == ["failed"]
        assert (await (await hub.retry(ticket.id)).outcome(timeout=5)).attempt == 2
    assert ran == [1, 1]


async def test_a_retry_of_a_command_that_was_cancelled_too_late_runs(file: str) -> None:
    hub, ran = telex.Hub(file), list[int]()

    @hub.command("ship", keep="1h")
    async def ship(number: int) -> int:
        ran.append(number)
        if len(ran) == 1:
            raise telex.CommandError("none left")
        return number

    async with hub:
        ticket = await hub.send("ship", 1)
        await ticket.outcome(timeout=5)
        records = JobRecords(records_of(hub))
        await records.cancel("ship", ticket.id, "hub")  # another process, which had not read the outcome yet
        await hub.topic("$command:ship:cancel").publish({"id": ticket.id})
        assert await (await hub.retry(ticket.id)).result(timeout=5) == 1


@pytest.mark.slow
async def test_a_sender_gets_the_outcome_of_a_canceller_that_was_killed_before_it_published(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, ran = telex.Hub(file), list[int]()

    @hub.command("ship")
    async def ship(number: int) -> None:
        ran.append(number)

    async with hub, telex.Hub(file) as sender:
        ticket = await sender.send("ship", 1, delay="500ms")
        found = await hub.ticket(ticket.id)
        with monkeypatch.context() as patched:
            patched.setattr(engine_of(hub).store, "append", AsyncMock(side_effect=telex.EngineFailed("x", "killed")))
            with pytest.raises(telex.EngineFailed):
                await found.cancel()
        outcome = await ticket.outcome(timeout=5)  # when the command is due
        assert outcome.error is not None
        assert outcome.error.code == "cancelled"
    assert ran == []


async def test_commands_by_id_work_on_an_engine_whose_numbers_have_gaps(gate: Gate) -> None:
    server = Server(seed=7)
    hub, ran = telex.Hub(PretendEngine(server)), list[int]()

    @hub.command("ship", keep="1h", concurrency=1)
    async def ship(number: int) -> int:
        ran.append(number)
        if len(ran) == 1:
            raise telex.CommandError("none left")
        return number

    async with hub, telex.Hub(PretendEngine(server)) as other:
        failed = await other.send("ship", 1)
        await failed.outcome(timeout=5)
        never = await other.send("ship", 2, delay="1h")
        assert await (await hub.ticket(never.id)).cancel()
        soon = await hub.send("ship", 3, delay="10ms", priority="high")
        assert await (await other.ticket(soon.id)).result(timeout=5) == 3
        assert await (await other.retry(failed.id)).result(timeout=5) == 1
        assert [(job.id, job.state, job.attempt) for job in await other.commands()] == [
            (soon.id, "done", 1),
            (never.id, "cancelled", 0),
            (failed.id, "done", 2),
        ]
    assert ran == [1, 3, 1]


async def test_an_engine_without_records_refuses_commands_by_id_and_names_the_guarantee() -> None:
    engine = PretendEngine(Server())
    engine.guarantees = replace(engine.guarantees, records=False)
    async with telex.Hub(engine) as hub:
        for refused in (hub.ticket("x"), hub.commands(), hub.retry("x"), hub.send("x", delay="1s"), hub.send("x")):
            with pytest.raises(telex.Misuse, match="does not guarantee `records`; use another one"):
                await refused


async def test_a_kept_large_result_is_left_out_of_listings_and_the_ticket_has_it_also_after_a_large_error(
    file: str,
) -> None:
    worker = telex.Hub(file)

    @worker.command("large", keep="1d")
    async def large(size: int, context: telex.CommandContext[int]) -> str:
        if context.attempt == 1:
            raise telex.CommandError("too large", code="large", data="x" * size)
        return "y" * size

    async with worker, telex.Hub(file) as other:
        first = await other.send("large", 300_000)
        assert not (await first.outcome(timeout=20)).ok
        assert await (await other.retry(first.id)).result(timeout=20) == "y" * 300_000
        assert await (await worker.ticket(first.id)).result(timeout=20) == "y" * 300_000
        (job,) = await other.commands()
        assert (job.state, job.attempt, job.result, job.completed_at is None) == ("done", 2, None, False)
