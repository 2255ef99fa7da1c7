"""The queue of claims: one that fails holds up no other, and much that was missed is several transactions."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

import telex
from telex.hub import runtime_of, scheduler_of
from telex.triggers.admin import pause_trigger
from telex.triggers.records import BUCKET, FiringClaim
from telex.triggers.trigger import state_of
from tests.support.internals import caught_up, firings_of, records_of, set_bounds
from tests.support.loops import until
from tests.unit.triggers.parts import kept


@pytest.mark.slow
async def test_a_firing_that_waits_for_other_claims_was_not_missed(url: str) -> None:
    async with telex.Hub(url) as hub:
        set_bounds(hub, claim_batch=1)
        records: Any = firings_of(hub).records
        put, slow = records.put, scheduler_of(hub).timers.clock
        late = [0.0]
        scheduler_of(hub).timers.clock = lambda: slow() + late[0]

        async def slowly(*given: Any) -> bool:
            late[0] += 5.0  # each claim takes five seconds
            return bool(await put(*given))

        triggers = [hub.after("1h", topic=f"t:{number}") for number in range(5)]
        await caught_up(hub)
        records.put = slowly
        for trigger in triggers:
            state_of(trigger).due(trigger.start + 3600.2)
        await caught_up(hub)
        assert [trigger.fired for trigger in triggers] == [1] * 5


async def test_a_trigger_is_paused_before_the_hub_starts_its_triggers(url: str) -> None:
    @asynccontextmanager
    async def lifespan(hub: telex.Hub) -> AsyncIterator[None]:
        assert await pause_trigger(scheduler_of(hub), "tick")
        yield

    async with telex.Hub(url) as hub:
        hub.every("1h", topic="t", name="tick")
        await caught_up(hub)
    hub = telex.Hub(url, lifespan=lifespan)
    trigger = hub.every("1h", topic="t", name="tick")
    async with hub:
        await caught_up(hub)
        assert state_of(trigger).paused_elsewhere


async def test_one_that_cannot_be_claimed_does_not_hold_up_those_claimed_with_it(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with telex.Hub(url) as hub:
        hub.topic("bad", int)  # which no firing is
        triggers = [hub.after("1ms", topic=topic) for topic in ("t:1", "bad", "t:2")]
        async with hub.topic("t:2").subscribe(start="earliest") as firings:
            await firings.receive()
        await caught_up(hub)
        assert [trigger.fired for trigger in triggers] == [1, 0, 1]
        assert triggers[1].ended, "it comes again in this process no more: nothing would be different"
        assert [(told.trigger, told.failed) for told in hub.triggers()] == [("t:1", 0), ("bad", 1), ("t:2", 0)]
    assert caplog.text.count("trigger bad cannot be claimed") == 1


async def test_one_that_cannot_be_claimed_is_tried_again_for_its_next_instant(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with telex.Hub(url) as hub:
        hub.topic("bad", int)
        tick = hub.every("1h", topic="bad", misfire="once")
        await caught_up(hub)
        for times in (1, 2):
            state_of(tick).due(tick.start + 3600 * times)
            await caught_up(hub)
            following = tick.start + 3600 * (times + 1)
            assert (tick.failed, state_of(tick).queue_entry > 0, tick.next) == (times, True, following)
    assert caplog.text.count("trigger bad cannot be claimed") == 2


async def test_many_that_have_missed_much_are_not_one_transaction(url: str) -> None:
    now = time.time()
    ahead = [0.0]
    hub = telex.Hub(url, clock=lambda: now + ahead[0])
    set_bounds(hub, claimed_firings=5)
    triggers = [hub.every("1s", topic=f"t:{number}", misfire="all") for number in range(4)]
    async with hub:
        await caught_up(hub)
        transactions: list[object] = []
        engine = runtime_of(hub).engine
        transaction = engine.transaction
        engine.transaction = lambda publish: transactions.append(None) or transaction(publish)  # type: ignore[method-assign, func-returns-value]  # counted
        ahead[0] = 3.5
        for trigger in triggers:
            state_of(trigger).due(now + 3.5)
        await caught_up(hub)
        assert [trigger.fired for trigger in triggers] == [3] * 4
        assert len(transactions) == 4


@pytest.mark.slow
async def test_a_pause_between_a_look_and_the_claim_wins(url: str) -> None:
    hub = telex.Hub(url)
    ticks = hub.every("1h", topic="ticks")
    async with hub:
        await until(lambda: state_of(ticks).queue_entry)  # its record is there
        shared = firings_of(hub).records
        record, revision = await shared.read("ticks", 0.0)
        assert await pause_trigger(scheduler_of(hub), "ticks")
        told = msgspec.structs.replace(record, last=1.0, fired=1)
        assert not await shared.commit(ticks, FiringClaim(told, [(1.0, 1)]), revision)
        assert await kept(hub, "ticks") == []


@pytest.mark.slow
async def test_one_that_cannot_be_read_holds_up_nobody(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with telex.Hub(url) as hub:
        set_bounds(hub, engine_retry_seconds=0.01)
        revision = await records_of(hub).put(BUCKET, "bad", b"[]", 0)
        assert revision is not None
        hub.every("10ms", topic="bad")
        hub.every("10ms", topic="good")
        await until(lambda: hub.trigger("good").fired >= 3)
        assert "trigger bad cannot be claimed" in caplog.text
        await records_of(hub).put(BUCKET, "bad", None, revision)
        await until(lambda: hub.trigger("bad").fired)
