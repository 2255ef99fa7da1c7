"""Commands that run once, on each engine: one outcome for each key, whatever becomes of workers and senders."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from math import inf
from time import monotonic
from typing import Any

import msgspec
import pytest

import telex
from telex.commands.server import CANCELLED_BY_SENDER
from telex.hub import dispatcher_of
from telex.once import leases as claims
from telex.once.machine import Entry, Failure, encode
from telex.once.store import OnceTransaction
from telex.testing.clock import VirtualClock
from tests.support.internals import leases_of, records_of
from tests.support.loops import idle, until
from tests.unit.commands.parts import Gate, OutOfStock, building, entry_of, plant, unreachable


async def test_a_renewal_does_not_wait_for_its_own_transaction(file: str) -> None:
    hub = telex.Hub(f"{file}?synchronous=normal")
    ran: list[int] = []

    @hub.command("charge", once=True)
    async def charge(number: int, tx: telex.Transaction) -> int:
        ran.append(number)
        await tx.execute("CREATE TABLE charges (amount)")
        served = leases_of(hub, "charge")
        for held in list(served.held):  # near the end of its lease
            held.renew(inf)
        await idle()
        return number

    async with hub:
        assert await hub.call("charge", 5, key="a", timeout=10) == 5
    assert ran == [5]


async def test_a_large_result_of_a_transaction(file: str) -> None:
    hub = telex.Hub(file)

    @hub.command("large", once=True)
    async def large(size: int, tx: telex.Transaction) -> str:
        return "x" * size

    async with hub, telex.Hub(file) as sender:
        assert await sender.call("large", 400_000, key="a", timeout=20) == "x" * 400_000
        assert hub.statistics().commands[0].executed == 1


async def test_an_outcome_is_told_though_a_transaction_before_was_rolled_back(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = telex.Hub(file)

    @hub.command("order", once=True, backoff=0.0)
    async def order(item: str, ctx: telex.CommandContext[str], tx: telex.Transaction) -> str:
        if ctx.attempt > 1:
            raise OutOfStock("sold meanwhile")
        return item

    async with hub, telex.Hub(file) as sender:
        served: Any = dispatcher_of(hub).table.servers["order"]
        publish = served.publish_in

        async def fails(run: object, outcome: telex.Outcome[object], tx: OnceTransaction) -> None:
            await publish(run, outcome, tx)
            raise telex.EngineFailed("committing", "the disk is full")

        monkeypatch.setattr(served, "publish_in", fails)
        outcome = await (await sender.send("order", "lamp", key="a")).outcome(timeout=20)
        assert outcome.error is not None
        assert outcome.error.code == "out_of_stock"


@pytest.mark.slow
async def test_a_cancel_that_crosses_the_outcome_hides_no_result(file: str) -> None:
    hub, chance = telex.Hub(file), random.Random(5)

    @hub.command("answer", once=True)
    async def answer(number: int) -> int:
        return 42

    async def one(key: int) -> None:
        ticket = await hub.send("answer", 1, key=str(key))
        for _ in range(chance.randrange(200)):  # at each step of the command
            await asyncio.sleep(0)
        await ticket.cancel()
        outcome = await ticket.outcome(timeout=30)
        entry, _ = await entry_of(hub, "answer", str(key))
        if outcome.error is None:
            assert outcome.result == 42
            assert entry.state == "done"
        else:
            assert outcome.error.code == "cancelled"
            assert entry.state == "failed"

    async with hub:
        for begin in range(0, 200, 20):
            await asyncio.gather(*[one(key) for key in range(begin, begin + 20)])


async def test_cancelling_between_two_attempts(url: str) -> None:
    hub, failed, ran = telex.Hub(url), asyncio.Event(), []

    @hub.command("order", once=True, backoff=3600)
    async def order(item: str) -> None:
        ran.append(item)
        failed.set()
        raise ConnectionError("the carrier does not answer")

    async with hub:
        tickets = [await hub.send("order", "lamp", key="a") for _ in range(2)]
        await failed.wait()

        async def is_released() -> bool:
            return (await entry_of(hub, "order", "a"))[0].state == "released"

        await until(is_released)
        assert await tickets[0].cancel()
        for ticket in tickets:
            outcome = await ticket.outcome(timeout=20)
            assert outcome.error is not None
            assert outcome.error.code == "cancelled"
    assert ran == ["lamp"]


async def test_a_result_that_cannot_be_kept_is_a_recorded_failure(url: str) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("build", once=True)
    async def build(number: int) -> object:
        ran.append(number)
        return object()

    async with hub:
        for _ in range(2):
            with pytest.raises(telex.CommandFailed, match="object has no JSON form") as caught:
                await hub.call("build", 1, key="a", timeout=30)
            assert caught.value.code == "result_refused"
    assert ran == [1]


async def test_a_final_error_is_recorded(url: str) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("order", once=True)
    async def order(item: str) -> None:
        ran.append(item)
        raise OutOfStock("no lamps", data={"next": 3})

    async with hub:
        for replayed in (False, True):
            with pytest.raises(telex.CommandFailed) as caught:
                await hub.call("order", "lamp", key="a")
            error = caught.value
            assert (error.type, error.code, error.data) == ("OutOfStock", "out_of_stock", {"next": 3})
            assert error.replayed is replayed
    assert ran == ["lamp"]


async def test_an_unexpected_error_is_tried_again(url: str) -> None:
    hub = telex.Hub(url)
    attempts = []

    @hub.command("order", once=True, backoff=0.0)
    async def order(item: str, ctx: telex.CommandContext[str]) -> int:
        attempts.append((ctx.attempt, ctx.fence))
        if ctx.attempt < 3:
            raise ConnectionError("the carrier does not answer")
        return 7

    async with hub:
        outcome = await (await hub.send("order", "lamp", key="a")).outcome()
        assert (outcome.result, outcome.attempt, outcome.replayed) == (7, 3, False)
    assert [attempt for attempt, _ in attempts] == [1, 2, 3]
    fences = [fence for _, fence in attempts]
    assert fences == sorted(set(fences)), "each attempt has a larger fence"


def test_a_nack_sets_the_time_of_the_next_attempt(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    hub = telex.Hub("memory://", clock=clock)
    began: list[datetime] = []

    @hub.command("ship", once=True, max_attempts=4, backoff="10s")
    async def ship(delays: list[float | str | None]) -> int:
        began.append(clock.now)
        if len(began) <= len(delays):
            raise telex.Nack(delays[len(began) - 1])
        return len(began)

    async def main() -> None:
        async with hub:
            assert await hub.call("ship", ["1m", 0.5, None], key="a", timeout=600) == 4

    clock.run(main())
    waits = [(after - before).total_seconds() for before, after in pairwise(began)]
    assert waits == pytest.approx([60, 0.5, 40], abs=0.01), "without a delay the backoff is used"
    assert "Nack" not in caplog.text, "it is raised on purpose"


def test_a_nack_with_an_invalid_delay_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    hub = telex.Hub("memory://", clock=clock)

    @hub.command("ship", once=True, max_attempts=2, backoff="10s")
    async def ship(order: int) -> None:
        raise telex.Nack("soon")

    async def main() -> None:
        async with hub:
            with pytest.raises(telex.CommandFailed, match=r"begun 2 times, and the last error was Nack"):
                await hub.call("ship", 1, key="a", timeout=600)

    clock.run(main())
    assert "'soon'" in caplog.text


async def test_a_reject_is_a_final_error_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    hub = telex.Hub("memory://")
    ran: list[int] = []

    @hub.command("ship", once=True)
    async def ship(order: int) -> None:
        ran.append(order)
        raise telex.Reject("no such order")

    async with hub:
        for _ in range(2):
            with pytest.raises(telex.CommandFailed, match="no such order") as raised:
                await hub.call("ship", 1, key="a")
            assert (raised.value.type, raised.value.attempt) == ("Reject", 1)
    assert ran == [1], "another attempt would not help"
    assert "Reject" not in caplog.text


async def test_attempts_come_to_an_end(url: str) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("order", once=True, backoff=0.0, max_attempts=2)
    async def order(item: str) -> int:
        ran.append(item)
        raise ConnectionError("the carrier does not answer")

    async with hub:
        tickets = [await hub.send("order", "lamp", key="a") for _ in range(3)]
        for ticket in tickets:
            with pytest.raises(telex.CommandFailed, match=r"begun 2 times.*the carrier does not answer") as caught:
                await ticket
            assert (caught.value.type, caught.value.code) == ("ConnectionError", "attempts_exhausted")
        entry, _ = await entry_of(hub, "order", "a")
        assert entry.state == "failed"
    assert ran == ["lamp", "lamp"]


async def test_an_outcome_is_kept_as_long_as_it_says(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    ran = building(hub, keep="1h")

    async with hub:
        assert await hub.call("build", 1, key="a") == 1
        assert await hub.call("build", 1, key="a") == 1
        assert ran == [1]
        monkeypatch.setattr(claims, "time", lambda: time.time() + 3601)
        assert await hub.call("build", 2, key="a") == 2, "it is another command now"
    assert ran == [1, 2]


async def test_the_result_of_a_stale_worker_is_refused(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True, lease=60)
    async def build(number: int) -> str:
        await gate.pass_through()
        return "stale"

    async with hub:
        ticket = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        # It stalled past its lease, by the clock of another worker, which took over and is done.
        entry, revision = await entry_of(hub, "build", "a")
        done = Entry("done", entry.fingerprint, 2, "other", 60, msgspec.Raw(b'"fresh"'), completed=1.0, expires=9e9)
        await plant(hub, "build", "a", done, revision)
        gate.opened.set()
        outcome = await ticket.outcome(timeout=30)
        assert (outcome.result, outcome.attempt, outcome.replayed) == ("fresh", 2, True)
        assert hub.statistics().commands[0].fenced == 1
        assert (await entry_of(hub, "build", "a"))[0].owner == "other"


async def fail_elsewhere(hub: telex.Hub) -> None:
    """Record the failure of the key `a` as another worker does, between two renewals of its lease."""
    written = None
    while written is None:
        entry, revision = await entry_of(hub, "build", "a")
        failed = Entry("failed", entry.fingerprint, 2, "other", 0.1, error=Failure("X", "x", "gone"), expires=9e9)
        written = await records_of(hub).put("once:build", "a", encode(failed), revision)


async def test_a_worker_that_lost_its_lease_is_cancelled(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    ended = asyncio.Event()

    @hub.command("build", once=True, lease=0.1)
    async def build(number: int) -> int:
        try:
            await gate.pass_through()
        finally:
            ended.set()
        return number

    async with hub:
        ticket = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        await fail_elsewhere(hub)
        await ended.wait()
        with pytest.raises(telex.CommandFailed, match="X: gone"):
            await ticket
    assert not gate.passed


async def test_a_worker_that_lost_its_lease_is_cancelled_once(gate: Gate) -> None:
    hub = telex.Hub()
    cancelled = list[int]()

    @hub.command("build", once=True, lease=0.1)
    async def build(number: int) -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await gate.pass_through()
        lost = monotonic()
        try:
            await until(lambda: monotonic() - lost > 0.12)  # it cleans up for longer than its lease
        except asyncio.CancelledError:
            cancelled.append(number)
        return number

    async with hub:
        ticket = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        await fail_elsewhere(hub)
        with pytest.raises(telex.CommandFailed, match="X: gone"):
            await ticket
        assert hub.statistics().commands[0].fenced < 3
    assert not cancelled


async def test_a_worker_that_is_closed_gives_the_key_back(file: str, gate: Gate) -> None:
    first, second = telex.Hub(file, close_timeout=0.05), telex.Hub(file)

    @first.command("build", once=True, lease=30)
    async def stuck(number: int) -> int:
        await gate.pass_through()
        return number

    async with telex.Hub(file) as sender:
        async with first:
            ticket = await sender.send("build", 1, key="a", type=int)
            await gate.reached.wait()
        entry, _ = await entry_of(sender, "build", "a")
        assert entry.state == "released"

        @second.command("build", once=True, lease=30)
        async def build(number: int, ctx: telex.CommandContext[int]) -> int:
            return ctx.attempt

        async with second:
            assert await ticket.result(timeout=20) == 2


async def test_attempts_of_workers_that_are_closed_do_not_count(file: str) -> None:
    attempts: list[int] = []

    async def build(number: int, ctx: telex.CommandContext[int]) -> int:
        attempts.append(ctx.attempt)
        if len(attempts) <= 3:
            begun.set()
            await asyncio.Event().wait()
        if len(attempts) == 4:
            raise ConnectionError("the line is dead")
        return number

    async with telex.Hub(file) as sender:
        ticket = await sender.send("build", 1, key="a", type=int)
        for _ in range(3):
            begun = asyncio.Event()
            worker = telex.Hub(file, close_timeout=0.01)
            worker.command("build", once=True, max_attempts=2, backoff=0.0, run_in="loop")(build)
            async with worker:
                await begun.wait()
        worker = telex.Hub(file)
        worker.command("build", once=True, max_attempts=2, backoff=0.0, run_in="loop")(build)
        async with worker:
            outcome = await ticket.outcome(timeout=20)
        entry, _ = await entry_of(sender, "build", "a")
    assert outcome.result == 1
    assert attempts == [1, 2, 3, 4, 5]
    assert (outcome.attempt, entry.attempt, entry.spared) == (5, 5, 3)


async def test_cancelling_is_an_outcome(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    building(hub, gate)

    async with hub:
        ticket = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        assert await ticket.cancel()
        for _ in range(2):
            with pytest.raises(telex.CommandFailed) as caught:
                await hub.call("build", 1, key="a")
            assert caught.value.code == "cancelled"
    assert not gate.passed


async def test_writes_record_and_outcome_commit_together(file: str) -> None:
    hub = telex.Hub(file)
    fail = [True]

    @hub.command("charge", once=True, backoff=0.0)
    async def charge(amount: int, tx: telex.Transaction) -> int:
        await tx.execute("INSERT INTO charges VALUES (?)", (amount,))
        if fail:
            fail.pop()
            raise ConnectionError("at the worst moment")
        return amount

    async with hub, hub.follow("charge") as follower:
        async with hub.transaction() as tx:
            await tx.execute("CREATE TABLE charges (amount INTEGER)")
        results = await asyncio.gather(*[hub.call("charge", 5, key="a") for _ in range(5)])
        assert results == [5] * 5
        async with hub.transaction() as tx:
            assert await tx.execute("SELECT amount FROM charges") == [(5,)]
        outcome = await follower.receive(timeout=20)
        assert isinstance(outcome, telex.Outcome)
        assert (outcome.result, outcome.attempt) == (5, 2)


async def test_a_stale_worker_writes_nothing(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(file)
    ran = []

    @hub.command("charge", once=True)
    async def charge(amount: int, tx: telex.Transaction) -> int:
        ran.append(amount)
        await tx.execute("INSERT INTO charges VALUES (?)", (amount,))
        return amount

    async with hub:
        async with hub.transaction() as tx:
            await tx.execute("CREATE TABLE charges (amount INTEGER)")
        claimed = leases_of(hub, "charge")
        transaction = claimed.store.transaction

        @asynccontextmanager
        async def late() -> AsyncIterator[OnceTransaction]:
            # It stalled before it got the file's lock; another worker has taken over and is done.
            entry, revision = await entry_of(hub, "charge", "a")
            done = Entry("done", entry.fingerprint, 2, "other", 30, msgspec.Raw(b"6"), completed=1.0, expires=9e9)
            await plant(hub, "charge", "a", done, revision)
            async with transaction() as tx:
                yield tx

        monkeypatch.setattr(claimed.store, "transaction", late)
        assert await hub.call("charge", 5, key="a", timeout=30) == 6
        async with hub.transaction() as tx:
            assert await tx.execute("SELECT count(*) FROM charges") == [(0,)]
    assert ran == [5]


async def test_a_lease_is_not_renewed_within_the_transaction_that_renewing_would_wait_for(file: str) -> None:
    hub = telex.Hub(file)

    @hub.command("charge", once=True, lease=0.1)
    async def charge(amount: int, tx: telex.Transaction) -> int:
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.12, over.set)  # several times as long as until a renewal
        await over.wait()
        await tx.publish("charged", amount)
        return amount

    async with hub, asyncio.timeout(10):
        assert await hub.call("charge", 5, key="a") == 5
        assert [message.content async for message in hub.topic("charged").history()] == [5]


async def test_a_store_that_cannot_be_reached_fails_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    ran = building(hub)

    async with hub:
        served = leases_of(hub, "build")
        monkeypatch.setattr(served.store, "put", unreachable)
        with pytest.raises(telex.CommandFailed, match="the disk is gone") as caught:
            await hub.call("build", 1, key="a")
        assert caught.value.code == "store_unavailable"
        monkeypatch.undo()
        assert await hub.call("build", 1, key="a") == 1
    assert ran == [1]


async def test_a_store_that_cancels_a_write_fails_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    hub, tries = telex.Hub(), list[object]()
    ran = building(hub)

    async with hub:
        store = leases_of(hub, "build").store
        put = store.put

        async def cancelled_once(*args: Any) -> int | None:
            tries.append(args)
            if len(tries) == 1:
                raise asyncio.CancelledError
            return await put(*args)

        monkeypatch.setattr(store, "put", cancelled_once)
        with pytest.raises(telex.CommandFailed, match="its store was cancelled") as caught:
            await hub.call("build", 1, key="a")
        assert (caught.value.code, len(tries), ran) == ("store_unavailable", 1, [])
        assert await hub.call("build", 1, key="a") == 1


async def test_an_effect_without_a_recorded_outcome_is_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("warn", once=True, run_anyway=True)
    async def warn(number: int) -> int:
        ran.append(number)
        return number

    async with hub:
        served = leases_of(hub, "warn")
        monkeypatch.setattr(served.store, "put", unreachable)
        assert await hub.call("warn", 1, key="a") == 1
        monkeypatch.undo()
        assert await hub.call("warn", 1, key="a") == 1
        assert await hub.call("warn", 1, key="a") == 1
    assert ran == [1, 1], "once without a record, once with one"


async def test_a_cancelled_command_does_not_run_without_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub()
    ran = []

    @hub.command("warn", once=True, run_anyway=True)
    async def warn(number: int) -> None:
        ran.append(number)

    asked = asyncio.Event()

    async def slow(*args: object) -> None:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        await unreachable()

    async with hub:
        monkeypatch.setattr(leases_of(hub, "warn").store, "put", slow)
        ticket = await hub.send("warn", 1, key="a")
        await asked.wait()
        assert await ticket.cancel()
        assert (await ticket.outcome(5)).error == CANCELLED_BY_SENDER
    assert ran == []
