"""The stored records of triggers: a firing is claimed by compare-and-set, with its messages, or not at all."""

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

import telex
import telex.engines
from telex.hub import runtime_of
from telex.triggers.conditions.firing import firing_of
from telex.triggers.records import BY_KEY, KEY_KEPT_SECONDS, FiringClaim, TriggerRecord, TriggerRecords
from tests.support.internals import records_of
from tests.unit.triggers.parts import expiry, kept

INSTANT = 1_780_000_000.0


def named(name: str = "tick", topic: str = "t") -> Any:
    return SimpleNamespace(name=name, topic=topic)


def claim(record: TriggerRecord, *firings: tuple[float, int], key: str | None = None) -> FiringClaim:
    return FiringClaim(replace(record, fired=record.fired + len(firings)), list(firings), key, value=7)


def test_a_record_counts_its_firings_and_keeps_the_latest_instant() -> None:
    first = TriggerRecord(1.0, plan="plan", paused=True).after(5.0, 0.1, true=True, ended=False)
    assert (first.last, first.fired, first.late, first.true, first.ended) == (5.0, 1, 0.1, True, False)
    assert (first.start, first.plan, first.paused) == (1.0, "plan", True), "what other processes have set stays"
    second = first.after(4.0, 0.2, true=False, ended=True)
    assert (second.last, second.fired, second.late, second.true, second.ended) == (5.0, 2, 0.2, False, True)


async def test_a_trigger_without_a_record_begins_at_its_start(url: str) -> None:
    async with telex.Hub(url) as hub:
        records = TriggerRecords(runtime_of(hub))
        assert await records.read("tick", 5.0) == (TriggerRecord(5.0), 0)
        assert await records.commit(named(), claim(TriggerRecord(3.0)), 0)
        record, revision = await records.read("tick", 5.0)
        assert record == TriggerRecord(3.0)
        assert revision > 0


async def test_a_claim_is_stored_with_its_firings(url: str) -> None:
    async with telex.Hub(url) as hub:
        records = TriggerRecords(runtime_of(hub))
        assert await records.commit(named(), claim(TriggerRecord(0.0), (INSTANT, 1), (INSTANT + 1, 2)), 0)
        assert (await records.read("tick", 0.0))[0].fired == 2
        found = [message async for message in hub.topic("t").history()]
        assert [message.id for message in found] == [firing_of("tick", INSTANT + n, 1)[1] for n in (0, 1)]
        assert [(each.number, each.value) for each in await kept(hub, "t")] == [(1, 7), (2, 7)]


async def test_a_claim_on_a_changed_record_publishes_nothing(url: str) -> None:
    async with telex.Hub(url) as hub:
        records = TriggerRecords(runtime_of(hub))
        assert await records.commit(named(), claim(TriggerRecord(0.0), (INSTANT, 1)), 0)
        assert not await records.commit(named(), claim(TriggerRecord(9.0), (INSTANT + 1, 1)), 0)
        assert (await records.read("tick", 0.0))[0] == TriggerRecord(0.0, fired=1)
        assert len(await kept(hub, "t")) == 1


async def test_of_several_claims_each_is_won_or_lost_by_itself(url: str) -> None:
    async with telex.Hub(url) as hub:
        records = TriggerRecords(runtime_of(hub))
        assert await records.commit(named("b"), claim(TriggerRecord(0.0)), 0)
        claims = [(named(name, name), claim(TriggerRecord(0.0), (INSTANT, 1)), 0) for name in "abc"]
        assert await records.commit_all(claims) == [True, False, True]
        assert [len(await kept(hub, name)) for name in "abc"] == [1, 0, 1]


async def test_a_claim_that_cannot_be_published_undoes_all_of_its_transaction(url: str) -> None:
    async with telex.Hub(url) as hub:
        records = TriggerRecords(runtime_of(hub))
        claims = [(named(name, topic), claim(TriggerRecord(0.0), (INSTANT, 1)), 0) for name, topic in ("aa", "b*")]
        with pytest.raises(telex.BadName):
            await records.commit_all(claims)
        assert [(await records.read(name, 0.0))[1] for name in "ab"] == [0, 0]
        assert await kept(hub, "a") == []


async def test_the_last_firing_of_a_key_is_stored_for_a_week(url: str) -> None:
    async with telex.Hub(url) as hub:
        records = TriggerRecords(runtime_of(hub))
        assert await records.last_of("tick", "ann") is None
        assert await records.commit(named(), claim(TriggerRecord(0.0), (INSTANT, 1), key="ann"), 0)
        assert await records.last_of("tick", "ann") == INSTANT
        assert await records.last_of("tick", "bob") is None
        assert await expiry(hub, BY_KEY, "tick ann") == INSTANT + KEY_KEPT_SECONDS
        _, revision = await records.read("tick", 0.0)
        assert await records.commit(named(), claim(TriggerRecord(0.0), (INSTANT + 5, 2), key="ann"), revision)
        assert await records.last_of("tick", "ann") == INSTANT + 5
        assert not await records.commit(named(), claim(TriggerRecord(0.0), (INSTANT + 9, 3), key="ann"), revision)
        assert await records.last_of("tick", "ann") == INSTANT + 5, "of a lost claim nothing is stored"


async def test_a_firing_by_hand_takes_the_next_number_whoever_was_first(url: str) -> None:
    async with telex.Hub(url) as hub:
        records = TriggerRecords(runtime_of(hub))
        assert await records.commit(named(), claim(TriggerRecord(0.0), (INSTANT, 1)), 0)
        store = records_of(hub)
        get = store.get

        async def late(bucket: str, key: str) -> telex.engines.Record | None:
            found = await get(bucket, key)
            if store.get is late:
                store.get = get  # type: ignore[method-assign]
                assert await TriggerRecords(runtime_of(hub)).fire(named(), INSTANT) == 2
            return found

        store.get = late  # type: ignore[method-assign]
        assert await records.fire(named(), INSTANT) == 3
        assert [each.number for each in await kept(hub, "t")] == [1, 2, 3]
