"""Leases of keys: claimed, renewed, taken over, given back, and written when the store's answer was lost."""

import asyncio
import time
from functools import partial
from typing import Any

import msgspec
import pytest

import telex
import telex.engines
from telex.engines.contract.records import Record
from telex.errors import EngineFailed
from telex.once import leases
from telex.once import leases as claims
from telex.once.leases import KeyCounts, KeyLeases, Lease
from telex.once.machine import Complete, Entry, GiveBack, Renew, decode, encode, fingerprint
from tests.support.clocks import set_clocks
from tests.support.internals import leases_of
from tests.support.loops import until
from tests.unit.commands.parts import ONCE, Gate, Store, building, entry_of, plant


def claims_on(store: Store) -> KeyLeases:
    return KeyLeases("build", ONCE, store, KeyCounts())


async def claimed(claims: KeyLeases, key: str = "a") -> Lease:
    held = await claims.claim(key, fingerprint("build", 1, 1), claims.owner(), lambda: None)
    assert isinstance(held, Lease)
    return held


async def test_a_lease_counts_from_when_its_renewal_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    now = store.clock
    monkeypatch.setattr(leases, "monotonic", lambda: now[0])
    claims = claims_on(store)
    held = await claimed(claims)
    now[0] = 15.0
    store.takes = 20.0
    held.renew(now[0])
    assert held.renewing is not None
    await held.renewing
    assert (held.renewed, held.lost, now[0]) == (15.0, False, 35.0)
    store.takes = 41.0  # longer than the lease: another may have it by now
    held.renew(now[0])
    await held.renewing
    assert held.lost
    claims.close()


@pytest.mark.parametrize("ago", [9.0, 11.0])
async def test_a_lease_is_renewed_after_a_quarter_of_it(ago: float, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    monkeypatch.setattr(leases, "monotonic", lambda: store.clock[0])
    claims = claims_on(store)
    held = await claimed(claims)
    held.renew(ago)
    assert (held.renewing is not None) is (ago > 10)
    await held.stop()
    claims.close()


async def test_a_record_without_an_outcome_does_not_expire() -> None:
    store = Store()
    claims = claims_on(store)
    held = await claimed(claims)
    await held.put(Renew(held.entry.owner))
    await held.put(GiveBack(held.entry.owner))
    again = await claimed(claims)
    assert again.entry.attempt - again.entry.spared == 1, "one that was given back was no attempt"
    await again.put(Complete(again.entry.owner, msgspec.Raw(b"1"), 500.0, ""))
    *before, kept_until = store.expires
    assert len(before) >= 4
    assert set(before) == {None}
    assert kept_until == pytest.approx(time.time() + 500, abs=5), "an outcome is kept as long as it says"
    assert decode(store.records["a"].value).expires == kept_until
    claims.close()


async def test_a_claim_whose_answer_was_lost_is_known_by_its_value() -> None:
    store = Store()
    claims = claims_on(store)
    store.fails_after = True
    held = await claimed(claims)
    assert decode(store.records["a"].value).owner == held.entry.owner
    store.fails_after = False
    mine, theirs = held.entry, msgspec.structs.replace(held.entry, owner="another")
    store.fails = True
    for recorded, revision, expected in ((mine, 1, 2), (mine, 2, None), (theirs, 1, None)):
        store.records["b"] = Record(encode(recorded), 2)
        if expected is None:
            with pytest.raises(EngineFailed):
                await claims.write("b", mine, revision)
        else:
            assert await claims.write("b", mine, revision) == expected
    claims.close()


async def test_an_outcome_of_a_key_is_the_same_however_often_it_is_asked_for() -> None:
    store: Any = Store()
    claims = claims_on(store)
    held = await claimed(claims)
    await held.stop()
    done = await held.put(Complete(held.entry.owner, msgspec.Raw(b"7"), 500.0, ""))
    assert done is not None
    again = await claims.claim("a", fingerprint("build", 1, 1), claims.owner(), lambda: None)
    assert again == done
    assert await claims.claim("a", fingerprint("build", 1, 2), claims.owner(), lambda: None) is None, "other content"
    claims.close()


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
    building(hub, gate, lease=1)  # long enough for a machine that is busy

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


async def test_a_renewal_that_lands_late_is_no_lost_lease(
    url: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = telex.Hub(url)
    building(hub, gate, lease=60)

    async with hub:
        ticket = await hub.send("build", 1, key="a")
        await gate.reached.wait()
        entry, revision = await entry_of(hub, "build", "a")
        await plant(hub, "build", "a", entry, revision)  # its own, which it was told had failed
        gate.opened.set()
        outcome = await ticket.outcome(timeout=30)
        assert (outcome.result, outcome.attempt, outcome.replayed) == (1, 1, False)
    assert gate.passed == 1


async def test_a_write_of_which_nothing_was_heard_is_read_back(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = telex.Hub(url)
    ran = building(hub)

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
