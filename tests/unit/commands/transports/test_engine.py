"""Senders on a file: other hubs serve, and keys that are in progress are known."""

import time
from contextlib import suppress
from functools import partial

import pytest

import telex
from telex.commands.transports import pending
from telex.once import leases as claims
from telex.once.machine import Entry, fingerprint
from tests.support.internals import engine_of, transport_of
from tests.support.loops import until
from tests.unit.commands.parts import Gate, Month, OutOfStock, Report, building, is_past, plant


async def until_nobody_serves(sender: telex.Hub) -> None:
    while True:  # what was read a moment ago may still be believed
        with suppress(telex.Timeout):
            await sender.call("build", Month(3, 4), timeout=0.1)


@pytest.mark.slow
async def test_a_sender_elsewhere(file: str) -> None:
    worker = telex.Hub(file)

    @worker.command("build")
    async def build(month: Month) -> Report:
        if month.number > 12:
            raise OutOfStock("no such month", data={"number": month.number})
        return Report(str(month.number), month.year)

    async with telex.Hub(file) as sender:
        async with worker:
            assert await sender.call("build", Month(3, 4), type=Report) == Report("4", 3)
            assert await sender.call("build", {"year": 3, "number": 4}) == {"title": "4", "pages": 3}
            with pytest.raises(telex.CommandFailed, match="no such month") as caught:
                await sender.call("build", Month(3, 13))
            assert (caught.value.type, caught.value.data) == ("OutOfStock", {"number": 13})
            with pytest.raises(telex.CommandFailed, match=r"\$\.year") as caught:
                await sender.call("build", {"year": "x", "number": 4})
            assert caught.value.code == "refused"
        with pytest.raises(telex.NoHandler):
            await until_nobody_serves(sender)
        assert not [id for id in await sender.topics("$inbox:*") if id.endswith(transport_of(worker).id)]


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


async def test_a_dropped_command_is_not_in_progress(file: str, gate: Gate) -> None:
    hub = telex.Hub(file)
    building(hub, gate, concurrency=1)

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

    @hub.command("build", once=True, run_in="loop")
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
