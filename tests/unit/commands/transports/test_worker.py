"""Hubs that share commands on a file: attempts, deadlines, published outcomes."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import AsyncMock

import msgspec
import pytest

import telex
from telex.commands.plan import Priority
from telex.once.machine import Entry, fingerprint
from tests.support.internals import groups_of, transport_of
from tests.support.loops import until
from tests.unit.commands.parts import Gate, Report, building, is_past, plant


async def test_on_a_file_a_result_without_a_json_form_is_a_failure_for_all(file: str) -> None:
    hub = telex.Hub(file)

    @hub.command("bare")
    async def bare() -> Any:
        return {"line": [object()]}

    @hub.command("report")
    async def report() -> Report:
        return Report("november", object())  # type: ignore[arg-type]  # on purpose

    async with hub, telex.Hub(file) as other, hub.follow(">") as follower:
        for sender in (hub, other):
            for name in ("bare", "report"):
                with pytest.raises(
                    telex.CommandFailed, match=r"its result is refused at \$\.\w+(\[0\])?: it has no JSON form"
                ) as caught:
                    await sender.call(name)
                assert caught.value.code == "result_refused"
                heard = await follower.receive(timeout=20)
                assert isinstance(heard, telex.Outcome)
                assert heard.error is not None
                assert heard.error.code == "result_refused"
        assert [each.failed for each in hub.statistics().commands] == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("stalls", [False, True])
async def test_workers_that_are_closed_are_no_attempts_and_those_that_stall_are(file: str, stalls: bool) -> None:
    attempts: list[int] = []

    async def build(number: int, ctx: telex.CommandContext[int]) -> int:
        attempts.append(ctx.attempt)
        if len(attempts) > 5:
            return number
        begun.set()
        await asyncio.Event().wait()
        return 0

    async with telex.Hub(file) as sender:
        ticket = await sender.send("build", 1)
        for _ in range(3 if stalls else 5):
            begun = asyncio.Event()
            worker = telex.Hub(file, close_timeout=0.01)
            worker.command("build", run_in="loop")(build)
            async with worker:
                await begun.wait()
                transport = transport_of(worker)
                assert transport is not None
                if stalls:  # what has died counts nothing back
                    transport.worker.spare = AsyncMock()  # on purpose
        worker = telex.Hub(file)
        worker.command("build", run_in="loop")(build)
        async with worker:
            outcome = await ticket.outcome(timeout=20)
    if stalls:
        assert outcome.error is not None
        assert outcome.error.code == "attempts_exhausted"
        assert outcome.attempt == 3, "the delivery that found it exhausted did not begin it"
        assert attempts == [1, 2, 3]
    else:
        assert (outcome.result, outcome.error) == (1, None)
        assert attempts == [1, 2, 3, 4, 5, 6]


async def test_workers_share_a_command(file: str, gate: Gate) -> None:
    hubs = [telex.Hub(file) for _ in range(2)]
    begun: list[tuple[int, int]] = []
    both = asyncio.Event()

    for number, hub in enumerate(hubs):

        @hub.command("slow", concurrency=1)
        async def slow(content: int, number: int = number) -> int:
            begun.append((number, content))
            if len(begun) == 2:
                both.set()
            await gate.opened.wait()
            return content

    async with hubs[0], hubs[1], telex.Hub(file) as sender:
        tickets = [await sender.send("slow", n, type=int) for n in range(2)]
        await both.wait()
        assert {worker for worker, _ in begun} == {0, 1}
        gate.opened.set()
        assert [await ticket for ticket in tickets] == [0, 1]
        assert await sender.call("slow", 7) == 7


MANY = 1300
"""More than a topic keeps by default."""


@pytest.mark.slow
async def test_commands_that_wait_for_a_worker_are_not_bounded_by_retention(file: str) -> None:
    async with telex.Hub(file) as sender:
        tickets = await asyncio.gather(*[sender.send("double", n) for n in range(MANY)])
        worker = telex.Hub(file)

        @worker.command("double", concurrency=64)
        async def double(number: int) -> int:
            return 2 * number

        async with worker:
            assert [await ticket.result(timeout=50) for ticket in tickets] == [2 * n for n in range(MANY)]


async def test_a_conflict_of_commands_that_wait_together(file: str, gate: Gate) -> None:
    hub = telex.Hub(file)

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        return number

    async with hub:
        # Both are kept before a worker has seen either.
        results = await asyncio.gather(
            hub.call("build", 1, key="a"), hub.call("build", 2, key="a"), return_exceptions=True
        )
        assert len([result for result in results if isinstance(result, telex.KeyConflict)]) == 1
        assert len([result for result in results if isinstance(result, int)]) == 1


BEGUN = fingerprint("build", 1, 5)


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (None, "expired"),
        (Entry("running", BEGUN, 1, "dead", 0.01), (5, 2)),
        (Entry("released", BEGUN, 1, "closed", 0.01, spared=1), (5, 2)),
        (Entry("done", BEGUN, 1, "dead", 30, msgspec.Raw(b"[7,1]"), completed=1.0, expires=9e9), (7, 1)),
        (Entry("done", BEGUN, 1, "dead", 30, msgspec.Raw(b"[7,1]"), completed=1.0, expires=2.0), "expired"),
    ],
)
async def test_a_running_command_goes_on_after_its_deadline(
    file: str, entry: Entry | None, told: object, before: int
) -> None:
    """It is told as not begun only where that is known, by the record and not by who had its message."""
    worker = telex.Hub(file)

    @worker.command("build", once=True)
    async def build(number: int, ctx: telex.CommandContext[int]) -> tuple[int, int]:
        return number, ctx.attempt

    async with telex.Hub(file) as sender:
        ticket = await sender.send("build", 5, key="a", timeout=0)
        await leased(sender, "build", before)
        if entry is not None:
            await plant(sender, "build", "a", entry)
        async with worker:
            outcome = await ticket.outcome(timeout=20)
            assert (outcome.error.code if outcome.error else tuple(outcome.result)) == told
            assert worker.statistics().commands[0].expired == (told == "expired")


@pytest.mark.parametrize(("before", "told"), [(0, "expired"), (1, 5)])
async def test_the_command_of_a_dead_worker_is_begun_again_after_its_deadline(
    file: str, before: int, told: object
) -> None:
    worker = telex.Hub(file)

    @worker.command("build")
    async def build(number: int) -> int:
        return number

    async with telex.Hub(file) as sender, sender.follow("build") as heard:
        ticket = await sender.send("build", 5, timeout=0)
        await leased(sender, "build", before)
        async with worker:
            for outcome in (await ticket.outcome(timeout=20), await heard.receive(timeout=20)):
                assert isinstance(outcome, telex.Outcome)
                assert (outcome.error.code if outcome.error else outcome.result) == told
                assert outcome.attempt == before + 1


async def leased(hub: telex.Hub, command: str, times: int) -> None:
    """So many workers had the command, and died."""
    groups = groups_of(hub)
    assert groups is not None
    for _ in range(times):
        claimed = await groups.fetch("$workers", f"$command:{command}:request", 1, 0.001, "dead", 0.0)
        assert len(claimed.deliveries) == 1
        await until(partial(is_past, time.time() + 0.001))


async def test_an_outcome_that_was_recorded_and_not_told_is_told_again(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = telex.Hub(file)
    ran = building(hub)

    async with hub, hub.follow("build") as follower:
        transport = transport_of(hub)
        assert transport is not None
        append = transport.worker.append

        async def lost(letters: list[telex.Message[object]]) -> None:
            monkeypatch.setattr(transport.worker, "append", append)
            raise telex.EngineFailed("telling", "the process was killed here")

        monkeypatch.setattr(transport.worker, "append", lost)
        outcome = await (await hub.send("build", 1, key="a")).outcome(timeout=30)
        assert (outcome.result, outcome.replayed) == (1, True)
        heard = await follower.receive(timeout=20)
        assert isinstance(heard, telex.Outcome)
        assert heard.result == 1
    assert ran == [1]


async def test_with_a_transaction_the_outcome_is_told_when_it_is_recorded(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = telex.Hub(file)

    @hub.command("build", once=True)
    async def build(number: int, tx: telex.Transaction) -> int:
        return number

    async with hub, hub.follow("build") as follower:
        transport = transport_of(hub)
        assert transport is not None

        async def never(letters: list[telex.Message[object]]) -> None:
            raise AssertionError("nothing is left to be told after it")

        monkeypatch.setattr(transport.worker, "append", never)
        assert await hub.call("build", 1, key="a", timeout=20) == 1
        heard = await follower.receive(timeout=20)
        assert isinstance(heard, telex.Outcome)
        assert (heard.result, heard.replayed) == (1, False)


@pytest.mark.slow
async def test_a_command_whose_worker_ended_after_its_outcome_is_not_begun_again(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, calls = telex.Hub(file), list[int]()

    @hub.command("build", lease="0.1s")
    async def build(number: int) -> int:
        calls.append(number)
        return number

    async with hub, telex.Hub(file) as sender, sender.follow("build") as heard:
        groups = groups_of(hub)
        settle = groups.settle

        async def lost(group: str, pattern: str, settlements: Any) -> Any:
            monkeypatch.setattr(groups, "settle", settle)
            raise telex.EngineFailed("settling", "the process was killed here")

        monkeypatch.setattr(groups, "settle", lost)
        assert await (await sender.send("build", 1)).result(timeout=20) == 1
        await hub.idle(timeout=20)  # the command came again, and is settled
        outcome = await heard.receive(timeout=20)
        assert isinstance(outcome, telex.Outcome)
        assert (outcome.attempt, calls) == (1, [1])
        assert await sender.call("build", 2) == 2
        after = await heard.receive(timeout=20)
        assert isinstance(after, telex.Outcome)
        assert after.result == 2


@pytest.mark.slow
async def test_a_worker_that_stalled_past_its_lease_publishes_no_second_outcome(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled, other, go_on = telex.Hub(file), telex.Hub(file), asyncio.Event()

    @stalled.command("build", lease="0.5s", concurrency=1)
    async def build(number: int) -> str:
        with suppress(asyncio.CancelledError):  # the lease may be seen as lost first
            await go_on.wait()
        return "stalled"

    @other.command("build")
    async def build_here(number: int) -> str:
        return "other"

    async with stalled, stalled.follow("build") as heard:
        groups = groups_of(stalled)
        settle, stalls = groups.settle, asyncio.Event()

        async def settle_later(group: str, pattern: str, settlements: Any) -> Any:
            if not go_on.is_set():
                stalls.set()
                raise telex.EngineFailed("settling", "the process stalls")
            return await settle(group, pattern, settlements)

        monkeypatch.setattr(groups, "settle", settle_later)
        ticket = await stalled.send("build", 1)
        await stalls.wait()
        async with other:
            outcome = await heard.receive(timeout=20)
            assert isinstance(outcome, telex.Outcome)
            go_on.set()
            await stalled.idle(timeout=20)
            assert await ticket.result(timeout=20) == outcome.result == "other"
        assert [each.commands[0].succeeded for each in (stalled.statistics(), other.statistics())] == [0, 1]
        assert len([message async for message in stalled.topic("$command:build:outcome").history()]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_waiting_commands_begin_by_priority_though_the_worker_has_not_fetched_them(
    file: str, concurrency: int
) -> None:
    worker, begun, ended = telex.Hub(file), list[str](), asyncio.Event()

    @worker.command("build", concurrency=concurrency)
    async def build(name: str) -> None:
        begun.append(name)
        if len(begun) == 12:
            ended.set()

    async with telex.Hub(file) as sender:
        counts: dict[Priority, int] = {"low": 3, "normal": 6, "high": 3}
        for level, count in counts.items():
            for number in range(count):
                await sender.send("build", f"{level} {number}", priority=level)
        async with worker:
            await ended.wait()
    levels = [name.partition(" ")[0] for name in begun]
    first = levels.index("low")
    assert first >= 8, "after so many commands of higher priorities"
    assert levels[:first] + levels[first + 1 :] == ["high"] * 3 + ["normal"] * 6 + ["low"] * 2
