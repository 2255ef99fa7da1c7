"""The states of commands that were sent, and the options of their listing; on each engine, commands by id."""

import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

import telex
from telex.commands.job import MAX_CONTENT_BYTES, CommandInfo, CommandState, JobFilter, filter_for
from telex.commands.plan import LEVELS
from tests.support.loops import until
from tests.unit.commands.parts import Gate, OutOfStock, is_past


class Order(msgspec.Struct, frozen=True):
    number: int


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"state": "over"}, "it must be one of delayed, queued, running, done, failed, cancelled, expired"),
        ({"limit": 0}, "it must be from 1 to 1000"),
        ({"limit": 1001}, "list again with before="),
        ({"before": 7}, "it must be the id of a command"),
        ({"id": ""}, "id"),
    ],
)
def test_a_bad_option_of_a_listing_is_refused_with_its_fix(options: dict[str, object], text: str) -> None:
    given: dict[str, object] = {"state": None, "name": None, "limit": 10, "before": None, "id": None} | options
    with pytest.raises(telex.BadOption, match=text):
        filter_for(given["state"], None, given["limit"], given["before"], given["id"])  # type: ignore[arg-type]  # as a caller may


def test_with_several_states_the_limit_is_that_of_each() -> None:
    states: list[CommandState] = ["queued", "queued", "running", "queued", "running", "failed"]
    jobs = [CommandInfo(id=str(number), command="ship", state=state) for number, state in enumerate(states)]
    both = JobFilter(frozenset(("queued", "running")), None, 1, None)
    assert [job.id for job in both.first([job for job in jobs if both.takes(job)])] == ["0", "2"]
    one = JobFilter(frozenset(("queued",)), None, 2, None)
    assert [job.id for job in one.first([job for job in jobs if one.takes(job)])] == ["0", "1"]


async def test_another_hub_gets_the_result_of_a_command_by_its_id(file: str) -> None:
    hub = telex.Hub(file)

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    async with hub, telex.Hub(file) as other:
        sent = await hub.send("double", 21)
        ticket = await other.ticket(sent.id)
        assert (ticket.id, ticket.command, await ticket.result(timeout=5)) == (sent.id, "double", 42)
        again = await other.ticket(sent.id)
        assert again.done
        assert await again == 42


