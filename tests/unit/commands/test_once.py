"""Commands that run once, on each engine: one outcome for each key, whatever becomes of workers and senders."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

import telex
import telex.engines
from telex.commands.transports import pending
from telex.once import leases as claims
from telex.once.machine import Entry, Failure, decode, encode, fingerprint
from telex.once.store import OnceTransaction
from tests.support.clocks import set_clocks
from tests.support.internals import engine_of, groups_of, leases_of, records_of, transport_of
from tests.support.loops import until
from tests.unit.commands.test_commands import Gate, OutOfStock, Report


@pytest.fixture
def gate() -> Gate:
    return Gate(asyncio.Event(), asyncio.Event())


async def entry_of(hub: telex.Hub, command: str, key: str) -> tuple[Entry, int]:
    record = await records_of(hub).get(f"once:{command}", key)
    assert record is not None
    return decode(record.value), record.revision


async def plant(hub: telex.Hub, command: str, key: str, entry: Entry, revision: int = 0) -> int:
    """Another worker, which cannot be seen from here, has written this."""
    written = await records_of(hub).put(f"once:{command}", key, encode(entry), revision)
    assert written is not None
    return written


@pytest.mark.slow
async def test_a_hundred_duplicates_of_a_slow_command(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("build", once=True)
    async def build(number: int) -> Report:
        ran.append(number)
        await gate.pass_through()
        return Report("november", number)

    async with hub:
        tickets = [await hub.send("build", 7, key="2026-11") for _ in range(100)]
        await gate.reached.wait()
        gate.opened.set()
        outcomes = [await ticket.outcome(timeout=50) for ticket in tickets]
    assert ran == [7]
    assert [outcome.result for outcome in outcomes] == [Report("november", 7)] * 100
    assert sum(outcome.replayed for outcome in outcomes) == 99
    assert {outcome.attempt for outcome in outcomes} == {1}


async def test_the_key_tells_other_content_apart(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        ran.append(number)
        await gate.pass_through()
        return number

    async with hub:
        first = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        with pytest.raises(telex.KeyConflict, match="the key 'a' of the command 'build'"):
            await hub.call("build", 2, key="a")
        gate.opened.set()
        assert await first == 1
        with pytest.raises(telex.KeyConflict):
            await hub.call("build", 2, key="a")
        assert await hub.call("build", 1, key="a") == 1
        assert await hub.call("build", 2, key="b") == 2
    assert ran == [1, 2]


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


async def test_a_command_that_runs_once_needs_a_key(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        return number

    async with hub:
        for method in (hub.call, hub.send):
            with pytest.raises(telex.BadOption, match="'build' runs once for each key"):
                await method("build", 1)
            with pytest.raises(telex.TelexError):
                await method("build", 1, key="")


async def test_a_sender_elsewhere_needs_a_key_too(file: str) -> None:
    worker = telex.Hub(file)

    @worker.command("build", once=True)
    async def build(number: int) -> int:
        return number

    async with worker, telex.Hub(file) as sender:
        with pytest.raises(telex.BadOption, match="runs once for each key"):
            await sender.send("build", 1)
        assert await sender.call("build", 1, key="a") == 1
        outcome = await (await sender.send("build", 1, key="a")).outcome()
        assert (outcome.result, outcome.replayed) == (1, True)
        with pytest.raises(telex.KeyConflict):
            await sender.call("build", 2, key="a")


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


async def test_a_duplicate_may_ask_not_to_wait(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        await gate.pass_through()
        return number

    async with hub:
        first = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        with pytest.raises(telex.InProgress, match="'build' with the key 'a' is running"):
            await hub.call("build", 1, key="a", duplicate="reject")
        gate.opened.set()
        assert await first == 1
        assert await hub.call("build", 1, key="a", duplicate="reject") == 1


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_an_accepted_command_that_has_not_begun_is_in_progress(file: str, gate: Gate, elsewhere: bool) -> None:
    worker, ran = telex.Hub(file), []

    @worker.command("build", once=True, concurrency=1)
    async def build(number: int) -> int:
        ran.append(number)
        await gate.pass_through()
        return number

    async with worker, telex.Hub(file) as other:
        sender = other if elsewhere else worker
        busy = await sender.send("build", 0, key="busy")
        await gate.reached.wait()
        first = await sender.send("build", 1, key="a")
        with pytest.raises(telex.InProgress):
            await sender.send("build", 1, key="a", duplicate="reject")
        waiting = await sender.send("build", 1, key="a")  # the default
        conflicting = await sender.send("build", 2, key="a", duplicate="reject")  # which is no duplicate
        assert ran == [0]
        gate.opened.set()
        with pytest.raises(telex.KeyConflict):
            await conflicting.result(timeout=20)
        assert [await ticket.result(timeout=20) for ticket in (busy, first, waiting)] == [0, 1, 1]
        assert await sender.call("build", 1, key="a", duplicate="reject", timeout=20) == 1
        assert not transport_of(sender).inbox.requests.by_key  # a file has one
    assert ran == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_caller_that_does_not_wait_takes_over_from_a_dead_worker(
    file: str, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever became of the message of the first: its key is not in progress for ever."""
    worker = telex.Hub(file)
    jumps = [0.0]
    for module in (pending, claims):
        monkeypatch.setattr(module, "monotonic", lambda: time.monotonic() + jumps[0])

    @worker.command("build", once=True, lease=30)
    async def build(number: int, ctx: telex.CommandContext[int]) -> tuple[int, int]:
        return number, ctx.attempt

    async with worker, telex.Hub(file) as other:
        sender = other if elsewhere else worker
        dead = Entry("running", fingerprint("build", 1, 5), 1, "dead", 30)
        revision = await plant(worker, "build", "a", dead)
        with pytest.raises(telex.InProgress):
            await sender.send("build", 5, key="a", duplicate="reject")
        jumps[0] += 29
        with pytest.raises(telex.InProgress):
            await sender.send("build", 5, key="a", duplicate="reject")
        revision = await plant(worker, "build", "a", dead, revision)  # it is alive
        jumps[0] += 29
        with pytest.raises(telex.InProgress):
            await sender.send("build", 5, key="a", duplicate="reject")
        jumps[0] += 31
        ticket = await sender.send("build", 5, key="a", duplicate="reject")
        with pytest.raises(telex.InProgress):  # this hub has sent it
            await sender.send("build", 5, key="a", duplicate="reject")
        await until(lambda: worker.statistics().commands[0].waited != 0)  # nothing tells of it
        jumps[0] += 31  # who works waits for the lease, too
        assert tuple(await ticket.result(timeout=20)) == (5, 2)
        assert tuple(await sender.call("build", 5, key="a", duplicate="reject", timeout=20)) == (5, 2)
        assert worker.statistics().commands[0].taken_over == 1


