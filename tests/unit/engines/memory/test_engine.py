"""The engine of one process: its clock and transactions."""

import asyncio
from typing import Any

import pytest

import telex
from telex.engines.contract.groups import Settlement
from telex.engines.memory.engine import MemoryEngine
from telex.testing.clock import BEGIN, VirtualClock
from telex.testing.conformance.rig import Rig, message

BEGUN = BEGIN.timestamp()


def test_the_clock_of_leases_is_that_of_the_loop() -> None:
    clock, ahead = VirtualClock(), [0.0]
    engine = MemoryEngine(clock=lambda: clock() + ahead[0])
    assert engine.now() == BEGUN

    async def main() -> None:
        async with Rig(engine):
            ahead[0] = 7200  # somebody sets the clock of the machine
            await asyncio.sleep(5)
            assert engine.now() == pytest.approx(BEGUN + 5)

    clock.run(main())


async def test_a_transaction_publishes_records_and_settles_when_it_is_left() -> None:
    async with Rig(MemoryEngine()) as rig:
        groups, kept = rig.engine.groups, rig.engine.records
        assert groups is not None
        assert kept is not None
        await rig.join("g", "in")
        await rig.send("in", 1)
        (delivery,) = await rig.fetch("g", "in")
        async with rig.transaction() as tx:
            await tx.append(message("out", 2))
            assert await tx.put("b", "k", b"v", 0)
            settlement = Settlement(delivery.position, delivery.token, "ack")
            assert await tx.settle("g", "in", settlement)
            assert rig.contents("out") == []
            assert await kept.get("b", "k") is None
            assert (await groups.groups())[0].lag == 1
        assert rig.contents("out") == [2]
        found: Any = await kept.get("b", "k")
        assert found.value == b"v"
        assert (await groups.groups())[0].lag == 0


async def test_a_transaction_that_raises_does_nothing() -> None:
    async with Rig(MemoryEngine()) as rig:
        kept: Any = rig.engine.records
        tx = rig.transaction()
        await tx.__aenter__()
        await tx.append(message("out", 1))
        await tx.put("b", "k", b"v", 0)
        await tx.__aexit__(LookupError, LookupError(), None)
        assert rig.contents("out") == []
        assert await kept.get("b", "k") is None


async def test_a_record_is_put_twice_in_one_transaction_by_its_new_revision() -> None:
    async with Rig(MemoryEngine()) as rig:
        kept: Any = rig.engine.records
        async with rig.transaction() as tx:
            first = await tx.put("b", "k", b"1", 0)
            assert first is not None
            assert await tx.put("b", "k", b"stale", 0) is None
            assert await tx.put("b", "k", b"2", first)
            assert await tx.put("b", "other", b"", 7) is None
        assert (await kept.get("b", "k")).value == b"2"


@pytest.mark.parametrize("changed", ["record", "delivery"])
async def test_a_change_of_another_meanwhile_fails_the_transaction_as_a_whole(changed: str) -> None:
    async with Rig(MemoryEngine()) as rig:
        kept: Any = rig.engine.records
        await rig.join("g", "in")
        await rig.send("in", 1)
        (delivery,) = await rig.fetch("g", "in")
        tx = rig.transaction()
        await tx.__aenter__()
        await tx.append(message("out", 1))
        if changed == "record":
            await tx.put("b", "k", b"mine", 0)
            await kept.put("b", "k", b"theirs", 0)
        else:
            await tx.settle("g", "in", Settlement(delivery.position, delivery.token, "ack"))
            assert await rig.settle("g", "in", delivery, "ack")
        with pytest.raises(telex.EngineFailed, match="meanwhile"):
            await tx.__aexit__(None, None, None)
        assert rig.contents("out") == []


async def test_a_transaction_of_a_closed_engine_is_refused() -> None:
    engine = MemoryEngine()
    async with Rig(engine) as rig:
        tx = rig.transaction()
        await tx.__aenter__()
        await tx.append(message("out", 1))
    with pytest.raises(telex.Closed, match="nothing of it was published"):
        await tx.__aexit__(None, None, None)


async def test_sql_is_refused_by_naming_the_engine_that_has_it() -> None:
    async with telex.Hub("memory://") as hub, hub.transaction() as tx:
        for use in (tx.execute("SELECT 1"), tx.run(print)):
            with pytest.raises(telex.Misuse, match=r"sqlite:///file\.db"):
                await use