async def test_a_ticket_by_id_waits_for_a_running_command_and_cancels_it(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("wait")
    async def wait(number: int) -> None:
        await gate.pass_through()

    async with hub:
        sent = await hub.send("wait", 1)
        await gate.reached.wait()
        ticket = await hub.ticket(sent.id)
        assert not ticket.done
        assert await ticket.cancel()
        failure = telex.Failure("Cancelled", "cancelled", "its sender cancelled it")
        assert (await ticket.outcome(timeout=5)).error == (await sent.outcome(timeout=5)).error == failure
        assert [job.state for job in await hub.commands(name="wait")] == ["cancelled"]
        assert not await ticket.cancel()


async def test_an_unknown_id_is_told_with_how_to_keep_outcomes(url: str) -> None:
    async with telex.Hub(url) as hub:
        with pytest.raises(telex.NoSuchCommand, match=r"there is no command with the id 'x'.*keep='1d'"):
            await hub.ticket("x")
        with pytest.raises(telex.NoSuchCommand):
            await hub.retry("x")


async def test_commands_are_listed_by_state_name_and_page(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("order:ship")
    async def ship(number: int) -> int:
        if number == 2:
            raise OutOfStock("none left")
        return number

    async with hub:
        tickets = [await hub.send("order:ship", number, timeout=60) for number in (1, 2, 3)]
        for ticket in tickets:
            await ticket.outcome(timeout=5)
        later = await hub.send("order:ship", 4, delay="1h")
        unserved = await hub.send("order:bill", 5, key="k")
        jobs = await hub.commands()
        assert [job.id for job in jobs] == [each.id for each in (unserved, later, *reversed(tickets))]
        assert [job.state for job in jobs] == ["queued", "delayed", "done", "failed", "done"]
        assert [job.result for job in jobs if job.state == "done"] == [3, 1]
        assert (jobs[0].command, jobs[0].key, jobs[0].ended) == ("order:bill", "k", False)
        (failed,) = await hub.commands(state="failed")
        assert failed.error is not None
        assert (failed.id, failed.error.code, failed.attempt, failed.ended) == (tickets[1].id, "out_of_stock", 1, True)
        assert [job.id for job in await hub.commands(name="order:bill")] == [unserved.id]
        first = await hub.commands(limit=2)
        second = await hub.commands(limit=2, before=first[-1].id)
        assert [job.id for job in first + second] == [job.id for job in jobs[:4]]


async def test_a_command_has_its_content_its_key_and_the_headers_that_were_passed_on(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("order:ship")
    async def ship(order: Order) -> None:
        await gate.pass_through()

    @hub.on("orders")
    async def sell(order: Order) -> None:
        sent.append(await hub.send("order:ship", order, key="order-7"))

    sent = list[telex.Ticket[None]]()
    async with hub:
        await hub.topic("orders").publish({"number": 7}, headers={"correlation-id": "c-7"})
        await gate.reached.wait()
        delayed = await hub.send("order:bill", [8], delay="1h")
        large = await hub.send("order:bill", "x" * MAX_CONTENT_BYTES)
        jobs = {job.id: job for job in await hub.commands()}
        running = jobs[sent[0].id]
        assert (running.state, running.attempt) == ("running", 1)
        assert (running.content, running.content_bytes) == ({"number": 7}, 12)
        assert (running.key, running.headers) == ("order-7", {"correlation-id": "c-7"})
        assert (jobs[delayed.id].content, jobs[delayed.id].headers) == ([8], {})
        assert (jobs[large.id].content, jobs[large.id].content_bytes) == (None, MAX_CONTENT_BYTES + 2)
        assert await hub.commands(id=delayed.id) == [jobs[delayed.id]]
        assert await hub.commands(id=delayed.id, name="order:ship") == []
        assert await hub.commands(id="unknown") == []
        gate.opened.set()
        await sent[0].result(timeout=5)


async def test_content_without_a_json_form_is_listed_as_text_in_memory() -> None:
    async with telex.Hub() as hub:
        ticket = await hub.send("order:ship", object())
        (job,) = await hub.commands(id=ticket.id)
        assert str(job.content).startswith("<object object")


async def test_a_delayed_command_begins_when_it_is_due(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("double")
    async def double(number: int) -> int:
        return 2 * number

    async with hub:
        later = datetime.now(UTC) + timedelta(hours=1)
        waiting = await hub.send("double", 5, at=later)
        (job,) = await hub.commands()
        assert (job.id, job.due_at) == (waiting.id, later)
        assert await waiting.cancel()
        due = datetime.now(UTC) + timedelta(seconds=0.05)
        ticket = await hub.send("double", 4, at=due)
        assert await (await hub.ticket(ticket.id)).result(timeout=5) == 8
        outcome = await ticket.outcome(timeout=5)
        assert outcome.completed_at >= due
        (job,) = await hub.commands(state="done")
        assert (job.id, job.result) == (ticket.id, 8)


async def test_a_delayed_command_that_is_cancelled_never_begins(url: str) -> None:
    hub, ran = telex.Hub(url), list[int]()

    @hub.command("note")
    async def note(number: int) -> None:
        ran.append(number)

    async with hub, hub.follow("note") as outcomes:
        ticket = await hub.send("note", 1, delay="100ms")
        found = await hub.ticket(ticket.id)
        assert await found.cancel()
        outcome = await ticket.outcome(timeout=0)  # the outcome comes before the command is due
        assert outcome.error is not None
        assert outcome.error.code == "cancelled"
        assert await outcomes.receive(timeout=5) == outcome
        assert [job.state for job in await hub.commands()] == ["cancelled"]
        await (await hub.send("note", 2, delay="150ms")).outcome(timeout=5)
    assert ran == [2]


async def test_a_delayed_command_that_nobody_serves_is_cancelled_at_once(url: str) -> None:
    async with telex.Hub(url) as hub, hub.follow("note") as outcomes:
        ticket = await hub.send("note", 1, delay="1h")
        assert await ticket.cancel()
        outcome = await ticket.outcome(timeout=0)
        assert outcome.error is not None
        assert outcome.error.code == "cancelled"
        assert await outcomes.receive(timeout=5) == outcome
        assert [job.state for job in await hub.commands()] == ["cancelled"]


async def test_a_queued_command_that_is_cancelled_before_a_worker_starts_never_begins(url: str) -> None:
    hub, ran = telex.Hub(url), list[int]()
    async with hub:
        tickets = [await hub.send("note", number) for number in (1, 2)]
        assert await tickets[0].cancel()

        @hub.command("note")
        async def note(number: int) -> None:
            ran.append(number)

        assert await tickets[1].result(timeout=5) is None
        outcome = await tickets[0].outcome(timeout=5)
        assert outcome.error is not None
        assert outcome.error.code == "cancelled"
    assert ran == [2]


async def test_a_command_that_waits_too_long_expires_and_runs_nothing(url: str, gate: Gate) -> None:
    hub, ran = telex.Hub(url), list[int]()

    @hub.command("note", concurrency=1)
    async def note(number: int) -> None:
        ran.append(number)
        await gate.pass_through()

    async with hub:
        await hub.send("note", 1)
        await gate.reached.wait()
        ticket = await hub.send("note", 2, expires="10ms")
        over = time.time() + 0.02
        await until(lambda: is_past(over))
        gate.opened.set()
        with pytest.raises(telex.CommandExpired, match="it had not begun"):
            await ticket.result(timeout=5)
        assert [job.id for job in await hub.commands(state="expired")] == [ticket.id]
    assert ran == [1]


async def test_a_command_cannot_expire_before_it_is_due(url: str) -> None:
    async with telex.Hub(url) as hub:
        with pytest.raises(telex.BadOption, match=r"expires.*must be longer than the 60 s until the command is due"):
            await hub.send("note", delay="1m", expires="30s")
        with pytest.raises(telex.BadOption, match="give delay= or at=, not both"):
            await hub.send("note", delay="1m", at=datetime.now(UTC))
        with pytest.raises(telex.BadOption, match=r"priority.*'high', 'normal' or 'low'"):
            await hub.send("note", priority="urgent")  # type: ignore[call-overload]  # the mistake


async def test_of_the_waiting_commands_the_higher_priority_begins_first(url: str, gate: Gate) -> None:
    hub, ran = telex.Hub(url), list[str]()

    @hub.command("note", concurrency=1)
    async def note(text: str) -> None:
        ran.append(text)
        await gate.pass_through()

    async with hub:
        tickets = [await hub.send("note", "first")]
        await gate.reached.wait()
        tickets += [await hub.send("note", level, priority=level) for level in LEVELS[::-1]]
        while url.startswith("sqlite") and sum(info.leased for info in await hub.groups.list()) < 3:
            pass  # until the worker has fetched one of each priority, but not the second with concurrency=1
        assert [job.priority for job in await hub.commands(state="queued")] == ["high", "normal", "low"]
        gate.opened.set()
        for ticket in tickets:
            await ticket.result(timeout=5)
    assert ran[:2] == ["first", "high"]
    assert sorted(ran[2:]) == ["low", "normal"]  # a worker fetches each priority for itself


@pytest.mark.parametrize("once", [False, True])
async def test_a_failed_command_runs_again_under_its_id(url: str, once: bool) -> None:
    hub, attempts, stock = telex.Hub(url), list[int](), list[int]()

    @hub.command("ship", once=once)
    async def ship(number: int, ctx: telex.CommandContext[int]) -> int:
        attempts.append(ctx.attempt)
        if not stock:
            raise OutOfStock("none left")
        return number

    async with hub:
        ticket = await hub.send("ship", 7, key="order-7")
        assert not (await ticket.outcome(timeout=5)).ok
        again = await hub.retry(ticket.id)
        with pytest.raises(telex.CommandFailed, match="none left"):
            await again.result(timeout=5)
        stock.append(1)
        last = await hub.retry(ticket.id)
        assert (last.id, await last.result(timeout=5)) == (ticket.id, 7)
        (job,) = await hub.commands()
        assert (job.id, job.state, job.attempt, job.result) == (ticket.id, "done", 3, 7)
        with pytest.raises(telex.BadOption, match=r"the command is done, and only .* runs again: send a new one"):
            await hub.retry(ticket.id)
    assert attempts == [1, 2, 3]


async def test_kept_outcomes_outlast_the_topics(url: str) -> None:
    hub = telex.Hub(url)
    hub.retain("$command:>", messages=0)

    @hub.command("double", keep="1d")
    async def double(number: int) -> int:
        if number < 0:
            raise OutOfStock("negative")
        return 2 * number

    async with hub:
        ids = []
        for number in (4, -1):
            ticket = await hub.send("double", number)
            await ticket.outcome(timeout=5)
            ids.append(ticket.id)
        del ticket
        assert await (await hub.ticket(ids[0])) == 8
        assert [(job.id, job.state) for job in await hub.commands()] == [(ids[1], "failed"), (ids[0], "done")]
        assert not (await (await hub.retry(ids[1])).outcome(timeout=5)).ok
        assert [job.attempt for job in await hub.commands(state="failed")] == [2]