@pytest.mark.parametrize("hours", [100, -100])
async def test_a_clock_that_is_set_takes_no_key_from_its_worker(
    url: str, gate: Gate, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record without an outcome does not expire, and its lease is a matter of the monotonic clock."""
    hub = telex.Hub(url)
    ran: list[int] = []

    @hub.command("build", once=True, lease="10s", keep="10s")
    async def build(number: int, ctx: telex.CommandContext[int]) -> int:
        ran.append(number)
        if number == 0:
            await gate.pass_through()
        return ctx.attempt

    async with hub:
        first = await hub.send("build", 0, key="a")
        await gate.reached.wait()
        set_clocks(monkeypatch, hours * 3600)
        for number in range(1, 8):  # each lets go of some records that have expired
            assert await hub.call("build", number, key=str(number), timeout=20) == 1
        assert (await entry_of(hub, "build", "a"))[0].state == "running"
        with pytest.raises(telex.InProgress):
            await hub.call("build", 0, key="a", duplicate="reject", timeout=20)
        gate.opened.set()
        assert await first.result(timeout=20) == 1
        statistics = hub.statistics().commands[0]
        assert (statistics.taken_over, statistics.fenced) == (0, 0)
    assert ran == list(range(8))


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


def is_past(moment: float) -> bool:
    return time.time() > moment


async def leased(hub: telex.Hub, command: str, times: int) -> None:
    """So many workers had the command, and died."""
    groups = groups_of(hub)
    assert groups is not None
    for _ in range(times):
        claimed = await groups.claim("$workers", f"$command:{command}:request", 1, 0.001, "dead", time.time())
        assert len(claimed.deliveries) == 1
        await until(partial(is_past, time.time() + 0.001))


async def test_a_duplicate_of_what_was_dropped_is_no_part_of_that(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True, concurrency=1)
    async def build(number: int) -> int:
        await gate.pass_through()
        return number

    async with hub:
        await hub.send("build", 0, key="busy")
        await gate.reached.wait()
        dropped = await hub.send("build", 1, key="a", timeout=0)
        kept = await hub.send("build", 1, key="a", timeout=60)
        gate.opened.set()
        with pytest.raises(telex.CommandFailed, match="not begun"):
            await dropped.result(timeout=20)
        assert await kept.result(timeout=20) == 1


async def test_a_dropped_command_is_not_in_progress(file: str, gate: Gate) -> None:
    hub = telex.Hub(file)

    @hub.command("build", once=True, concurrency=1)
    async def build(number: int) -> int:
        await gate.pass_through()
        return number

    async with hub:
        await hub.send("build", 0, key="busy")
        await gate.reached.wait()
        with pytest.raises(telex.Timeout):
            await hub.call("build", 1, key="a", timeout=0.01)
        await until(partial(is_past, time.time() + 0.01))  # the deadline of the message is told by another clock
        again = await hub.send("build", 1, key="a", duplicate="reject")
        with pytest.raises(telex.InProgress):
            await hub.send("build", 1, key="a", duplicate="reject")
        gate.opened.set()
        assert await again.result(timeout=20) == 1


async def test_a_command_that_was_not_sent_is_not_in_progress(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(file)

    @hub.command("build", once=True)
    def build(number: int) -> int:
        return number

    async def unwritable(*given: object) -> None:
        raise telex.EngineFailed("publishing", "the disk is full")

    async with hub:
        monkeypatch.setattr(engine_of(hub).store, "append", unwritable)
        with pytest.raises(telex.EngineFailed):
            await hub.send("build", 1, key="a")
        monkeypatch.undo()
        assert await hub.call("build", 1, key="a", duplicate="reject", timeout=20) == 1


async def test_a_sender_that_lost_outcomes_is_told_and_may_send_again(file: str, gate: Gate) -> None:
    worker = telex.Hub(file)

    @worker.command("build", once=True)
    async def build(number: int) -> int:
        await gate.pass_through()
        return number

    async with worker, telex.Hub(file) as sender:
        ticket = await sender.send("build", 1, key="a")
        await gate.reached.wait()
        inbox = transport_of(sender).inbox
        inbox.lose_all(telex.Lost(3, 1, 3, "trimmed"))
        with pytest.raises(telex.CommandFailed, match=r"3 outcomes were lost, .* again") as caught:
            await ticket.result(timeout=20)
        assert caught.value.code == "outcome_lost"
        assert not inbox.requests.has("build", "a", fingerprint("build", 1, 1), time.time())
        gate.opened.set()
        assert await sender.call("build", 1, key="a", timeout=20) == 1


async def test_an_outcome_is_kept_as_long_as_it_says(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("build", once=True, keep="1h")
    async def build(number: int) -> int:
        ran.append(number)
        return number

    async with hub:
        assert await hub.call("build", 1, key="a") == 1
        assert await hub.call("build", 1, key="a") == 1
        assert ran == [1]
        monkeypatch.setattr(claims, "time", lambda: time.time() + 3601)
        assert await hub.call("build", 2, key="a") == 2, "it is another command now"
    assert ran == [1, 2]


@pytest.mark.slow
async def test_a_dead_worker_is_taken_over_after_its_lease(url: str) -> None:
    hub = telex.Hub(url)
    seen = []

    @hub.command("build", once=True, lease=0.2)
    async def build(number: int, ctx: telex.CommandContext[int]) -> int:
        seen.append((ctx.attempt, ctx.fence))
        return number

    async with hub:
        dead = Entry("running", fingerprint("build", 1, 1), 1, "somebody", 0.2)
        fence = await plant(hub, "build", "a", dead)
        began = asyncio.get_running_loop().time()
        outcome = await (await hub.send("build", 1, key="a")).outcome(timeout=30)
        assert asyncio.get_running_loop().time() - began >= 0.2, "not before its lease has run out"
        assert (outcome.result, outcome.attempt) == (1, 2)
        assert hub.statistics().commands[0].taken_over == 1
    ((attempt, second),) = seen
    assert attempt == 2
    assert second > fence


async def test_a_lease_that_is_renewed_is_not_taken_over(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    now, looks = [1000.0], [0]
    monkeypatch.setattr(claims, "monotonic", lambda: now[0])

    @hub.command("build", once=True, lease=100)
    async def build(number: int) -> int:
        raise AssertionError("another worker has it")

    async with hub:
        alive = Entry("running", fingerprint("build", 1, 1), 1, "somebody", 100)
        revision = await plant(hub, "build", "a", alive)
        found = leases_of(hub, "build")
        found.poll_seconds = 0.001
        get = found.store.get

        async def counted(bucket: str, key: str) -> telex.engines.Record | None:
            record = await get(bucket, key)
            looks[0] += 1
            return record

        monkeypatch.setattr(found.store, "get", counted)
        ticket = await hub.send("build", 1, key="a")

        def has_looked(times: int) -> bool:
            return looks[0] >= times

        for _ in range(8):
            before = looks[0]
            await until(partial(has_looked, before + 2))  # until the new revision was seen
            now[0] += 60.0  # of its lease of 100, by the clock of who waits
            revision = await plant(hub, "build", "a", alive, revision)
        assert not ticket.done
        done = Entry("done", alive.fingerprint, 1, "somebody", 100, msgspec.Raw(b"5"), completed=1.0, expires=9e9)
        await plant(hub, "build", "a", done, revision)
        outcome = await ticket.outcome(timeout=30)
        assert (outcome.result, outcome.replayed) == (5, True)


@pytest.mark.slow
async def test_a_lease_is_renewed_while_the_handler_works(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True, lease=1)  # long enough for a machine that is busy
    async def build(number: int) -> int:
        await gate.pass_through()
        return number

    async with hub:
        ticket = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        revisions: set[int] = set()

        async def is_renewed_thrice() -> bool:
            entry, revision = await entry_of(hub, "build", "a")
            assert (entry.state, entry.attempt) == ("running", 1)
            revisions.add(revision)
            return len(revisions) == 4

        await until(is_renewed_thrice)
        gate.opened.set()
        assert await ticket == 1


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
        written = None
        while written is None:  # between two of its renewals
            entry, revision = await entry_of(hub, "build", "a")
            failed = Entry("failed", entry.fingerprint, 2, "other", 0.1, error=Failure("X", "x", "gone"), expires=9e9)
            written = await records_of(hub).put("once:build", "a", encode(failed), revision)
        await ended.wait()
        with pytest.raises(telex.CommandFailed, match="X: gone"):
            await ticket
    assert not gate.passed


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
            worker.command("build", once=True, max_attempts=2, backoff=0.0)(build)
            async with worker:
                await begun.wait()
        worker = telex.Hub(file)
        worker.command("build", once=True, max_attempts=2, backoff=0.0)(build)
        async with worker:
            outcome = await ticket.outcome(timeout=20)
        entry, _ = await entry_of(sender, "build", "a")
    assert outcome.result == 1
    assert attempts == [1, 2, 3, 4, 5]
    assert (outcome.attempt, entry.attempt, entry.spared) == (5, 5, 3)


async def test_cancelling_is_an_outcome(url: str, gate: Gate) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        await gate.pass_through()
        return number

    async with hub:
        ticket = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        assert await ticket.cancel()
        for _ in range(2):
            with pytest.raises(telex.CommandFailed) as caught:
                await hub.call("build", 1, key="a")
            assert caught.value.code == "cancelled"
    assert not gate.passed


async def test_a_large_result_has_a_record_of_its_own(url: str) -> None:
    hub = telex.Hub(url)

    @hub.command("large", once=True)
    async def large(size: int) -> str:
        return "x" * size

    async with hub:
        assert await hub.call("large", 600_000, key="a") == "x" * 600_000
        entry, _ = await entry_of(hub, "large", "a")
        assert entry.ref
        outcome = await (await hub.send("large", 600_000, key="a")).outcome()
        assert outcome.replayed
        assert outcome.result == "x" * 600_000
        records = records_of(hub)
        assert records is not None
        kept = await records.get("$results", entry.ref)
        assert kept is not None
        assert await records.put("$results", entry.ref, b'"something else"', kept.revision)
        with pytest.raises(telex.CommandFailed) as caught:
            await hub.call("large", 600_000, key="a")
        assert caught.value.code == "result_gone", "what it names is told apart by its digest"


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


async def test_an_outcome_that_was_recorded_and_not_told_is_told_again(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = telex.Hub(file)
    ran = []

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        ran.append(number)
        return number

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


async def test_a_transaction_in_memory_publishes_with_the_outcome() -> None:
    hub = telex.Hub()

    @hub.command("place", once=True)
    async def place(number: int, tx: telex.Transaction) -> int:
        await tx.publish("orders", number)
        if number < 0:
            raise OutOfStock("no")
        return number

    async with hub, hub.topic("orders").subscribe() as orders:
        assert await hub.call("place", 1, key="a") == 1
        with pytest.raises(telex.CommandFailed):
            await hub.call("place", -1, key="b")
        assert await hub.call("place", 2, key="c") == 2
        assert [(await orders.receive(timeout=10)).content for _ in range(2)] == [1, 2]


async def test_a_store_that_cannot_be_reached_fails_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        ran.append(number)
        return number

    async def unreachable(*args: object, **options: object) -> None:
        raise telex.EngineFailed("reading", "the disk is gone")

    async with hub:
        served = leases_of(hub, "build")
        monkeypatch.setattr(served.store, "put", unreachable)
        with pytest.raises(telex.CommandFailed, match="the disk is gone") as caught:
            await hub.call("build", 1, key="a")
        assert caught.value.code == "store_unavailable"
        monkeypatch.undo()
        assert await hub.call("build", 1, key="a") == 1
    assert ran == [1]


async def test_a_renewal_that_lands_late_is_no_lost_lease(
    url: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = telex.Hub(url)

    @hub.command("build", once=True, lease=60)
    async def build(number: int) -> int:
        await gate.pass_through()
        return number

    async with hub:
        ticket = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        entry, revision = await entry_of(hub, "build", "a")
        await plant(hub, "build", "a", entry, revision)  # its own, which it was told had failed
        gate.opened.set()
        outcome = await ticket.outcome(timeout=30)
        assert (outcome.result, outcome.attempt, outcome.replayed) == (1, 1, False)
    assert gate.passed == 1


async def test_an_effect_without_a_recorded_outcome_is_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("warn", once=True, run_anyway=True)
    async def warn(number: int) -> int:
        ran.append(number)
        return number

    async def unreachable(*args: object, **options: object) -> None:
        raise telex.EngineFailed("reading", "the disk is gone")

    async with hub:
        served = leases_of(hub, "warn")
        monkeypatch.setattr(served.store, "put", unreachable)
        assert await hub.call("warn", 1, key="a") == 1
        monkeypatch.undo()
        assert await hub.call("warn", 1, key="a") == 1
        assert await hub.call("warn", 1, key="a") == 1
    assert ran == [1, 1], "once without a record, once with one"


async def test_a_write_of_which_nothing_was_heard_is_read_back(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    ran = []

    @hub.command("build", once=True)
    async def build(number: int) -> int:
        ran.append(number)
        return number

    async with hub:
        served = leases_of(hub, "build")
        store = served.store
        put = store.put

        async def silent(*args: object) -> None:
            await put(*args)  # type: ignore[arg-type]  # passed on as they came
            raise telex.EngineFailed("writing", "no answer came")

        monkeypatch.setattr(store, "put", silent)
        outcome = await (await hub.send("build", 1, key="a")).outcome(timeout=30)
        assert (outcome.result, outcome.attempt) == (1, 1)
    assert ran == [1]


class Payment(msgspec.Struct):
    cents: int
    tags: set[str] = msgspec.field(default_factory=set)
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


@pytest.mark.parametrize("where", ["memory", "sqlite"])
async def test_a_default_that_is_filled_in_is_no_other_content(where: str, tmp_path: Path) -> None:
    url = "memory://" if where == "memory" else f"sqlite:///{tmp_path}/a.db"

    def opened() -> telex.Hub:
        hub = telex.Hub(url, close_timeout=5)

        @hub.command("pay", once=True)
        async def pay(payment: Payment) -> str:
            return payment.id

        @hub.on("never", Payment)  # so that what comes from the file under this name is made one
        def look(payment: Payment) -> None: ...

        return hub

    async with opened() as hub:
        first = await hub.call("pay", {"cents": 5, "tags": ["a"]}, key="k", timeout=20)
        assert await hub.call("pay", {"tags": ["a"], "cents": 5}, key="k", timeout=20) == first
        with pytest.raises(telex.KeyConflict):
            await hub.call("pay", {"cents": 6, "tags": ["a"]}, key="k", timeout=20)
        whole = Payment(7, {"x", "y", "z"})
        assert await hub.call("pay", whole, key="whole", timeout=20) == whole.id
        if where == "sqlite":
            async with telex.Hub(url) as other:
                assert await other.call("pay", {"cents": 5, "tags": ["a"]}, key="k", timeout=20) == first
                assert await other.call("pay", whole, key="whole", timeout=20) == whole.id
    if where == "sqlite":
        async with opened() as again:
            assert await again.call("pay", {"cents": 5, "tags": ["a"]}, key="k", timeout=20) == first
